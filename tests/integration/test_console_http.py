"""The console over real HTTP: who may come in, what is shown, what can be done, and what is written down of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from console_site import DESK, HELD, MINUTE, SCRIPT, START, TOKEN, WITH_AGENT, Site, site
from tiers import some
from yarl import URL

from bot.console.attempts import FREE, MAX_DELAY, delay
from bot.console.auth import MAX_DELAYED, SESSION
from bot.console.formatting import COLUMNS, MEANINGS
from bot.console.render import HOME, MAX_TEXT_LENGTH
from bot.console.sessions import LIFETIME, Sessions
from bot.console.site import PAGE_SIZE, closed_console
from bot.control.history import Moment, MomentKind
from bot.control.state import Conversation, Ended
from bot.store import Change, Unavailable
from bot.troubles import What
from webhooks.contacts import Contact, ContactKind
from webhooks.inbox import NewEvent

__all__ = ["site"]


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

    @pytest.mark.parametrize(
        ("headers", "secure"),
        [
            ({}, False),
            ({"Host": "localhost:8080"}, False),
            ({"Host": "[::1]:8080"}, False),
            ({"Host": "bot.example.com"}, True),
            ({"Host": "10.0.0.7:8080"}, True),
            ({"Host": "127.0.0.1.example.com"}, True),
            ({"Host": "[::1"}, True),
            ({"Host": "[::1].example.com"}, True),
            ({"X-Forwarded-Proto": "https"}, True),
            ({"X-Forwarded-For": "192.0.2.1"}, True),
            ({"Forwarded": "for=192.0.2.1"}, True),
        ],
    )
    async def test_secure_cookie(self, site: Site, headers: dict[str, str], secure: bool) -> None:
        """Cookies go over https only, unless the browser runs on the bot's own machine."""
        response = await site.get("/sign-in", headers=headers)
        assert ("Secure" in response.headers["Set-Cookie"]) is secure

    @pytest.mark.parametrize("site", ["ada:token-of-ada-42,grace:token-of-grace"], indirect=True)
    async def test_operators_with_names(self, site: Site) -> None:
        """Each has a token; the log and the audit log say who did what, and an order by whom it was given."""
        assert (await site.sign_in("token-of-grace")).status == 303
        await site.get("/conversations/c1")
        assert [signal.fields["operator"] for signal in site.signals] == ["grace"]
        entries = [(entry.who, entry.action) for entry in await site.store.audit_log()]
        assert entries == [("console (grace)", "view"), ("console (grace)", "sign in")]
        assert "console (grace)" in await site.text("/audit")

    async def test_refused(self, site: Site) -> None:
        """A wrong token; it is neither shown nor logged."""
        response = await site.sign_in("a wrong token")
        assert response.status == 401
        assert "This token is wrong" in await response.text()
        assert "a wrong token" not in repr(site.signals) + await response.text()
        assert (await site.get()).status == 303

    async def test_the_right_token_always_passes(self, site: Site) -> None:
        """However many wrong ones came before, from the same address, too; those wait ever longer."""
        for _ in range(60):
            assert (await site.sign_in("wrong")).status == 401
        assert site.pauses == [delay(failures) for failures in range(FREE + 1, 61)]
        assert (await site.sign_in()).status == 303
        assert len(site.pauses) == 60 - FREE
        tries = [one.fields["tries"] for one in site.signals if one.event == "console_sign_in_refused"]
        assert tries == [1, 2, 4, 8, 16, 32]

    async def test_behind_a_reverse_proxy(self, site: Site) -> None:
        """Wrong tokens are counted by the address that the trusted proxy has seen; no header makes a request fail."""
        page = await site.get("/sign-in")
        (csrf,) = re.findall(r'name="csrf" value="(\w+)"', await page.text())
        cookie = page.headers["Set-Cookie"].partition(";")[0]

        async def wrong(*forwarded: str) -> None:
            site.client.session.cookie_jar.clear()  # those of such answers are Secure, and this is no https
            headers = [("Cookie", cookie), *(("X-Forwarded-For", value) for value in forwarded)]
            form = {"csrf": csrf, "token": "wrong"}
            answer = await site.client.post(f"{HOME}/sign-in", data=form, headers=headers)
            assert answer.status == 401

        for _ in range(FREE + 1):
            await wrong("198.51.100.1")
        assert len(site.pauses) == 1
        await wrong("198.51.100.1, 198.51.100.2")
        for odd in ("", ",,,", "\u00e9", "1.2.3.4:x", "a" * 4000):
            await wrong(odd)
        assert len(site.pauses) == 1 + 5 - FREE
        told = {one.fields["address"] for one in site.signals if one.event == "console_sign_in_refused"}
        assert told == {"198.51.100.1", "198.51.100.2", "127.0.0.1"}

    async def test_many_at_once(self, site: Site) -> None:
        """Only so many answers are held back at the same time; the right token passes meanwhile."""
        site.go_on.clear()
        page = await (await site.get("/sign-in")).text()
        (csrf,) = re.findall(r'name="csrf" value="(\w+)"', page)
        held = [
            asyncio.create_task(site.post("/sign-in", csrf=csrf, token=f"guess {n}"))
            for n in range(FREE + MAX_DELAYED + 10)
        ]
        done, waiting = await asyncio.wait(held, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < FREE + 10:
            more, waiting = await asyncio.wait(waiting, timeout=60, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        answers = [task.result() for task in done]
        assert sorted(answer.status for answer in answers) == [401] * FREE + [429] * 10
        assert {answer.headers["Retry-After"] for answer in answers if answer.status == 429} == {f"{MAX_DELAY:g}"}
        assert (await site.post("/sign-in", csrf=csrf, token=TOKEN)).status == 303
        site.go_on.set()
        assert {answer.status for answer in await asyncio.gather(*waiting)} == {401}

    async def test_sign_in_from_elsewhere(self, site: Site) -> None:
        """A sign-in form that another site has made is refused."""
        assert (await site.post("/sign-in", token=TOKEN)).status == 403
        await site.get("/sign-in")
        assert (await site.post("/sign-in", token=TOKEN, csrf="guessed")).status == 403

    async def test_sign_out(self, site: Site) -> None:
        """The session ends here: a copy of its cookie opens nothing; another session goes on."""
        await site.sign_in()
        copied = await site.cookie()
        other = Sessions(TOKEN).begin(START)
        response = await site.submit("", "/sign-out")
        assert response.status == 303
        assert (await site.get()).status == 303
        for cookie, status in ((copied, 303), (other, 200)):
            site.client.session.cookie_jar.update_cookies({SESSION: cookie})
            assert (await site.get()).status == status

    async def test_sign_out_in_another_process(self, site: Site) -> None:
        """Each process that shares the database knows of it."""
        await site.sign_in()
        session = Sessions(TOKEN).find(await site.cookie(), START)
        assert session
        await site.store.end_session(session.id, session.end, START)
        assert (await site.get()).status == 303
        assert (await site.post("/sign-out", csrf="any")).status == 401

    async def test_session_ends(self, site: Site) -> None:
        """After its time, and with another token."""
        await site.sign_in()
        site.clock.time += LIFETIME
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

    ODD_TYPES = (
        "",
        "text/plain",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "multipart/form-data; boundary=",
        'multipart/mixed; boundary="',
        "application/octet-stream",
        "x",
        "/",
        ";;;=",
        "text/plain; charset=nope",
    )

    @pytest.mark.parametrize("content_type", ODD_TYPES)
    @pytest.mark.parametrize("path", some(["/sign-in", "/sign-out", "/set-aside", "/conversations/c1/release"]))
    async def test_odd_content_types(self, site: Site, path: str, content_type: str) -> None:
        """They are the sender's mistake, and no error of the bot's."""
        await site.sign_in()
        headers = {"Content-Type": content_type}
        for body in (b"", b"csrf=x", b"\xff\x00", b"--x\r\n\r\n", b"{}"):
            response = await site.client.post(f"{HOME}{path}", data=body, headers=headers, allow_redirects=False)
            assert 400 <= response.status < 500
        assert "console_failed" not in {signal.event for signal in site.signals}

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"\xff\xfe", 400),
            (b"csrf=%00", 400),
            (b"csrf=%ff", 403),
            (b"csrf=%ed%a0%bd", 403),
            (b"csrf", 403),
            (b"&&&===", 403),
            (b"csrf=a&csrf=b", 403),
            (b"&".join(b"a=1" for _ in range(21)), 400),
            (b"csrf=" + b"x" * 17_000, 413),
        ],
    )
    async def test_odd_forms(self, site: Site, body: bytes, status: int) -> None:
        """Whatever is in a form, or how it is sent."""
        await site.sign_in()

        async def in_pieces() -> AsyncIterator[bytes]:
            yield body[:1]
            yield body[1:]

        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=nope"}
        for path in ("/sign-in", "/sign-out", "/set-aside", "/conversations/c1/release"):
            for data in (body, in_pieces()):
                response = await site.client.post(f"{HOME}{path}", data=data, headers=headers)
                assert response.status == status
        assert "console_failed" not in {signal.event for signal in site.signals}

    ODD_VALUES = (
        "%00", "%ff", "%ed%a0%80", "%0a", "%1b[31m", "%e2%80%ae", "-1", "0", "1e9", "0x10", "9" * 18, "9" * 19,
        "%d9%a1", "1.2.3", "1.2.3.4", "1.2.3.4.5", "9.9.9." + "9" * 19, "...", "~", "1~", "~%00", "-1~c1",
        "9" * 30 + "~c1", "%27%22%3b--", "%25", "a" * 5000, "9" * 5000, "[]", "{}",
    )  # fmt: skip
    PLACES = ("?filter=", "?q=", "?older=", "?after=", "?filter=held&after=", "?q=c&after=", "/set-aside?before=",
              "/conversations/c1?before=", "/conversations/c1?", "/conversations/", "/live?conversation=",
              "/live?filter=", "/live?after=", "/static/", "/")  # fmt: skip

    @pytest.mark.parametrize("place", PLACES)
    async def test_odd_parameters(self, site: Site, place: str) -> None:
        """Neither a value nor its place makes a page fail."""
        await site.sign_in()
        for value in self.ODD_VALUES:
            path = URL(f"{HOME}{place}{value}", encoded=True)
            async with site.client.get(path, allow_redirects=False) as response:
                assert response.status < 500, (place, value)
        assert "console_failed" not in {signal.event for signal in site.signals}


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
        assert "the platform releases control" in html
        assert "acted in this mode throughout" in html
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
        assert "acted in this mode throughout" in await site.text()

    async def test_troubles(self, site: Site) -> None:
        """What fails stands at the top, with what to do, until it works again."""
        await site.sign_in()
        site.troubles.failed(What.RATE_LIMIT, f"too many {SCRIPT}", "Wait.", where="there")
        page = await (await site.get()).text()
        assert "<strong>rate limit</strong> (there)" in page
        assert "Wait." in page
        assert SCRIPT not in page
        site.troubles.works(What.RATE_LIMIT, "there")
        site.troubles.seconds = lambda: float("inf")
        site.troubles.look()
        assert "Wait." not in await (await site.get()).text()

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
        assert "<h1>Error</h1>" in await response.text()

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


class TestLongTimelines:
    """A conversation in which much has happened is shown in stretches."""

    async def _say(self, site: Site, count: int, text: str = "") -> None:
        """Messages of a user, and a moment between each two."""
        for number in range(count):
            content = {"type": "text", "text": f"words {number:04} {text}"}
            message = {"id": f"m{number}", "author": {"type": "user"}, "content": content}
            payload = {"conversation": {"id": "c1"}, "message": message}
            body = json.dumps({"id": f"s{number}", "type": "conversation:message", "payload": payload}).encode()
            site.clock.time += timedelta(seconds=1)
            event = NewEvent(f"s{number}", "c1", "conversation:message", body, site.clock.time)
            await site.store.receive([event])
            if number % 2:
                moment = Moment(site.clock.time, MomentKind.REPORT, f"moment {number:04}")
                (work,) = await site.store.claim(owner="w", now=site.clock.time, lease=MINUTE, limit=1)
                change = Change(HELD, handled=[one.id for one in work.events], history=[moment], release=True)
                await site.store.save(work.lease, change, site.clock.time)

    async def _pages(self, site: Site) -> list[str]:
        pages = [await site.text("/conversations/c1")]
        while more := re.findall(r'id="older" href="/console([^"]+)"', pages[-1]):
            pages.append(await site.text(more[0].replace("&amp;", "&")))
            assert len(pages) < 50
        return pages

    async def test_each_line_once(self, site: Site) -> None:
        """Page after page, each thing that happened is on one of them, and in its order."""
        await self._say(site, 3 * PAGE_SIZE + 10)
        await site.sign_in()
        pages = await self._pages(site)
        told = [re.findall(r"words (\d{4})|moment (\d{4})", page) for page in pages]
        numbers = [int(a or b) for page in reversed(told) for a, b in page]
        assert numbers == sorted(numbers)
        assert [number for number in numbers if not number % 2] == [*range(0, 3 * PAGE_SIZE + 10, 2)]
        odd = [number for number in numbers if number % 2]
        assert odd == sorted(2 * [*range(1, 3 * PAGE_SIZE + 10, 2)])
        assert len(pages) == 4
        assert ["see an older page for who was active" in page for page in pages] == [True, True, True, False]
        assert "data-live" in pages[0]
        assert all("data-live" not in page and "To the newest" in page for page in pages[1:])

    async def test_large_messages(self, site: Site) -> None:
        """150 messages of 0.8 MB don't make a page of 100 MB: what no platform sends is told by its size."""
        await self._say(site, 20, "x" * 800_000)
        await site.sign_in()
        html = await site.text("/conversations/c1")
        assert len(html) < 100_000
        assert html.count("too large to show (0.8 MB)") == 20

    async def test_long_texts_are_cut(self, site: Site) -> None:
        """A page of long texts stays small, too."""
        await self._say(site, PAGE_SIZE, "<" * 30_000)
        await site.sign_in()
        html = await site.text("/conversations/c1")
        assert len(html) < PAGE_SIZE * 4 * MAX_TEXT_LENGTH + 200_000
        assert html.count("more characters)") == PAGE_SIZE


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
        assert "Release in progress" in await site.text("/conversations/c1?asked=1")

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
        assert "Confirm that you want to take control" in await unsure.text()
        other = await site.submit(page, sure="yes", against="sw_other")
        assert "The situation has changed" in await other.text()
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
        assert "The situation has changed" in await response.text()
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
        assert [page.count(">Retry</button>") for page in (html, rest)] == [50, 10]


class TestLive:
    """What open pages are told."""

    async def _told(self, response: ClientResponse) -> str:
        async with asyncio.timeout(60):
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
            assert "conversation was removed" in await self._told(stream)

    async def test_sign_out(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """A stream ends soon after somebody has signed out, in whatever process."""
        monkeypatch.setattr("bot.console.site.SESSION_CHECK_INTERVAL", 0.01)
        await site.sign_in()
        async with await site.client.get(f"{HOME}/live") as stream:
            await self._told(stream)
            session = Sessions(TOKEN).find(await site.cookie(), START)
            assert session
            await site.store.end_session(session.id, session.end, START)
            async with asyncio.timeout(60):
                await stream.read()

    async def test_crowded(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """One too many is told so, and its page works without."""
        await site.sign_in()
        monkeypatch.setattr("bot.console.live.MAX_FOLLOWERS", 0)
        assert (await site.get("/live")).status == 503

    async def test_session_ends(self, site: Site) -> None:
        """A stream ends with its session."""
        await site.sign_in()
        site.clock.time += LIFETIME - timedelta(seconds=0.5)
        async with await site.client.get(f"{HOME}/live") as stream:
            async with asyncio.timeout(60):
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


async def test_find_somebody(site: Site) -> None:
    """A row names the person; the audit log tells that somebody searched, and not for whom; every word is explained."""
    ada = {Contact(ContactKind.NAME, "Ada Lovelace"), Contact(ContactKind.EMAIL, "ada@example.com")}
    await site.put(WITH_AGENT, contacts=ada)
    await site.sign_in()
    found = await site.text("?q=lovelace")
    assert "Ada Lovelace" in found
    assert f'id="c-{WITH_AGENT.id}"' in found
    assert f'id="c-{HELD.id}"' not in found
    assert "Ada Lovelace" in await site.text("?q=ada%40EXAMPLE")
    assert "Nothing found." in await site.text("?q=nobody")
    for word, meaning in (MEANINGS | COLUMNS).items():
        assert f"<dt>{word}</dt><dd>{meaning}</dd>" in unescape(found)
    noted = await site.store.audit_log()
    assert [entry.action for entry in noted].count("search") == 3
    assert "lovelace" not in str(noted).casefold()
    assert "ada@example.com" in await site.text(f"/conversations/{WITH_AGENT.id}")
