"""The sandbox's pages by their HTTP API: what people do, what they see, and who may ask at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tiers import some

from bot.cli.sandbox_bot import SandboxBot, settings_beside
from bot.clock import SystemClock
from bot.sandbox.pages import Pages
from bot.sandbox.records import Caller
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.switches import Switches
from bot.store import migrate

Json = dict[str, Any]
TOKEN = "a token of the api"


class Site:
    """The pages with a bot behind them, and somebody who asks."""

    def __init__(self, sandbox: Sandbox, bot: SandboxBot, pages: Pages, http: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.bot = bot
        self.pages = pages
        self.http = http
        self.url = f"http://127.0.0.1:{pages.port}"

    async def get(self, path: str, status: int = 200) -> Json:
        """GET below `/api`."""
        async with self.http.get(f"{self.url}/api/{path}") as response:
            assert response.status == status, await response.text()
            answer: Json = await response.json()
            return answer

    async def post(self, path: str, body: object = None, status: int = 200, **headers: str) -> Json:
        """POST JSON below `/api`."""
        async with self.http.post(f"{self.url}/api/{path}", json=body or {}, headers=headers) as response:
            assert response.status == status, await response.text()
            answer: Json = await response.json()
            return answer

    async def begins(self, text: str = "Hello!") -> str:
        """A conversation in which the user has said something."""
        user = (await self.get("state"))["firstUser"]
        conversation_id = str((await self.post(f"users/{user}/conversations", status=201))["id"])
        await self.post(f"conversations/{conversation_id}/user/say", {"text": text})
        return conversation_id

    async def until(self, conversation_id: str, look: Callable[[Json], bool], reader: str = "user") -> Json:
        """Wait until a conversation looks like that."""
        for _ in range(300):
            view = await self.get(f"conversations/{conversation_id}?as={reader}")
            if look(view):
                return view
            await asyncio.sleep(0.05)
        raise AssertionError(view)

    async def taps(self, conversation_id: str, label: str) -> None:
        """Tap what the newest message offers under that label, on its cards too."""
        view = await self.until(conversation_id, lambda view: label in _labels(view["messages"][-1]))
        message = view["messages"][-1]
        for item, actions in _offers(message):
            for action in actions:
                if action["text"] == label:
                    body = {"message": message["id"], "place": action["place"], "item": item}
                    await self.post(f"conversations/{conversation_id}/user/tap", body)
                    return


def _offers(message: Json) -> list[tuple[int | None, list[Json]]]:
    items: list[tuple[int | None, list[Json]]] = [
        (n, item["actions"]) for n, item in enumerate(message.get("items", ()))
    ]
    return [(None, message["actions"]), *items]


def _labels(message: Json) -> list[str]:
    return [action["text"] for _, actions in _offers(message) for action in actions]


def said(view: Json) -> str:
    """What was said last."""
    return str(view["messages"][-1]["text"]) if view["messages"] else ""


def told(view: Json) -> str:
    """The timeline as one text."""
    return " ".join(line["text"] for line in view["timeline"])


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A site in pass mode."""
    clock = SystemClock()
    async with Sandbox(switches=Switches(mode="pass"), time_scale=0.02) as sandbox:
        settings = settings_beside(
            sandbox,
            database_url=f"sqlite:///{tmp_path}/sandbox.db",
            host="127.0.0.1",
            port=0,
            flows="bot.sandbox.tour_flows",
            opening_flow="tour",
            closing_flow="farewell",
            release_grace="500ms",
            api_token=TOKEN,
        )
        migrate(settings.database_url)
        bot = SandboxBot(sandbox, settings, clock, lambda: pages.changed())
        pages = Pages(sandbox, bot, "127.0.0.1", 0)
        await pages.start()
        await bot.start()
        async with aiohttp.ClientSession() as http:
            yield Site(sandbox, bot, pages, http)
        await pages.stop()
        await bot.stop()


async def test_a_conversation_in_pass_mode(site: Site) -> None:
    """The end in pass mode: control stays with the bot, the bot releases it, and has the proof."""
    conversation_id = await site.begins()
    view = await site.until(conversation_id, lambda view: "tea shop" in said(view))
    assert (view["holder"], view["state"]) == ("bot", "open")

    await site.post(f"conversations/{conversation_id}/user/end")
    view = await site.until(conversation_id, lambda view: view["state"] == "closed")

    assert view["holder"] == "nobody"
    assert not view["canWrite"]
    assert "You ended the conversation. In pass control mode control stays with the bot" in told(view)
    assert "The bot released control" in told(view)
    assert "Closed, proven" in told(view)
    assert view["timeline"][-1]["kind"] == "proof"
    assert "over" in said(view)


async def test_a_conversation_in_release_mode(site: Site) -> None:
    """The mode is changed for the account and for the bot; then the platform releases by itself."""
    await site.post("mode", {"account": "release", "bot": "release"})
    assert (await site.get("state"))["bot"] == "release"
    conversation_id = await site.begins()
    await site.until(conversation_id, lambda view: "tea shop" in said(view))

    await site.post(f"conversations/{conversation_id}/user/end")
    view = await site.until(conversation_id, lambda view: view["state"] == "closed")

    assert "In release control mode the platform releases control by itself" in told(view)
    assert "The bot released" not in told(view)


@pytest.mark.parametrize("mode", some(["pass", "release"]))
async def test_with_an_agent(site: Site, mode: str) -> None:
    """The bot hands over, the agent writes, the user ends, and it closes."""
    await site.post("mode", {"account": mode, "bot": mode})
    conversation_id = await site.begins()
    await site.taps(conversation_id, "Talk to a person")
    view = await site.until(conversation_id, lambda view: view["holder"] == "agent", "agent")
    assert view["ticket"] == {"number": 1, "status": "open", "open": True, "fields": {"tags": "sandbox"}}
    desk = await site.get("desk")
    assert [(one["id"], one["holder"]) for one in desk["conversations"]] == [(conversation_id, "agent")]

    await site.post(f"conversations/{conversation_id}/agent/say", {"text": "This is Ada."})
    view = await site.until(conversation_id, lambda view: said(view) == "This is Ada.")
    assert (view["messages"][-1]["from"], view["messages"][-1]["name"]) == ("agent", "Ada")
    await site.post(f"conversations/{conversation_id}/user/end")
    view = await site.until(conversation_id, lambda view: view["state"] == "closed", "agent")

    assert "Sam ended the conversation." in told(view)
    expected = "passes control to the bot, which must release it" if mode == "pass" else "releases control by itself"
    assert expected in told(view)


@pytest.mark.parametrize(
    ("act", "holder", "words"),
    [
        ("close", "bot", "passes control to the bot, which must release it: the ticket was closed"),
        ("pass", "bot", "The agent Ada passed control to the bot."),
        ("end", "bot", "the agent ended the session"),
        ("transfer", "nobody", "the conversation continues by e-mail"),
        ("release", "nobody", "The agent Ada released control: nobody is active."),
    ],
)
async def test_what_the_agent_can_do(site: Site, act: str, holder: str, words: str) -> None:
    """Each of the agent's buttons; where control comes back, the bot asks how it went."""
    conversation_id = await site.begins()
    await site.taps(conversation_id, "Talk to a person")
    await site.until(conversation_id, lambda view: view["holder"] == "agent")

    await site.post(f"conversations/{conversation_id}/agent/{act}")

    view = await site.until(conversation_id, lambda view: words in told(view) and view["holder"] == holder)
    if holder == "bot":
        await site.taps(conversation_id, "Good")
        view = await site.until(conversation_id, lambda view: view["holder"] == "nobody")
        assert said(view) == "Thank you!"
    assert view["state"] == "idle"


async def test_everything_that_can_be_tapped(site: Site) -> None:
    """Quick replies, buttons and links on cards, a form, the typing sign."""
    conversation_id = await site.begins()
    await site.taps(conversation_id, "Buy tea")
    view = await site.until(conversation_id, lambda view: "items" in view["messages"][-1])
    card = view["messages"][-1]["items"][0]
    assert card["actions"][1] == {
        "place": 1,
        "type": "link",
        "text": "Read more",
        "url": "https://example.com/green",
    }
    await site.taps(conversation_id, "Buy")
    view = await site.until(conversation_id, lambda view: "anything else" in said(view))
    assert "Your green tea is on its way" in view["messages"][-2]["text"]
    assert view["messages"][1]["actions"] == []  # quick replies go away

    await site.taps(conversation_id, "Book a tasting")
    view = await site.until(conversation_id, lambda view: "form" in view["messages"][-1])
    form = view["messages"][-1]
    values = {"name": "Ada", "mail": "ada@example.com", "time": "In the morning"}
    await site.post(f"conversations/{conversation_id}/user/submit", {"message": form["id"], "values": values})
    view = await site.until(conversation_id, lambda view: "anything else" in said(view))
    assert "See you in the morning, Ada!" in view["messages"][-2]["text"]
    assert next(m for m in view["messages"] if m["id"] == form["id"])["form"]["answered"]

    await site.taps(conversation_id, "Ask something hard")
    await site.until(conversation_id, lambda view: view["typing"])
    view = await site.until(conversation_id, lambda view: "boil the water" in str(view["messages"]))
    assert not view["typing"]


async def test_a_flow_that_another_system_begins(site: Site) -> None:
    """Not while an agent is active. Then, where nobody is, the bot takes control and gives it up again."""
    conversation_id = await site.begins()
    await site.taps(conversation_id, "Talk to a person")
    await site.until(conversation_id, lambda view: view["holder"] == "agent")

    port = site.bot.console().port

    async def asks(key: str) -> tuple[int, Json]:
        url = f"http://127.0.0.1:{port}/api/v1/conversations/{conversation_id}/flows/farewell"
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key}
        async with site.http.post(url, headers=headers) as response:
            return response.status, await response.json()

    async def answers(status: int, **known: str) -> None:
        """Ask until the answer is this one: what the platform has done is told a moment later."""
        for number in range(100):
            answered, body = await asks(f"{status}-{number}")
            if answered == status and body.items() >= known.items():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(body)

    await answers(409, active="zd-agentWorkspace")
    site.sandbox.switchboard.release_control(conversation_id, Caller("elsewhere", "app"), SystemClock().now())
    await answers(202)
    view = await site.until(conversation_id, lambda view: "How did we do?" in said(view))
    assert view["holder"] == "bot"
    await site.until(conversation_id, lambda view: "Proven: the bot got control" in told(view))
    await site.taps(conversation_id, "Good")
    await site.until(conversation_id, lambda view: "Thank you!" in said(view))


async def test_a_flow_that_breaks(site: Site) -> None:
    """It raises, and control is given up all the same; the page says so."""
    conversation_id = await site.begins()
    await site.taps(conversation_id, "Break the bot")
    await site.taps(conversation_id, "Raise an error")

    view = await site.until(conversation_id, lambda view: view["holder"] == "agent")

    assert "The bot's flow failed" in told(view)


async def test_the_bot_was_stopped_when_it_ended(site: Site) -> None:
    """An end that nobody hears: the conversation stays open, until the bot is started again."""
    conversation_id = await site.begins()
    await site.until(conversation_id, lambda view: "tea shop" in said(view))
    await site.post("bot", {"running": False})
    assert not (await site.get("state"))["running"]

    await site.post(f"conversations/{conversation_id}/user/end")
    view = await site.get(f"conversations/{conversation_id}")
    assert (view["state"], view["holder"]) == ("stuck", "bot")
    assert "still open" in view["standing"]

    await site.post("bot", {"running": True})
    view = await site.until(conversation_id, lambda view: view["state"] == "closed")
    assert "The bot released control" in told(view)


async def test_the_two_modes_apart(site: Site) -> None:
    """Only the account is changed: the bot notices, and the conversation is closed all the same."""
    await site.post("mode", {"account": "release"})
    state = await site.get("state")
    assert (state["account"], state["bot"]) == ("release", "pass")
    await site.post("mode", {"account": "pass", "bot": "release"})
    conversation_id = await site.begins()
    await site.taps(conversation_id, "Talk to a person")
    await site.until(conversation_id, lambda view: view["holder"] == "agent")

    await site.post(f"conversations/{conversation_id}/user/end")
    view = await site.until(conversation_id, lambda view: view["state"] == "closed")

    assert "does not act as in control mode 'release'" in told(view)


async def test_several_people_and_conversations(site: Site) -> None:
    """Each sees their own; a name and words are data, whatever is in them."""
    first = await site.begins("first")
    second = await site.begins("second")
    evil = "<script>alert(1)</script>"
    other = (await site.post("users", {"name": evil}, status=201))["id"]

    sam = (await site.get("state"))["firstUser"]
    assert {one["id"] for one in (await site.get(f"users/{sam}"))["conversations"]} == {first, second}
    assert await site.get(f"users/{other}") == {"user": {"id": other, "name": evil}, "conversations": []}


async def test_what_is_not_possible(site: Site) -> None:
    """Told in a sentence, with 400, 404 or 409."""
    conversation_id = await site.begins()
    path = f"conversations/{conversation_id}"
    assert "agent workspace" in (await site.post(f"{path}/agent/release", status=409))["error"]
    assert "open ticket" in (await site.post(f"{path}/agent/close", status=409))["error"]
    assert (await site.post(f"{path}/user/fly", status=404))["error"] == "Not Found"
    assert (await site.post(f"{path}/user/say", {"text": " "}, status=400))["error"] == "text must be a text."
    assert "at most 4096" in (await site.post(f"{path}/user/say", {"text": "x" * 5000}, status=400))["error"]
    assert "no such button" in (await site.post(f"{path}/user/tap", {"message": "no", "place": 0}, status=409))["error"]
    assert "object" in (await site.post(f"{path}/user/submit", {"values": 1}, status=400))["error"]
    assert "object" in (await site.post(f"{path}/user/say", [1], status=400))["error"]
    assert "mode" in (await site.post("mode", {"account": "both"}, status=400))["error"]
    assert "running" in (await site.post("bot", {"running": "yes"}, status=400))["error"]
    assert "does not exist" in (await site.get("conversations/none", 409))["error"]
    assert "does not exist" in (await site.get("users/none", 409))["error"]
    await site.post(f"{path}/user/end")
    assert "ended" in (await site.post(f"{path}/user/say", {"text": "hi"}, status=409))["error"]
    assert "ended already" in (await site.post(f"{path}/user/end", status=409))["error"]
    async with site.http.post(
        f"{site.url}/api/users", data=b"{", headers={"Content-Type": "application/json"}
    ) as answer:
        assert (answer.status, await answer.json()) == (400, {"error": "The body is not JSON."})


async def test_no_other_site_gets_in(site: Site) -> None:
    """Neither by a name that leads here, nor by a request that another site's page sends."""
    async with site.http.get(site.url, headers={"Host": "evil.example"}) as answer:
        assert answer.status == 403
    await site.post("users", {"name": "Eve"}, status=403, Origin="http://evil.example")
    await site.post("users", {"name": "Ada"}, status=201, Origin=site.url)
    async with site.http.post(f"{site.url}/api/users", data='{"name": "Eve"}') as answer:
        assert answer.status == 403  # what a form of another site could send
    async with site.http.get(f"{site.url}/static/../server.py") as answer:
        assert answer.status == 404


STRANGE_HOSTS = (
    *(
        "evil.example",
        "evil.example:8090",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.localhost.example",
    ),
    *(
        "127.0.0.1.nip.io",
        "xn--lcalhost-5wa",
        "localhost.",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "127.0.0.1@evil.example",
    ),
    *("evil.example#localhost", "evil.example/localhost", "[::1", "::1", "[::1].evil.example", "a b"),
)
STRANGE_ORIGINS = (
    *(
        "null",
        "",
        "http://",
        "https://",
        "://",
        "evil.example",
        "http://evil.example",
        "https://evil.example",
        "file://",
    ),
    *("http://localhost", "http://127.0.0.1", "http://127.0.0.1:1", "https://{host}", "ftp://{host}", "http://{host}/"),
    *("http://{host}.evil.example", "http://{host}@evil.example", "http://evil.example@{host}", "http://{host}#"),
    *("http://evil.example#{host}", "http://evil.example?{host}", "http://evil.example/{host}", "HTTP://{host}/x"),
    *("http://{host}, http://evil.example", "http://evil.example, http://{host}", "http://{host} http://evil.example"),
    *("http://user@{host}", "http://{host}:80", "http://[::1]", "http://localhost:{port}", "http://127.1:{port}"),
    *("chrome-extension://abc", "moz-extension://abc", "data:text/html,x", "javascript:x"),
)


async def test_strange_hosts(site: Site) -> None:
    """No name that another site can point here opens a page, or changes anything; a malformed one is a 4xx."""
    assert len(STRANGE_HOSTS) == 18
    for host in STRANGE_HOSTS:
        for path in ("", "api/state"):
            async with site.http.get(f"{site.url}/{path}", headers={"Host": host}) as answer:
                assert 400 <= answer.status < 500, host
        async with site.http.post(f"{site.url}/api/bot", json={"running": False}, headers={"Host": host}) as answer:
            assert 400 <= answer.status < 500, host
    assert site.bot.is_running


async def test_strange_origins(site: Site) -> None:
    """No page of another site changes anything through the visitor's browser."""
    assert len(STRANGE_ORIGINS) == 35
    host = f"127.0.0.1:{site.pages.port}"
    for origin in STRANGE_ORIGINS:
        given = origin.format(host=host, port=site.pages.port)
        await site.post("bot", {"running": False}, status=403, Origin=given)
    assert site.bot.is_running
    await site.post("bot", {"running": True}, status=200, Origin=site.url)


async def test_the_way_to_the_console(site: Site) -> None:
    """On the host by which one came; without a sign-in where others may reach the pages, with one otherwise."""
    async with site.http.get(f"{site.url}/console", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, site.bot.console_url)
        assert "Set-Cookie" not in answer.headers
    local = f"http://localhost:{site.pages.port}/console?conversation=abc"
    async with site.http.get(local, headers={"Host": "localhost"}, allow_redirects=False) as answer:
        path = "/conversations/abc"
        assert answer.headers["Location"] == site.bot.console_url.replace("127.0.0.1", "localhost") + path


async def test_the_pages_take_nothing_from_elsewhere(site: Site) -> None:
    """A strict policy on every answer; every script and style that the pages name is there."""
    for path in (
        "",
        "agent",
        "static/style.css",
        "static/common.js",
        "static/chat.js",
        "static/agent.js",
        "static/icon.svg",
    ):
        async with site.http.get(f"{site.url}/{path}") as answer:
            assert answer.status == 200
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            text = await answer.text()
            assert "https://" not in text
            assert " style=" not in text
            assert "innerHTML" not in text


async def test_open_pages_are_told_of_changes(site: Site) -> None:
    """A number at once, and a greater one with every change."""
    async with site.http.get(f"{site.url}/api/changes") as stream:
        assert stream.content_type == "text/event-stream"
        first = await _next_number(stream)
        await site.begins()
        assert await _next_number(stream) > first


async def _next_number(stream: aiohttp.ClientResponse) -> int:
    async with asyncio.timeout(60):
        while True:
            line = await stream.content.readline()
            if line.startswith(b"data:"):
                return int(line[5:])
