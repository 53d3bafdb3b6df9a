"""`/api/v1`, for signals and for flows to begin: who may, what is refused, and that it is stored once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from bot.api import add_api
from bot.app import running
from bot.clock import SystemClock
from bot.control.facts import FlowOrdered
from bot.control.state import (
    Conversation,
    Ended,
    Holder,
    Integration,
    Opening,
    OpeningKind,
    Purpose,
    Run,
    RunStatus,
    Start,
    Who,
)
from bot.engine.orders import Told, order_of
from bot.flows.limits import LARGEST_DATA
from bot.settings import load_settings
from bot.signals import Signal
from bot.store import SqliteStore, Unavailable
from bot.store.interface import Change
from bot.store.migrations import migrate
from webhooks.inbox import NewEvent

TOKEN = "a token of the api"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RUN = Run(
    1, Purpose.OPENING, Opening(OpeningKind.MESSAGE), NOON, RunStatus.WAITING, NOON, NOON + timedelta(days=36_500)
)
LATER = NOON + timedelta(days=36_500)
DESK = Integration("sw-desk", "zd-agentWorkspace", "zd:agentWorkspace")


@dataclass
class Place:
    """The API, and a database with a conversation at work, one at rest, and one that is gone."""

    client: TestClient[web.Request, web.Application]
    store: SqliteStore
    woken: list[str] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)

    async def sends(
        self,
        conversation: str = "c1",
        name: str = "paid",
        body: bytes | None = b'{"amount": 7}',
        *,
        token: str = TOKEN,
        key: str | None = "k1",
        what: str = "signals",
    ) -> tuple[int, Any]:
        """Send a signal, or begin a flow; the answer's status and JSON."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Idempotency-Key": key} if key is not None else {}
        path = f"/api/v1/conversations/{conversation}/{what}/{name}"
        async with self.client.post(path, data=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def begins(self, conversation: str = "at-rest", name: str = "reminder", **sent: Any) -> tuple[int, Any]:
        """Begin a flow; the answer's status and JSON."""
        return await self.sends(conversation, name, what="flows", **sent)

    async def stored(self) -> list[Told | FlowOrdered]:
        """What waits in the inboxes."""
        works = await self.store.claim(owner="me", now=datetime.now(UTC), lease=timedelta(seconds=9), limit=9)
        told = [order_of(one.type, one.body) for work in works for one in work.events if one.by_operator]
        return [one for one in told if isinstance(one, Told | FlowOrdered)]


async def _put(store: SqliteStore, conversation: Conversation) -> None:
    event = NewEvent(f"e-{conversation.id}", conversation.id, "x:y", b"{}", NOON)
    await store.receive([event])
    (work,) = await store.claim(owner="setup", now=NOON, lease=timedelta(seconds=9), limit=1)
    await store.save(work.lease, Change(conversation, handled=[event.id], release=True), NOON)


@pytest.fixture
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A process with its database; the parameter is its token."""
    store = SqliteStore(":memory:", inline=True)
    await store.start()
    await _put(store, Conversation("c1", run=RUN))
    await _put(store, Conversation("at-rest"))
    await _put(store, Conversation("gone", gone=True))
    await _put(store, Conversation("at-agents", Holder(Who.OTHER, DESK, NOON, certain=True), watch_at=LATER))
    await _put(store, Conversation("unnamed", run=replace(RUN, purpose=Purpose.CLOSING)))
    await _put(store, Conversation("named", run=replace(RUN, flow="order")))
    await _put(store, Conversation("ended", ended=Ended(NOON, LATER)))
    opening = Opening(OpeningKind.REMINDER, flow="cart")
    await _put(store, Conversation("about-to", start=Start(opening, LATER, Holder())))
    app = web.Application()
    made = Place(TestClient(TestServer(app)), store)
    token = getattr(request, "param", TOKEN)
    add_api(app, store, SystemClock(), token, made.woken.extend, made.signals.append, {"reminder", "survey"})
    async with made.client:
        yield made
    await store.stop()


async def test_a_signal_is_stored_once(place: Place) -> None:
    """The same key is the same signal, whatever comes with it; another key is another one. The worker is woken."""
    assert await place.sends() == (202, {"accepted": True, "repeated": False})
    assert await place.sends(body=b"8") == (200, {"accepted": True, "repeated": True})
    assert await place.sends(key="k2", body=None) == (202, {"accepted": True, "repeated": False})
    assert place.woken == ["c1", "c1"]
    assert [(signal.event, signal.fields) for signal in place.signals] == [("signal_taken", {"signal": "paid"})] * 2
    assert sorted(await place.stored(), key=str) == [Told("paid", None), Told("paid", {"amount": 7})]


async def test_a_flow_is_asked_for_once(place: Place) -> None:
    """As a signal is. A repeat answers the same, also where by now something is in the way."""
    assert await place.begins() == (202, {"accepted": True, "repeated": False})
    assert await place.begins(body=b"8") == (200, {"accepted": True, "repeated": True})
    assert place.woken == ["at-rest"]
    assert [(signal.event, signal.fields) for signal in place.signals] == [("flow_asked_for", {"flow": "reminder"})]
    assert await place.stored() == [FlowOrdered("reminder", {"amount": 7})]
    await place.store.receive([NewEvent("e", "at-rest", "x:y", b"{}", NOON)])
    (work,) = await place.store.claim(owner="w", now=datetime.now(UTC) + HOUR, lease=HOUR, limit=1)
    change = Change(Conversation("at-rest", run=RUN), handled=[event.id for event in work.events], release=True)
    await place.store.save(work.lease, change, NOON)
    assert (await place.begins(key="another"))[0] == 409
    assert await place.begins() == (200, {"accepted": True, "repeated": True})


@pytest.mark.parametrize(
    ("sent", "status", "answer"),
    [
        ({"token": ""}, 401, {"error": "send API_TOKEN as `Authorization: Bearer`"}),
        ({"name": "order"}, 404, {"error": "there is no such flow; known flows: reminder, survey"}),
        ({"conversation": "nobody"}, 404, {"error": "no such conversation is known"}),
        ({"conversation": "gone"}, 404, {"error": "no such conversation is known"}),
        (
            {"conversation": "at-agents"},
            409,
            {"error": "zd-agentWorkspace is active in that conversation", "active": "zd-agentWorkspace"},
        ),
        (
            {"conversation": "named"},
            409,
            {"error": "a flow is running in that conversation: order", "flow": "order"},
        ),
        (
            {"conversation": "unnamed"},
            409,
            {"error": "a flow is running in that conversation: closing flow", "flow": "closing flow"},
        ),
        (
            {"conversation": "about-to"},
            409,
            {"error": "another flow is about to start in that conversation: cart", "flow": "cart"},
        ),
        ({"conversation": "ended"}, 409, {"error": "the user has ended that conversation"}),
        ({"body": b"{"}, 400, {"error": "the body must be JSON, or empty"}),
        ({"key": None}, 400, {"error": "send an Idempotency-Key of 1 to 200 characters, the same for each retry"}),
    ],
)
async def test_which_flow_is_refused(place: Place, sent: dict[str, Any], status: int, answer: Any) -> None:
    """With who or what is in the way. Nothing is stored, and nobody is woken."""
    assert await place.begins(**sent) == (status, answer)
    assert (place.woken, await place.stored()) == ([], [])


async def test_a_signal_that_is_repeated_when_the_flow_is_over(place: Place) -> None:
    """It answers as it did."""
    await place.sends()
    (work,) = [one for one in await place.store.claim(owner="w", now=NOON, lease=HOUR, limit=9) if one.state.id == "c1"]
    change = Change(Conversation("c1"), handled=[event.id for event in work.events], release=True)
    await place.store.save(work.lease, change, NOON)
    assert await place.sends() == (200, {"accepted": True, "repeated": True})
    assert (await place.sends(key="k2"))[0] == 409


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({"token": ""}, 401, "send API_TOKEN as `Authorization: Bearer`"),
        ({"token": "another token"}, 401, "send API_TOKEN"),
        ({"key": None}, 400, "send an Idempotency-Key of 1 to 200 characters"),
        ({"key": "k" * 201}, 400, "send an Idempotency-Key"),
        ({"name": "Paid"}, 400, "a short name in snake_case"),
        ({"body": b"{"}, 400, "must be JSON, or empty"),
        ({"body": b"[" * 4000}, 400, "must be JSON, or empty"),
        ({"body": json.dumps("x" * LARGEST_DATA).encode()}, 400, f"at most {LARGEST_DATA} bytes"),
        ({"conversation": "nobody"}, 404, "no such conversation is known"),
        ({"conversation": "gone"}, 404, "no such conversation is known"),
        ({"conversation": "at-rest"}, 409, "no flow is running in that conversation"),
    ],
)
async def test_what_is_refused(place: Place, sent: dict[str, Any], status: int, words: str) -> None:
    """With what to do. Nothing is stored, and nobody is woken."""
    answered, body = await place.sends(**sent)
    assert (answered, words in body["error"]) == (status, True)
    assert (place.woken, await place.stored()) == ([], [])


@pytest.mark.parametrize("place", [""], indirect=True)
async def test_it_is_off_without_a_token(place: Place) -> None:
    """And says how to have it."""
    assert await place.sends() == (404, {"error": "the API is off: set API_TOKEN"})


async def test_a_database_out_of_reach(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender is to come again."""

    async def fails(*_: object) -> bool:
        raise Unavailable("no database")

    monkeypatch.setattr(place.store, "order", fails)
    assert await place.sends() == (503, {"error": "not stored: send it again"})


async def test_the_bot_serves_it(tmp_path: Path) -> None:
    """Beside the webhook, on the same port."""
    url = f"sqlite:///{tmp_path / 'bot.db'}"
    migrate(url)
    settings = load_settings(
        _env_file=None,
        sunshine_base_url="http://127.0.0.1:9",
        sunshine_app_id="app",
        sunshine_key_id="int_x",
        sunshine_key_secret="secret",
        sunshine_switchboard_integration="bot",
        sunshine_webhook_secret="secret-of-the-webhook",
        control_mode="pass",
        host="127.0.0.1",
        port=0,
        database_url=url,
        api_token=TOKEN,
    )
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "k"}
    async with running(settings, hooks=()) as bot, ClientSession() as http:
        path = f"http://127.0.0.1:{bot.port}/api/v1/conversations/c1/signals/paid"
        async with http.post(path, headers=headers) as answer:
            assert (answer.status, await answer.json()) == (404, {"error": "no such conversation is known"})
        path = f"http://127.0.0.1:{bot.port}/api/v1/conversations/c1/flows/nothing"
        async with http.post(path, headers=headers) as answer:
            assert (answer.status, "known flows: assistant, survey" in await answer.text()) == (404, True)


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b"NaN", None),
        (b'{"amount": Infinity}', {"amount": None}),
        (b'"\\ud83d"', "\ufffd"),
        (b'{"text": "\xff"}', {"text": "\ufffd"}),
        (b"[" * 2000 + b"]" * 2000, ...),
        (b"9" * 4000, ...),
    ],
)
async def test_odd_data(place: Place, body: bytes, data: Any) -> None:
    """It is read as webhooks are, and stored as JSON that every database takes."""
    assert (await place.sends(body=body))[0] == 202
    (told,) = await place.stored()
    assert data is ... or told.data == data


async def test_data_in_pieces(place: Place) -> None:
    """A proxy may cut it anywhere."""

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"am', b'ount"', b": 7}"):
            yield piece
            await asyncio.sleep(0.02)

    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "k1"}
    async with place.client.post("/api/v1/conversations/c1/signals/paid", data=pieces(), headers=headers) as answer:
        assert answer.status == 202
    (told,) = await place.stored()
    assert told.data == {"amount": 7}
