"""Scripted visitors and agents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from bot.sandbox import BOT, WORKSPACE, Caller, Entry, Kind, NotPossibleError, Sandbox, Switches


async def nowhere(_url: str, _headers: Mapping[str, str], _body: bytes) -> int:
    """A bot that takes every webhook and does nothing."""
    return 200


@pytest.fixture
def sandbox() -> Sandbox:
    """A sandbox that has not been started: no network is needed for people."""
    return Sandbox(switches=Switches(mode="pass"), webhook_url="http://bot.invalid/hook", post=nowhere)


def bot_says(sandbox: Sandbox, conversation_id: str, content: dict[str, Any]) -> None:
    """The bot posts something."""
    caller = Caller("int_bot", "integration", sandbox.switchboard.member(BOT).integration_id)
    body = {"author": {"type": "business"}, "content": content}
    sandbox.switchboard.post_message(conversation_id, caller, body, sandbox.clock.now())


async def test_first_words_open_the_conversation(sandbox: Sandbox) -> None:
    """A visitor who writes has a conversation from then on."""
    visitor = sandbox.visitor("Kim")
    with pytest.raises(NotPossibleError, match="not opened"):
        _ = visitor.conversation_id

    await visitor.says("hello")

    assert sandbox.switchboard.holder(visitor.conversation_id) == BOT
    assert [message.text for message in visitor.messages] == ["hello"]


async def test_waiting_for_an_answer(sandbox: Sandbox) -> None:
    """A visitor waits for the next fitting message of the business, and does not take one twice."""
    visitor = sandbox.visitor()
    await visitor.says("Is it you? hello?")
    waiting = asyncio.create_task(visitor.waits_for("hello"))
    await asyncio.sleep(0)

    bot_says(sandbox, visitor.conversation_id, {"type": "text", "text": "well, hello"})

    assert (await waiting).text == "well, hello"
    with pytest.raises(TimeoutError, match="Sam waits for 'hello'"):
        await visitor.waits_for("hello", timeout=0.01)
    bot_says(sandbox, visitor.conversation_id, {"type": "text", "text": "bye"})
    assert (await visitor.waits_for(lambda message: len(message.text) == 3)).text == "bye"


async def test_tapping(sandbox: Sandbox) -> None:
    """A tapped quick reply is said with its payload; a tapped button is a postback."""
    visitor = sandbox.visitor()
    await visitor.opens()
    actions = [
        {"type": "reply", "text": "Good", "payload": "GOOD"},
        {"type": "postback", "text": "Buy", "payload": "BUY", "metadata": {"n": 1}},
    ]
    bot_says(sandbox, visitor.conversation_id, {"type": "text", "text": "?", "actions": actions})

    await visitor.taps("Good")
    await visitor.taps("BUY")

    history = sandbox.switchboard.history.of(visitor.conversation_id)
    assert visitor.messages[-1].content == {"type": "text", "text": "Good", "payload": "GOOD"}
    assert (history[-1].kind, history[-1].text, history[-1].metadata) == (Kind.POSTBACK, "BUY", {"n": 1})
    with pytest.raises(NotPossibleError, match="offers the choice"):
        await visitor.taps("Ugly")


async def test_filling_in(sandbox: Sandbox) -> None:
    """A visitor fills in the newest form."""
    visitor = sandbox.visitor()
    await visitor.opens()
    with pytest.raises(NotPossibleError, match="form"):
        await visitor.fills_in({})
    fields = [{"type": "text", "name": "order", "label": "Order"}]
    bot_says(sandbox, visitor.conversation_id, {"type": "form", "fields": fields})

    message = await visitor.fills_in({"order": "42"})

    assert message.content["fields"][0]["text"] == "42"


async def test_agent_works_a_ticket(sandbox: Sandbox) -> None:
    """An agent waits for the visitor's ticket, answers, solves and closes it; control goes on to the bot."""
    visitor, agent = sandbox.visitor("Kim"), sandbox.agent("Lou")
    await visitor.says("help")
    with pytest.raises(NotPossibleError, match="no ticket"):
        _ = agent.ticket
    waiting = asyncio.create_task(agent.waits_for_ticket(visitor))
    await asyncio.sleep(0)
    sandbox.switchboard.pass_control(visitor.conversation_id, Caller("app", "app"), WORKSPACE, sandbox.clock.now())
    ticket = await waiting

    await agent.waits_for("help")
    await agent.says("at your service")
    assert (await visitor.waits_for("service")).author["displayName"] == "Lou"
    await agent.solves()
    await agent.closes()

    assert ticket.status == "closed"
    assert sandbox.switchboard.holder(visitor.conversation_id) == BOT


@pytest.mark.parametrize("how", ["ends", "transfers_to_email"])
async def test_agent_leaves_otherwise(sandbox: Sandbox, how: str) -> None:
    """An agent can also end the session, or go on by e-mail; a later session is a new ticket."""
    visitor, agent = sandbox.visitor(), sandbox.agent()
    caller = Caller("app", "app")
    await visitor.says("help")
    sandbox.switchboard.pass_control(visitor.conversation_id, caller, WORKSPACE, sandbox.clock.now())
    first = await agent.waits_for_ticket()

    await getattr(agent, how)()
    assert sandbox.switchboard.holder(visitor.conversation_id) == BOT
    sandbox.switchboard.pass_control(visitor.conversation_id, caller, WORKSPACE, sandbox.clock.now())

    assert (await agent.waits_for_ticket()).number == first.number + 1


async def test_waiting_for_the_end(sandbox: Sandbox) -> None:
    """A visitor can wait until nobody is active any more."""
    visitor = sandbox.visitor()
    await visitor.says("bye")
    await visitor.ends()
    waiting = asyncio.create_task(visitor.waits_until_closed())
    await asyncio.sleep(0)
    assert not waiting.done()

    sandbox.switchboard.release_control(visitor.conversation_id, Caller("app", "app"), sandbox.clock.now())

    await waiting


async def test_observers_see_the_history(sandbox: Sandbox) -> None:
    """Observers of the sandbox get each entry: the live timeline."""
    seen: list[Entry] = []
    sandbox.observers.append(seen.append)

    await sandbox.visitor().says("hello")

    assert [entry.kind for entry in seen] == [Kind.CREATED, Kind.HOLDER, Kind.MESSAGE]


def test_settings_for_bot(sandbox: Sandbox) -> None:
    """The bot's environment names the API, both keys, the secret, and the mode."""
    settings = sandbox.settings_for_bot()

    assert settings["CONTROL_MODE"] == "pass"
    assert settings["SUNSHINE_KEY_ID"].startswith("int_")
    assert settings["SUNSHINE_APP_KEY_ID"].startswith("app_")
    assert settings["SUNSHINE_BASE_URL"].endswith("/sc")
    assert (settings["SUNSHINE_SWITCHBOARD_INTEGRATION"], settings["PASS_TO"]) == (BOT, WORKSPACE)
    assert all(isinstance(value, str) for value in settings.values())


def test_connecting_twice_moves_the_webhook(sandbox: Sandbox) -> None:
    """The webhook is moved, with its secret, and not doubled."""
    sandbox.connect("http://bot.invalid/other")

    (webhook,) = sandbox.switchboard.webhooks.values()
    assert (webhook.target, webhook.secret) == ("http://bot.invalid/other", sandbox.secret)
