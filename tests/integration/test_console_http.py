"""The console over real HTTP: who may come in, what is shown, what can be done, and what is written down of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from bot.console.attempts import MOST_OF_ONE
from bot.console.doors import SESSION
from bot.console.render import HOME
from bot.console.sessions import LASTS, Sessions
from bot.console.site import Console, closed_console
from bot.control.history import Moment, MomentKind
from bot.control.policy import Policy
from bot.control.state import Conversation, Ended, Holder, Integration, Who
from bot.signals import Signal
from bot.store import Change, SqliteStore, Unavailable
from webhooks.inbox import NewEvent

TOKEN = "a long token of the console"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DESK = Integration("sw_desk", "zd-agentWorkspace", "zd:agentWorkspace")
SCRIPT = "<script>alert(1)</script>"
HELD = Conversation("c1", holder=Holder(Who.BOT, how="an event"), idle_at=START + MINUTE)
WITH_AGENT = Conversation("c2", holder=Holder(Who.OTHER, DESK, how="a read"), mismatch_reported=True)


@dataclass
class Tick:
    """A clock that a test moves."""

    time: datetime = START

    def now(self) -> datetime:
        """The time."""
        return self.time


@dataclass
class Site:
    """The console, its store, and a browser of sorts."""

    client: TestClient[web.Request, web.Application]
    store: SqliteStore
    clock: Tick
    signals: list[Signal] = field(default_factory=list)
    woken: list[str | None] = field(default_factory=list)

    async def get(self, path: str = "", **more: Any) -> ClientResponse:
        """A page."""
        return await self.client.get(f"{HOME}{path}", allow_redirects=False, **more)

    async def text(self, path: str = "") -> str:
        """A page that there is."""
        response = await self.get(path)
        assert response.status == 200
        return await response.text()

    async def post(self, path: str, **form: str) -> ClientResponse:
        """A form as it is."""
        return await self.client.post(f"{HOME}{path}", data=form, allow_redirects=False)

    async def submit(self, path: str, to: str | None = None, **form: str) -> ClientResponse:
        """The hidden fields of a page, and more, posted."""
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', await (await self.get(path)).text()))
        return await self.post(to or path, **(hidden | form))

    async def sign_in(self, token: str = TOKEN) -> ClientResponse:
        """Through the door."""
        return await self.submit("/sign-in", token=token)

    async def put(self, state: Conversation, *events: NewEvent, moments: Iterable[Moment] = ()) -> None:
        """A conversation in a state."""
        wake = NewEvent(f"wake {state.id}", state.id, "conversation:read", b"{}", START)
        await self.store.receive([wake, *events])
        works = await self.store.claim(owner="w", now=self.clock.now(), lease=MINUTE, limit=9)
        (work,) = [work for work in works if work.lease.conversation_id == state.id]
        change = Change(state, handled=[event.id for event in work.events], history=list(moments), release=True)
        await self.store.save(work.lease, change, self.clock.now())


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """Nobody is signed in; the bot holds one conversation, in which a user with an odd name has written."""
    store = SqliteStore(":memory:", inline=True)
    await store.start()
    clock = Tick()
    signals: list[Signal] = []
    woken: list[str | None] = []
    console = Console(TOKEN, store, Policy("bot", app_key=True), clock, observe=signals.append, wake=woken.extend)
    app = web.Application()
    app.add_subapp(HOME, console.application())
    async with TestClient(TestServer(app)) as client:
        made = Site(client, store, clock, signals, woken)
        message = {
            "id": "m",
            "author": {"type": "user", "displayName": f"Ada {SCRIPT}"},
            "content": {"type": "text", "text": f"personal words {SCRIPT}"},
        }
        event = {
            "id": "e1",
            "type": "conversation:message",
            "payload": {"conversation": {"id": "c1"}, "message": message},
        }
        said = NewEvent("e1", "c1", "conversation:message", json.dumps(event).encode(), START)
        await made.put(HELD, said, moments=[Moment(START, MomentKind.FAILED, "flow failed: ValueError")])
        yield made
    await store.stop()


class TestDoor:
    """Who may come in."""

    PAGES = ("", "/", "/conversations/c1", "/conversations/c1/release", "/set-aside", "/audit", "/live", "/none")

    @pytest.mark.parametrize("path", PAGES)
    async def test_closed(self, site: Site, path: str) -> None:
        """Without a session every page leads to the sign-in page, and a stream or script is told 401."""
        response = await site.get(path)
        assert (response.status, response.headers["Location"]) == (303, f"{HOME}/sign-in")
        response = await site.get(path, headers={"Accept": "text/event-stream"})
        assert response.status == 401
        assert "personal" not in await response.text()

    async def test_open(self, site: Site) -> None:
        """The token opens it; the cookie can't be read by scripts, and goes to no other site."""
        response = await site.sign_in()
        assert (response.status, response.headers["Location"]) == (303, HOME)
        cookie = next(one for one in response.headers.getall("Set-Cookie") if one.startswith(f"{SESSION}="))
        assert {"HttpOnly", "SameSite=Strict", "Path=/console"} <= {part.strip() for part in cookie.split(";")}
        assert "Secure" not in cookie
        assert (await site.get()).status == 200
        assert [signal.event for signal in site.signals] == ["console_sign_in"]
        assert [entry.action for entry in await site.store.audit_log()] == ["sign in"]

    async def test_secure_cookie(self, site: Site) -> None:
        """Behind a proxy that speaks https, the cookie goes over https only."""
        response = await site.get("/sign-in", headers={"X-Forwarded-Proto": "https"})
        assert "Secure" in response.headers["Set-Cookie"]

    async def test_refused(self, site: Site) -> None:
        """A wrong token; it is neither shown nor logged."""
        response = await site.sign_in("a wrong token")
        assert response.status == 401
        assert "That is not the token" in await response.text()
        assert "a wrong token" not in repr(site.signals) + await response.text()
        assert (await site.get()).status == 303

    async def test_rate_limited(self, site: Site) -> None:
        """After some wrong tokens even the right one has to wait."""
        for _ in range(MOST_OF_ONE):
            assert (await site.sign_in("wrong")).status == 401
        response = await site.sign_in()
        assert (response.status, response.headers["Retry-After"]) == (429, "300")
        site.clock.time += 5 * MINUTE
        assert (await site.sign_in()).status == 303

    async def test_many_at_once(self, site: Site) -> None:
        """Attempts that are under way together are counted one after the other."""
        page = await (await site.get("/sign-in")).text()
        (csrf,) = re.findall(r'name="csrf" value="(\w+)"', page)
        answers = await asyncio.gather(
            *(site.post("/sign-in", csrf=csrf, token=f"guess {n}") for n in range(3 * MOST_OF_ONE))
        )
        statuses = [answer.status for answer in answers]
        assert (statuses.count(401), statuses.count(429)) == (MOST_OF_ONE, 2 * MOST_OF_ONE)

    async def test_sign_in_from_elsewhere(self, site: Site) -> None:
        """A sign-in form that another site has made is refused."""
        assert (await site.post("/sign-in", token=TOKEN)).status == 403
        await site.get("/sign-in")
        assert (await site.post("/sign-in", token=TOKEN, csrf="guessed")).status == 403

    async def test_sign_out(self, site: Site) -> None:
        """And out again."""
        await site.sign_in()
        response = await site.submit("", "/sign-out")
        assert response.status == 303
        assert (await site.get()).status == 303

    async def test_session_ends(self, site: Site) -> None:
        """After its time, and with another token."""
        await site.sign_in()
        site.clock.time += LASTS
        assert (await site.get()).status == 303
        site.client.session.cookie_jar.update_cookies({SESSION: Sessions("another token, quite long").begin(START)})
        assert (await site.get()).status == 303

    @pytest.mark.parametrize("path", ["/sign-out", "/set-aside", "/conversations/c1/release"])
    async def test_forged_forms(self, site: Site, path: str) -> None:
        """A form without the token of this session does nothing."""
        await site.sign_in()
        for form in ({}, {"csrf": "guessed"}, {"csrf": Sessions(TOKEN).form_token("other")}):
            assert (await site.post(path, **form)).status == 403
        assert site.woken == []
        assert (await site.get()).status == 200

    async def test_large_form(self, site: Site) -> None:
        """What is far too large is not read."""
        await site.sign_in()
        assert (await site.post("/sign-out", csrf="x" * 100_000)).status == 413


class TestHeaders:
    """Every answer says what a browser may do with it."""

    @pytest.mark.parametrize("path", ["", "/sign-in", "/static/console.css", "/none", "/conversations/none", "/live"])
    async def test_strict(self, site: Site, path: str) -> None:
        """Nothing inline, nothing from elsewhere, no frame around it."""
        await site.sign_in()
        response = await site.get(path)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        response.close()

    @pytest.mark.parametrize("path", ["", "/conversations/c1", "/conversations/c1/release", "/set-aside", "/audit"])
    async def test_nothing_inline(self, site: Site, path: str) -> None:
        """No page has a script or a style of its own, or anything from another host."""
        await site.sign_in()
        html = await site.text(path)
        assert not re.search(r"<script(?! src=\"/console/static/)|<style|style=|\son\w+=|https?://", html)


class TestPages:
    """What is shown."""

    async def test_overview(self, site: Site) -> None:
        """The numbers, the mode, the list; and not a word of what was said."""
        await site.sign_in()
        html = await site.text()
        numbers = re.findall(r"<strong>(\d+)</strong> <span>([\w ]+)</span>", html)
        assert numbers == [("1", "held"), ("0", "owed"), ("0", "overdue"), ("0", "set aside")]
        assert "releases control by itself" in html
        assert "behaves accordingly" in html
        assert "/console/conversations/c1" in html
        assert "personal words" not in html
        assert "Ada" not in html

    async def test_mismatch(self, site: Site) -> None:
        """Where the platform acts as in the other mode, that is told for a day, with the way to those conversations."""
        await site.put(WITH_AGENT)
        await site.sign_in()
        assert "In 1 conversation of the last 24 hours" in await site.text()
        html = await site.text("?filter=mismatch")
        assert "/console/conversations/c2" in html
        assert "/console/conversations/c1" not in html
        site.clock.time += timedelta(days=1)
        await site.sign_in()
        assert "behaves accordingly" in await site.text()

    async def test_filters(self, site: Site) -> None:
        """By standing, by age, by the beginning of the id; page after page."""
        await site.put(WITH_AGENT)
        await site.put(replace(HELD, id="c3"))
        await site.sign_in()

        async def shown(query: str) -> list[str]:
            return re.findall(r'id="c-(\w+)"', await site.text(query))

        assert await shown("?filter=held") == ["c1", "c3"]
        assert await shown("?filter=held&older=1h") == []
        assert await shown("?q=c2") == ["c2"]
        assert await shown("?q=zz") == []
        assert await shown("") == ["c3", "c2", "c1"]

    async def test_next_page(self, site: Site) -> None:
        """What does not fit is a link away."""
        for number in range(55):
            await site.put(replace(HELD, id=f"d{number:02}"))
        await site.sign_in()
        html = await site.text("?filter=held")
        (more,) = re.findall(r'id="next" href="/console([^"]+)"', html)
        rest = await site.text(more.replace("&amp;", "&"))
        pages = [re.findall(r'id="c-(\w+)"', page) for page in (html, rest)]
        assert [len(page) for page in pages] == [50, 6]
        assert not set(pages[0]) & set(pages[1])
        assert "To the beginning" in rest

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("?filter=odd", 400),
            ("?after=odd", 400),
            ("?after=9999999999999999999999~c1", 400),
            ("?older=7s", 400),
            ("/conversations/none", 404),
            ("/conversations/none/release", 404),
            ("/none", 404),
            ("/static/secret.txt", 404),
        ],
    )
    async def test_problems(self, site: Site, path: str, status: int) -> None:
        """What is not there is told in a sentence."""
        await site.sign_in()
        response = await site.get(path)
        assert response.status == status
        assert "That did not work" in await response.text()

    async def test_conversation(self, site: Site) -> None:
        """What was said shows as text, whatever it was; and that somebody has read it is written down."""
        await site.sign_in()
        html = await site.text("/conversations/c1")
        assert "personal words &lt;script&gt;alert(1)&lt;/script&gt;" in html
        assert "Ada &lt;script&gt;" in html
        assert SCRIPT not in html
        assert "flow failed: ValueError" in html
        newest = (await site.store.audit_log())[0]
        assert (newest.action, newest.conversation_id, newest.who) == ("view", "c1", "console")
        assert "view" in await site.text("/audit")

    async def test_odd_id(self, site: Site) -> None:
        """An id with everything in it can be listed and opened."""
        odd = "a/b?c=<d>&'\"# %2F"
        await site.put(replace(HELD, id=odd))
        await site.sign_in()
        links = re.findall(r'href="(/console/conversations/[^"]+)"', await site.text())
        (link,) = [one for one in links if not one.endswith("/c1")]
        response = await site.client.get(URL(link, encoded=True), allow_redirects=False)
        assert response.status == 200

    async def test_no_database(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """A database that is out of reach is told, without a traceback."""

        async def fails(*_: object) -> None:
            raise Unavailable("the disk is full")

        await site.sign_in()
        monkeypatch.setattr(site.store, "counts", fails)
        response = await site.get()
        assert response.status == 503
        assert "the disk is full" in await response.text()

    async def test_a_page_that_fails(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is told, as a page and in the log, without what the error says."""

        async def fails(*_: object) -> None:
            raise KeyError("personal words")

        await site.sign_in()
        monkeypatch.setattr(site.store, "counts", fails)
        response = await site.get()
        assert response.status == 500
        assert "personal words" not in await response.text() + repr(site.signals)
        assert (site.signals[-1].event, site.signals[-1].fields) == ("console_failed", {"error": "KeyError"})


class TestActs:
    """What can be done."""

    async def test_release(self, site: Site) -> None:
        """It is foretold, asked, stored as an order, written down, and the worker is woken."""
        await site.sign_in()
        assert "The bot holds control" in await site.text("/conversations/c1/release")
        response = await site.submit("/conversations/c1/release")
        assert (response.status, response.headers["Location"]) == (303, f"{HOME}/conversations/c1?asked=1")
        assert site.woken == ["c1"]
        (work,) = await site.store.claim(owner="w", now=START, lease=MINUTE, limit=9)
        assert [(one.by_operator, json.loads(one.body)) for one in work.events] == [
            (True, {"by": "console", "against": None})
        ]
        assert (await site.store.audit_log())[0].action == "release"
        assert "Asked for" in await site.text("/conversations/c1?asked=1")

    async def test_twice(self, site: Site) -> None:
        """The same form sent twice is one order."""
        await site.sign_in()
        page = await site.text("/conversations/c1/release")
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
        for _ in range(2):
            assert (await site.post("/conversations/c1/release", **hidden)).status == 303
        (work,) = await site.store.claim(owner="w", now=START, lease=MINUTE, limit=9)
        assert len(work.events) == 1

    async def test_take_from_others(self, site: Site) -> None:
        """Only when the operator is sure, and only from whom they were told of."""
        await site.put(WITH_AGENT)
        await site.sign_in()
        page = "/conversations/c2/release"
        assert "an agent may be talking" in await site.text(page)
        unsure = await site.submit(page)
        assert unsure.status == 409
        assert "Confirm that control is to be taken" in await unsure.text()
        other = await site.submit(page, sure="yes", against="sw_other")
        assert "Things have changed" in await other.text()
        assert site.woken == []
        assert (await site.submit(page, sure="yes")).status == 303
        (work,) = [
            work
            for work in await site.store.claim(owner="w", now=START, lease=MINUTE, limit=9)
            if work.lease.conversation_id == "c2"
        ]
        assert json.loads(work.events[0].body)["against"] == DESK.id

    async def test_changed_meanwhile(self, site: Site) -> None:
        """If what would happen is not what was foretold, the operator is asked anew."""
        await site.sign_in()
        page = await site.text("/conversations/c1/release")
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
        await site.put(replace(WITH_AGENT, id="c1"), NewEvent("e2", "c1", "x", b"{}", START))
        response = await site.post("/conversations/c1/release", **hidden)
        assert response.status == 409
        assert "Things have changed" in await response.text()
        assert site.woken == []

    async def test_nothing_to_release(self, site: Site) -> None:
        """Of a conversation that is gone nothing can be released."""
        await site.put(Conversation("c4", gone=True))
        await site.sign_in()
        html = await site.text("/conversations/c4/release")
        assert "has been removed" in html
        assert (await site.submit("/conversations/c1/release", "/conversations/c4/release")).status == 409

    async def test_after_the_end(self, site: Site) -> None:
        """An end that another holds is looked at."""
        ended = Ended(START, START + MINUTE)
        await site.put(replace(WITH_AGENT, id="c5", ended=ended))
        await site.sign_in()
        assert "Read now" in await site.text("/conversations/c5/release")
        assert (await site.submit("/conversations/c5/release")).status == 303

    async def test_retry(self, site: Site) -> None:
        """What is set aside is listed, and taken up again."""
        await site.store.receive([NewEvent("odd", "c1", "x", b"{}", START), NewEvent("app", None, "x", b"{}", START)])
        await site.store.set_aside("odd", f"no idea {SCRIPT}")
        await site.store.set_aside("app", "no idea")
        await site.sign_in()
        html = await site.text("/set-aside")
        assert SCRIPT not in html
        assert "no idea &lt;script&gt;" in html
        response = await site.submit("/set-aside", event="odd")
        assert response.status == 303
        assert site.woken == ["c1"]
        assert (await site.store.audit_log())[0].detail == "odd"
        assert (await site.submit("/set-aside", event="odd")).status == 404
        assert "odd" not in await site.text("/set-aside")

    async def test_much_set_aside(self, site: Site) -> None:
        """Page by page."""
        await site.store.receive([NewEvent(f"x{n:02}", None, "x", b"{}", START) for n in range(60)])
        for number in range(60):
            await site.store.set_aside(f"x{number:02}", "?")
        await site.sign_in()
        html = await site.text("/set-aside")
        (more,) = re.findall(r'href="/console(/set-aside\?before=\d+)"', html)
        rest = await site.text(more)
        assert [page.count("Try again") for page in (html, rest)] == [50, 10]


class TestLive:
    """What open pages are told."""

    async def _told(self, response: ClientResponse) -> str:
        async with asyncio.timeout(10):
            async for line in response.content:
                if line.startswith(b"data: "):
                    text = json.loads(line.removeprefix(b"data: "))
                    assert isinstance(text, str)
                    return text
        raise AssertionError("the stream has ended")

    async def test_overview(self, site: Site) -> None:
        """The list as it is, and again when it has changed."""
        await site.sign_in()
        async with await site.client.get(f"{HOME}/live?filter=held") as stream:
            assert stream.headers["Content-Type"] == "text/event-stream"
            first = await self._told(stream)
            assert 'id="c-c1"' in first
            assert "<html" not in first
            await site.put(replace(HELD, id="c3"))
            assert 'id="c-c3"' in await self._told(stream)

    async def test_conversation(self, site: Site) -> None:
        """A timeline, escaped, and that it was watched is written down."""
        await site.sign_in()
        async with await site.client.get(f"{HOME}/live?conversation=c1") as stream:
            first = await self._told(stream)
            assert SCRIPT not in first
            assert "personal words" in first
            assert (await site.store.audit_log())[0].action == "watch"

    async def test_removed(self, site: Site) -> None:
        """A conversation that is not there any more shows as that."""
        await site.sign_in()
        async with await site.client.get(f"{HOME}/live?conversation=none") as stream:
            assert "has been removed" in await self._told(stream)

    async def test_crowded(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """One too many is told so, and its page works without."""
        await site.sign_in()
        monkeypatch.setattr("bot.console.live.MOST_FOLLOWERS", 0)
        assert (await site.get("/live")).status == 503

    async def test_session_ends(self, site: Site) -> None:
        """A stream ends with its session."""
        await site.sign_in()
        site.clock.time += LASTS - timedelta(seconds=0.5)
        async with await site.client.get(f"{HOME}/live") as stream:
            async with asyncio.timeout(10):
                assert b'id=\\"c-c1\\"' in await stream.read()


async def test_stopping(site: Site) -> None:
    """An open page does not hold up the end of the process."""
    await site.sign_in()
    async with await site.client.get(f"{HOME}/live") as stream:
        await stream.content.readline()
        async with asyncio.timeout(2):
            await site.client.server.close()
            await stream.read()


async def test_off() -> None:
    """Without a token there is a hint in its place, and nothing else."""
    app = web.Application()
    app.add_subapp(HOME, closed_console())
    async with TestClient(TestServer(app)) as client:
        for path in ("", "/", "/sign-in", "/conversations/c1", "/static/secret.txt"):
            response = await client.get(f"{HOME}{path}")
            assert response.status == 404
            assert "CONSOLE_TOKEN" in await response.text()
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert (await client.get(f"{HOME}/static/console.css")).status == 200
        assert (await client.post(f"{HOME}/sign-in", data={"token": ""})).status == 405
