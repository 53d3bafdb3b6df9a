"""The console on an application of its own, with its store, its clock, and a browser of sorts."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from bot.console.auth import SESSION
from bot.console.render import HOME
from bot.console.site import Console
from bot.control.history import Moment, MomentKind
from bot.control.policy import Policy
from bot.control.state import Conversation, Holder, Integration, Who
from bot.signals import Signal
from bot.store import Change, SqliteStore
from bot.troubles import Troubles
from webhooks.contacts import Contact
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
    pauses: list[float] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    troubles: Troubles = field(default_factory=Troubles)

    async def sleep(self, seconds: float) -> None:
        """Note the pause, and wait for the test instead of the time."""
        self.pauses.append(seconds)
        await self.go_on.wait()

    async def cookie(self) -> str:
        """The session's cookie."""
        return next(one.value for one in self.client.session.cookie_jar if one.key == SESSION)

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

    async def put(
        self,
        state: Conversation,
        *events: NewEvent,
        moments: Iterable[Moment] = (),
        contacts: Iterable[Contact] = (),
    ) -> None:
        """A conversation in a state."""
        wake = NewEvent(f"wake {state.id}", state.id, "conversation:read", b"{}", START)
        await self.store.receive([wake, *events])
        works = await self.store.claim(owner="w", now=self.clock.now(), lease=MINUTE, limit=9)
        (work,) = [work for work in works if work.lease.conversation_id == state.id]
        change = Change(state, handled=[event.id for event in work.events], history=list(moments), release=True)
        change.contacts |= set(contacts)
        await self.store.save(work.lease, change, self.clock.now())


@pytest.fixture
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """Nobody is signed in; the bot holds one conversation, in which a user with an odd name has written."""
    store = SqliteStore(":memory:", inline=True)
    await store.start()
    clock = Tick()
    signals: list[Signal] = []
    woken: list[str | None] = []
    app = web.Application()
    client = TestClient(TestServer(app))
    made = Site(client, store, clock, signals, woken)
    made.go_on.set()
    policy = Policy("bot", app_key=True)
    console = Console(
        getattr(request, "param", TOKEN),
        store,
        policy,
        clock,
        observe=signals.append,
        wake=woken.extend,
        troubles=made.troubles.lasting,
        sleep=made.sleep,
        trusted=[ip_network("127.0.0.1")],
    )
    app.add_subapp(HOME, console.application())
    async with client:
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
