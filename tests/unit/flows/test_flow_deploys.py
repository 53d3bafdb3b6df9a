"""A deploy changes a flow while users wait in it: nobody gets another's answer, and `flows check` foretells it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Literal

import pytest
from deploy_samples import deployed, journal_of, one
from flow_samples import Play
from tiers import some

from bot import Began, Chat, Flow, FlowMisuse, NoAnswer, Purpose, flow
from bot.control.policy import Policy
from bot.engine.journal_check import misfit, waits_at
from bot.flows.authoring import Router
from bot.flows.catalogue import Catalogue, UnknownFlow, load_catalogue
from bot.flows.changes import changes_of
from bot.replay.harness import Process, Stage
from bot.replay.virtual_time import run_virtual
from bot.sandbox.records import Caller
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.sandbox.switches import Switches
from bot.store.interface import JournalEntry


def price() -> int:
    """A function of a flow."""
    return 3


def weight() -> int:
    """Another one."""
    return 5


async def _name_first(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(price)
    name = await chat.ask("Your name?")
    mail = await chat.ask("Your e-mail?")
    await chat.say(f"name={name.text} mail={mail.text} price={number}")


async def _inserted(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(price)
    language = await chat.ask("Your language?")
    name = await chat.ask("Your name?")
    mail = await chat.ask("Your e-mail?")
    await chat.say(f"language={language.text} name={name.text} mail={mail.text} price={number}")


async def _removed(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(price)
    mail = await chat.ask("Your e-mail?")
    await chat.say(f"mail={mail.text} price={number}")


async def _swapped(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(price)
    mail = await chat.ask("Your e-mail?")
    name = await chat.ask("Your name?")
    await chat.say(f"name={name.text} mail={mail.text} price={number}")


async def _renamed(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(price)
    name = await chat.ask("Who are you?")
    mail = await chat.ask("Your e-mail?")
    await chat.say(f"name={name.text} mail={mail.text} price={number}")


async def _other_function(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(weight)
    name = await chat.ask("Your name?")
    mail = await chat.ask("Your e-mail?")
    await chat.say(f"name={name.text} mail={mail.text} price={number}")


async def _nothing_left(chat: Chat) -> None:
    await chat.say("Welcome.")
    await chat.call(price)


async def _says_more(chat: Chat) -> None:
    await chat.say("Welcome.")
    await chat.say("We have news.")
    number = await chat.call(price)
    name = await chat.ask("Your name?")
    await chat.say(f"name={name.text} price={number}")


async def _fails_early(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(price)
    await chat.say(number["net"])  # type: ignore[index] # it raises
    name = await chat.ask("Your name?")
    await chat.say(f"name={name.text}")


async def _catches_all(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(price)
    try:
        language = (await chat.ask("Your language?")).text
    except Exception:  # noqa: BLE001 - as careless authors write
        language = "none"
    name = await chat.ask("Your name?")
    await chat.say(f"language={language} name={name.text} price={number}")


def _price_of_another_type() -> str:
    return "three"


_price_of_another_type.__qualname__ = price.__qualname__


async def _other_result(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(_price_of_another_type)
    name = await chat.ask("Your name?")
    mail = await chat.ask("Your e-mail?")
    await chat.say(f"name={name.text} mail={mail.text} price={number}")


CHANGES = {
    "a question inserted": (one(_inserted), 'wants ask "Your language?", the journal has ask "Your name?"'),
    "a question removed": (one(_removed), 'wants ask "Your e-mail?", the journal has ask "Your name?"'),
    "questions swapped": (one(_swapped), 'wants ask "Your e-mail?", the journal has ask "Your name?"'),
    "a question renamed": (one(_renamed), 'wants ask "Who are you?", the journal has ask "Your name?"'),
    "another function": (one(_other_function), "wants call weight, the journal has call price"),
    "all that follows removed": (one(_nothing_left), 'wants to end, the journal has ask "Your name?"'),
    "a message inserted": (one(_says_more), 'wants say "We have news.", the journal has call price'),
    "a failure on the way": (one(_fails_early), "wants to fail (TypeError at"),
    "another result": (
        one(_other_result),
        "wants call price to return str, the journal has a result that does not fit",
    ),
    "the flow renamed": (one(_name_first, "purchase"), "there is no flow 'order' any more"),
    "the flow removed": (Catalogue(), "there is no flow 'order' any more"),
    "a newer version alone": (one(_name_first, version=2), "there is no flow 'order' version 1 any more"),
}


@pytest.mark.parametrize("mode", some(["release", "pass"]))
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_foretold_and_noticed(change: str, mode: Literal["release", "pass"]) -> None:
    """The run ends as a failed one, where it first differs, and the answer goes to no other question."""
    catalogue, words = CHANGES[change]
    result = deployed(_name_first, catalogue, mode=mode)
    assert words in result.foretold
    assert result.said == []
    assert [detail.removeprefix("JournalMismatch: ") for detail in result.details] == [result.foretold]
    assert result.signals.count("flow_mismatched") == 1
    assert result.signals.count("flow_failed") == 1
    assert result.holder == (None if mode == "release" else "zd-agentWorkspace")


@pytest.mark.parametrize("change", some([name for name in CHANGES if name != "a failure on the way"], every=3))
def test_a_run_may_begin_anew(change: str) -> None:
    """FLOW_MISMATCH=restart: the newest flow begins, and what was answered to another question is dropped."""
    catalogue, _ = CHANGES[change]
    result = deployed(_name_first, catalogue, after=("Ada", "Bob", "x", "y", "z"), restarts=True)
    if change == "the flow removed":
        assert "flow_restarted" not in result.signals
        assert "flow_mismatched" in result.signals
        return
    assert result.signals.count("flow_restarted") == 1
    assert "flow_failed" not in result.signals
    assert result.said[0] == "Welcome."
    assert not any("Ada" in said for said in result.said)


def test_a_run_begins_anew_only_once() -> None:
    """Code that is never twice the same would else greet for ever."""
    count = 0

    async def moody(chat: Chat) -> None:
        nonlocal count
        count += 1
        await chat.say(f"Hello number {count}!")
        await chat.ask("Your name?")

    result = deployed(_name_first, one(moody), after=("a", "b", "c"), restarts=True)
    assert result.signals.count("flow_restarted") == 1
    assert result.signals.count("flow_mismatched") == 1
    assert result.said == ["Hello number 3!", "Your name?"]


def test_a_death_at_any_save_of_a_restart_changes_nothing() -> None:
    """The end of the old run and the beginning of the new one are stored together."""
    expected = _restarted_with_deaths(0)
    assert expected[-2:] == ["Your e-mail?", "language=Latin name=Bob mail=b@x price=3"]
    assert expected.count("Welcome.") == 2
    for save in range(1, 9):
        assert _restarted_with_deaths(save) == expected, f"died after save {save}"


def _restarted_with_deaths(save: int) -> list[str]:
    """What the bot says if a process dies after that save of a restart (0: none dies)."""
    saves = 0

    async def whole(loop: Any) -> list[str]:
        nonlocal saves
        policy = Policy(me=BOT, app_key=True, closes=False)
        async with Stage(loop, catalogue=one(_name_first), policy=policy) as stage:
            process = await stage.start_process()
            played = Play(stage)
            await played.visitor.says("hi")
            await stage.wait(timedelta(seconds=5))
            process.kill()
            stage.catalogue, stage.restarts = one(_inserted), True

            async def after(process: Process, operation: str) -> None:
                nonlocal saves
                saves += operation == "save"
                if operation == "save" and saves == save:
                    played.replaced(process)

            stage.interference.stored = after
            await stage.start_process()
            for words in ("Ada", "Latin", "Bob", "b@x"):
                await played.visitor.says(words)
                await stage.wait(timedelta(minutes=1))
            return played.bots

    return run_virtual(whole)


def test_a_closing_flow_may_not_fit_either() -> None:
    """Control is released, and the user, who has ended the conversation, is told nothing."""

    async def asks(chat: Chat) -> None:
        await chat.ask("How did we do?", timeout=timedelta(minutes=5))

    async def asks_otherwise(chat: Chat) -> None:
        await chat.ask("Are you happy?", timeout=timedelta(minutes=5))

    async def whole(loop: Any) -> None:
        first, second = (
            Catalogue({"order": Flow("order", _name_first), "survey": Flow("survey", survey)}, "order", "survey")
            for survey in (asks, asks_otherwise)
        )
        policy = Policy(me=BOT, app_key=True)
        async with Stage(loop, switches=Switches(mode="pass"), catalogue=first, policy=policy) as stage:
            process = await stage.start_process()
            played, board = Play(stage), stage.sandbox.switchboard
            await played.visitor.says("hi")
            conversation_id = played.visitor.conversation_id
            board.pass_control(conversation_id, Caller("desk", "app"), WORKSPACE, stage.clock.now())
            await stage.wait(timedelta(seconds=5))
            board.pass_control(conversation_id, Caller("desk", "app"), BOT, stage.clock.now())
            await stage.wait(timedelta(seconds=5))
            assert played.bots[-1] == "How did we do?"
            process.kill()
            stage.catalogue, stage.mismatch_text = second, "A person will help you."
            await stage.start_process()
            await played.visitor.ends()
            await played.closed()
            assert "flow_mismatched" in [signal.event for signal in played.signals]
            assert played.bots[-1] == "How did we do?"

    run_virtual(whole)


def test_a_sentence_for_the_user() -> None:
    """FLOW_MISMATCH_TEXT is said before control is given up."""
    result = deployed(_name_first, one(_inserted), text="Something has changed here. I am getting a person for you.")
    assert result.said == ["Something has changed here. I am getting a person for you."]


def test_a_flow_that_catches_everything_goes_no_further() -> None:
    """The mismatch ends the run, whatever the code makes of the exception."""
    result = deployed(_name_first, one(_catches_all))
    assert result.said == []
    assert "flow_mismatched" in result.signals


@pytest.mark.parametrize("legacy", [False, True])
def test_the_same_code_goes_on(legacy: bool) -> None:
    """Also with a journal that an earlier version of the bot has stored: it knows steps by their kind alone."""
    result = deployed(_name_first, one(_name_first), after=("Ada", "ada@x.de"), legacy=legacy)
    assert result.foretold == ""
    assert result.said == ["Your e-mail?", "name=Ada mail=ada@x.de price=3"]


def test_a_legacy_journal_is_noticed_by_kind() -> None:
    """What an earlier version has stored is no less exact than it was."""
    result = deployed(_name_first, one(_says_more), legacy=True)
    assert "the journal has call price" in result.foretold
    assert result.said == []


async def _keyed(chat: Chat) -> None:
    await chat.say("Welcome.", key="hello")
    number = await chat.call(price, key="price")
    await chat.sleep(timedelta(seconds=1), key="pause")
    name = await chat.ask("Your name?", key="name")
    await chat.say(f"name={name.text} price={number}")


async def _keyed_anew(chat: Chat) -> None:
    await chat.say("Good day.", key="hello")
    number = await chat.call(weight, key="price")
    await chat.sleep(timedelta(seconds=2), key="pause")
    name = await chat.ask("What is your name?", key="name")
    await chat.say(f"name={name.text} price={number}")


async def _keyed_otherwise(chat: Chat) -> None:
    await chat.say("Welcome.", key="hello")
    await chat.call(price, key="price")
    await chat.sleep(timedelta(seconds=1), key="pause")
    await chat.ask("Your name?", key="first name")


def test_a_key_outlives_text_and_function() -> None:
    """A step with a key may change its words, its function, its time."""
    result = deployed(_keyed, one(_keyed_anew))
    assert (result.foretold, result.said) == ("", ["name=Ada price=3"])


def test_a_key_is_what_counts() -> None:
    """Another key is another step, and is named."""
    result = deployed(_keyed, one(_keyed_otherwise))
    assert 'wants ask first name "Your name?", the journal has ask name "Your name?"' in result.foretold


async def _keys_added(chat: Chat) -> None:
    await chat.say("Welcome.", key="hello")
    number = await chat.call(price, key="price")
    name = await chat.ask("Your name?", key="name")
    mail = await chat.ask("Your e-mail?")
    await chat.say(f"name={name.text} mail={mail.text} price={number}")


def test_a_key_may_be_added() -> None:
    """While the text or the function is still the same, and before it is changed."""
    result = deployed(_name_first, one(_keys_added), after=("Ada", "a@x"))
    assert (result.foretold, result.said[-1]) == ("", "name=Ada mail=a@x price=3")


@pytest.mark.parametrize("key", ["", "x" * 65, 7])
def test_odd_keys(key: Any) -> None:
    """A key is a short text."""

    async def odd(chat: Chat) -> None:
        await chat.say("hi", key=key)

    result = deployed(_name_first, one(odd))
    assert "a text of 1 to 64 characters" in result.foretold


# -- versions ---------------------------------------------------------------------------------------------------------


async def _second(chat: Chat) -> None:
    name = await chat.ask("Who are you?")
    await chat.say(f"second: {name.text}")


def test_an_older_version_serves_those_who_wait_in_it() -> None:
    """New runs begin with the newest."""
    both = Catalogue({"order": Flow("order", _second, 2)}, "order", older=(Flow("order", _name_first),))
    result = deployed(_name_first, both, after=("Ada", "a@x"))
    assert (result.foretold, result.said[-1]) == ("", "name=Ada mail=a@x price=3")
    assert both.route(Purpose.OPENING, Began("message")) is both.flows["order"]


def test_versions_of_a_module(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest has the name; two of the same version are refused."""
    monkeypatch.syspath_prepend(tmp_path)
    code = """
from bot import Chat, flow

@flow("order", version=2)
async def order(chat: Chat) -> None: ...

@flow("order")
async def order_1(chat: Chat) -> None: ...
"""
    (tmp_path / "versioned_flows.py").write_text(code)
    catalogue = load_catalogue(["versioned_flows"], "order")
    assert catalogue.flows["order"].version == 2
    assert [found.version for found in catalogue.all] == [2, 1]
    assert [found and found.title for found in map(catalogue.find, ["order"] * 3, [1, 2, 3])] == [
        "'order' version 1",
        "'order' version 2",
        None,
    ]
    (tmp_path / "clashing_flows.py").write_text(code.replace("version=2", "version=1"))
    with pytest.raises(UnknownFlow, match=r"two flows are named 'order'; .* version=2"):
        load_catalogue(["clashing_flows"])


@pytest.mark.parametrize("version", [0, -1, "2", True, 1.5])
def test_odd_versions(version: Any) -> None:
    """A version is a whole number from 1."""
    with pytest.raises(FlowMisuse, match="a whole number, at least 1"):
        flow("order", version=version)


def test_a_router_may_choose_an_older_version() -> None:
    """By the flow itself; a name means the newest."""
    older, newest = Flow("order", _name_first), Flow("order", _second, 2)
    for chosen, expected in ((older, older), (newest, newest), ("order", newest)):
        router = Router(lambda _, __, chosen=chosen: chosen)  # type: ignore[misc]
        catalogue = Catalogue({"order": newest}, router=router, older=(older,))
        assert catalogue.route(Purpose.OPENING, Began("message")) is expected


# -- changes ----------------------------------------------------------------------------------------------------------


async def _changed(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(price)
    language = "?"
    if chat.changed("ask for the language"):
        language = (await chat.ask("Your language?")).text
    name = await chat.ask("Your name?")
    again = chat.changed("ask for the language")
    mail = await chat.ask("Your e-mail?")
    await chat.say(f"{language} {name.text} {mail.text} {number} {again}")


async def _changed_for_good(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(price)
    language = (await chat.ask("Your language?")).text
    name = await chat.ask("Your name?")
    mail = await chat.ask("Your e-mail?")
    await chat.say(f"{language} {name.text} {mail.text} {number}")


def test_changed_is_false_for_those_who_were_beyond_it() -> None:
    """They go on as they began, to the end."""
    result = deployed(_name_first, one(_changed), after=("Ada", "a@x"))
    assert (result.foretold, result.said) == ("", ["Your e-mail?", "? Ada a@x 3 False"])


def test_changed_is_true_for_those_who_begin_with_it() -> None:
    """Also after a restart, and when a later version asks no more whether it has changed."""
    result = deployed(_changed, one(_changed), before=("Latin",), after=("Ada", "a@x"))
    assert (result.foretold, result.said[-1]) == ("", "Latin Ada a@x 3 True")
    result = deployed(_changed, one(_changed_for_good), before=("Latin",), after=("Ada", "a@x"))
    assert (result.foretold, result.said[-1]) == ("", "Latin Ada a@x 3")


async def _changed_later(chat: Chat) -> None:
    await chat.say("Welcome.")
    number = await chat.call(price)
    name = await chat.ask("Your name?")
    if chat.changed("greet by name"):
        await chat.say(f"Hello {name.text}!")
    mail = await chat.ask("Your e-mail?")
    await chat.say(f"{mail.text} {number}")


@pytest.mark.parametrize("legacy", [False, True])
def test_changed_is_false_for_older_runs_wherever_they_are(legacy: bool) -> None:
    """Also for those that have not come to the place yet, and for those that an earlier version of the bot began."""
    result = deployed(_name_first, one(_changed_later), after=("Ada", "a@x"), legacy=legacy)
    assert (result.foretold, result.said) == ("", ["Your e-mail?", "a@x 3"])
    again = deployed(_changed_later, one(_changed_later), after=("Ada", "a@x"), legacy=False)
    assert again.said == ["Hello Ada!", "Your e-mail?", "a@x 3"]


async def _computed(chat: Chat) -> None:
    one, two = (chat.changed(name) for name in ("one", "two"))
    name = await chat.ask("Your name?")
    await chat.say(f"{one} {two} {name.text}")


async def _computed_otherwise(chat: Chat) -> None:
    (two,) = (chat.changed(name) for name in ("two",))
    name = await chat.ask("Your name?")
    (three,) = (chat.changed(name) for name in ("three",))
    await chat.say(f"{two} {three} {name.text}")


def test_names_that_are_computed() -> None:
    """They are noted in the journal when a run comes to them first; notes may be forgotten one by one."""
    result = deployed(_computed, one(_computed_otherwise))
    assert (result.foretold, result.said) == ("", ["True True Ada"])
    result = deployed(_asks_name, one(_computed))
    assert (result.foretold, result.said) == ("", ["False False Ada"])


async def _asks_name(chat: Chat) -> None:
    name = await chat.ask("Your name?")
    await chat.say(name.text)


async def _asks_within(chat: Chat) -> None:
    async def inner() -> None:
        if chat.changed("inner"):
            await chat.say("inner")

    await inner()
    await _changed_later(chat)
    await Flow("other", _changed)(chat)


def test_where_changes_are_found() -> None:
    """In the flow's function, those within it, and those that it calls by their names."""
    assert changes_of(_changed) == {"ask for the language"}
    assert changes_of(_asks_within) == {"inner", "greet by name", "ask for the language"}
    assert changes_of(_computed) == set()
    assert changes_of(partial(_changed)) == set()
    assert changes_of(_Unhashable()) == set()


class _Unhashable:
    """A flow's function may be any callable."""

    __hash__ = None  # type: ignore[assignment]

    async def __call__(self, chat: Chat) -> None:
        """Do nothing."""


# -- what the check itself does ---------------------------------------------------------------------------------------


def test_the_check_has_no_effects() -> None:
    """No new call runs, nothing is said, and a question whose time is over is not answered."""
    called: list[str] = []

    async def calls(chat: Chat) -> None:
        with suppress(NoAnswer):
            await chat.ask("Your name?", timeout=timedelta(seconds=10))
        await chat.call(lambda: called.append("called"))

    async def whole(loop: Any) -> None:
        async with Stage(loop, catalogue=one(calls), policy=Policy(me=BOT, app_key=True, closes=False)) as stage:
            process = await stage.start_process()
            played = Play(stage)
            await played.visitor.says("hi")
            await stage.wait(timedelta(seconds=5))
            process.kill()
            await stage.wait(timedelta(minutes=2))
            journal = await journal_of(stage, played.visitor.conversation_id)
            assert await misfit(stage.catalogue, "c1", journal, stage.clock) == ""
            assert waits_at(journal).startswith('ask "Your name?" (test_flow_deploys.py:')
            assert called == []

    run_virtual(whole)


async def test_a_flow_that_takes_no_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may wait for something outside `chat.call`."""

    async def hangs(_: Chat) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return

    monkeypatch.setattr("bot.engine.journal_check.PATIENCE", 0.01)
    began = {"began": {"kind": "message"}, "user": {"id": "u", "name": None}}
    journal = [JournalEntry(1, 0, "began", "order", began), JournalEntry(1, 1, "say", "")]
    assert "takes no step" in await misfit(one(hangs), "c1", journal)


def test_words_of_users_are_not_told() -> None:
    """A text that does not stand in the flow's code may quote somebody: only where it stands is told."""

    async def quotes(chat: Chat) -> None:
        name = await chat.ask("Your name?")
        await chat.ask(f"{name.text}, your e-mail?")

    async def quotes_otherwise(chat: Chat) -> None:
        name = await chat.ask("Your name?")
        await chat.ask(f"Dear {name.text}, your e-mail?")

    result = deployed(quotes, one(quotes_otherwise), before=("Ada Lovelace",), after=("a@x",))
    assert "step 3: the code at test_flow_deploys.py:" in result.foretold
    assert result.foretold.endswith("wants ask with another text than the journal has")
    assert "Ada" not in str(result.details)
