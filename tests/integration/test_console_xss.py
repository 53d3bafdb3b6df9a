"""Hostile text wherever the console shows what came from outside: no page gets an element or an attribute from it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from console_site import HELD, MINUTE, START, Site, site
from yarl import URL

from bot.console import render
from bot.console.render import HOME, address
from bot.control.commands import Release
from bot.control.history import Moment, MomentKind
from bot.control.state import Action, Conversation, Duty, Holder, Integration, Key, Stage, Who
from bot.store import Change
from bot.store.interface import Done, JournalEntry, Say
from bot.store.operators import Access
from webhooks.contacts import MAX_LENGTH, Contact, ContactKind
from webhooks.inbox import NewEvent

__all__ = ["site"]

HOSTILE = "\"'><x-evil onx='1'>{{77*77}}<!--<script>evil()</script></textarea></title>&lt;b&gt;<a href=javascript:x>"
ID = f"c {HOSTILE}"
TEMPLATES = Path(render.__file__).parent / "templates"
KNOWN = {name for file in TEMPLATES.glob("*.html") for name in re.findall(r"<([a-z]\w*)", file.read_text())}
"""The elements of the templates."""


class Reader(HTMLParser):
    """Reads a page as a browser does, and keeps what our templates would never make."""

    def __init__(self) -> None:
        super().__init__()
        self.odd: list[object] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element."""
        if tag not in KNOWN:
            self.odd.append(tag)
        for name, value in attrs:
            if name.startswith(("on", "style", "src")) and not (value or "").startswith("/console/static/"):
                self.odd.append((tag, name, value))
            if name in ("href", "action", "data-live") and not (value or "").startswith(("/console", "#main")):
                self.odd.append((tag, name, value))
        if tag == "script" and not dict(attrs).get("src"):
            self.odd.append("an inline script")

    def handle_comment(self, data: str) -> None:
        """A comment."""
        self.odd.append(data)

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text.append(data)


@pytest.fixture
async def hostile(site: Site) -> Site:
    """Hostile text in everything that a stranger, the platform, or a flow can write; somebody is signed in."""
    author = {"type": "user", "displayName": HOSTILE}
    content = {"type": "text", "text": HOSTILE}
    active = {"id": f"sw {HOSTILE}", "name": HOSTILE}
    conversation = {"id": ID, "activeSwitchboardIntegration": active}
    payloads = {
        "conversation:message": {
            "conversation": {"id": ID},
            "message": {"id": "m", "author": author, "content": content},
        },
        "conversation:postback": {"conversation": {"id": ID}, "postback": {"payload": HOSTILE}},
        "switchboard:passControl": {"conversation": conversation, "reason": HOSTILE},
        f"new {HOSTILE}": {"conversation": {"id": ID}},
    }
    events = [
        NewEvent(f"e{n}", ID, type_, json.dumps({"id": f"e{n}", "type": type_, "payload": payload}).encode(), START)
        for n, (type_, payload) in enumerate(payloads.items())
    ]
    odd = NewEvent(f"odd {HOSTILE}", ID, f"type {HOSTILE}", b"{}", START)
    await site.store.receive([*events, odd])
    await site.store.set_aside(odd.id, HOSTILE)
    works = await site.store.claim(owner="w", now=START, lease=MINUTE, limit=9)
    (work,) = [work for work in works if work.lease.conversation_id == ID]
    duty = Duty(1, Action.PASS, HOSTILE, START, START + MINUTE, Stage.ACT, target=HOSTILE, last_answer=HOSTILE)
    state = Conversation(ID, Holder(Who.OTHER, Integration(f"sw {HOSTILE}", HOSTILE, HOSTILE), how=HOSTILE), duty=duty)
    said = Say(f"{ID}.1", 1, {"type": "text", "text": HOSTILE})
    release = Done(f"{ID}.2", HOSTILE, 0, Release(f"{ID}.2", Key.APP), START)
    change = Change(
        state,
        handled=[event.id for event in events],
        add=[said],
        done=[Done(f"{ID}.1", f"not said: {HOSTILE}"), release],
        journal=[
            JournalEntry(1, 0, "began", HOSTILE, {"version": 1}, at=START),
            JournalEntry(1, 1, "call", HOSTILE, {"result": HOSTILE, "failure": HOSTILE, "place": HOSTILE}, at=START),
            JournalEntry(1, 2, "ask", "#1", {"says": HOSTILE}, at=START),
        ],
        history=[Moment(START, kind, HOSTILE, Who.OTHER, START) for kind in MomentKind],
        release=True,
        contacts={Contact(kind, f"{kind} {HOSTILE}"[:MAX_LENGTH]) for kind in ContactKind},
    )
    await site.store.save(work.lease, change, START)
    await site.store.audit(Access(START, HOSTILE, HOSTILE, ID, HOSTILE))
    for number in range(60):
        await site.put(replace(HELD, id=f"{ID}{number:02}"))
    assert (await site.sign_in()).status == 303
    return site


def _path(rest: str, **query: str) -> URL:
    return URL(HOME + rest, encoded=True).with_query(query) if query else URL(HOME + rest, encoded=True)


PAGE = URL(address(ID), encoded=True)

PAGES = {
    "sign-in": _path("/sign-in"),
    "overview": _path(""),
    "held": _path("", filter="held"),
    "next page": _path("", filter="held", after=f"1772366400000000~{ID}01"),
    "search": _path("", q=ID[:255]),
    "search for a name": _path("", q="name"),
    "search for nobody": _path("", q=f"nobody {HOSTILE}"),
    "mismatch": _path("", filter="mismatch"),
    "conversation": PAGE,
    "release": PAGE / "release",
    "set aside": _path("/set-aside"),
    "audit": _path("/audit"),
    "a list that is not there": _path("", filter=HOSTILE),
    "a conversation that is not there": URL(address(f"none {ID}"), encoded=True),
    "a page that is not there": URL(f"{address(ID)}/none", encoded=True),
    "live overview": _path("/live", filter="held"),
    "live conversation": _path("/live", conversation=ID),
}


@pytest.mark.parametrize("name", PAGES)
async def test_nothing_hostile_becomes_markup(hostile: Site, name: str) -> None:
    """What came from outside is text, in pages, in problems, and in what comes live."""
    async with hostile.client.get(PAGES[name], allow_redirects=False) as response:
        assert response.status in (200, 400, 404)
        if name.startswith("live"):
            line = b""
            while not line.startswith(b"data: "):
                line = await response.content.readline()
            html = json.loads(line.removeprefix(b"data: "))
        else:
            assert response.content_type == "text/html"
            html = await response.text()
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.odd == []
    text = "".join(reader.text)
    assert "5929" not in text
    if name == "search for a name":
        assert "name \"'><x-evil onx='1'>" in text
    if name in (
        "conversation",
        "release",
        "search for a name",
        "set aside",
        "audit",
        "held",
        "live conversation",
        "live overview",
    ):
        assert "<x-evil onx='1'>" in text, "the hostile text is not on this page at all"


def test_the_reader_finds_markup() -> None:
    """A check that finds nothing is worth nothing."""
    for bad in (
        "<x-evil>",
        "<p onclick=x>",
        "<a href=javascript:x>",
        "<script>x</script>",
        "<!-- x -->",
        "<img src=x>",
    ):
        reader = Reader()
        reader.feed(bad)
        assert reader.odd, bad
