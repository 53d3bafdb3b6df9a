"""`POST /api/v1/conversations/{id}/signals/{name}`: who may, what is refused, and that it is stored once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from bot.api import add_api
from bot.app import running
from bot.clock import SystemClock
from bot.control.state import Conversation, Opening, OpeningKind, Purpose, Run, RunStatus
from bot.engine.orders import LARGEST_SIGNAL, Told, order_of
from bot.settings import load_settings
from bot.signals import Signal
from bot.store import SqliteStore, Unavailable
from bot.store.interface import Change
from bot.store.migrations import migrate
from webhooks.inbox import NewEvent

TOKEN = "a token of the api"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RUN = Run(
    1, Purpose.OPENING, Opening(OpeningKind.MESSAGE), NOON, RunStatus.WAITING, NOON, NOON + timedelta(days=36_500)
)


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
    ) -> tuple[int, Any]:
        """Send a signal; the answer's status and JSON."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Idempotency-Key": key} if key is not None else {}
        path = f"/api/v1/conversations/{conversation}/signals/{name}"
        async with self.client.post(path, data=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def stored(self) -> list[Told]:
        """What waits in the inbox of the conversation at work."""
        works = await self.store.claim(owner="me", now=datetime.now(UTC), lease=timedelta(seconds=9), limit=9)
        told = [order_of(one.type, one.body) for work in works for one in work.events if one.by_operator]
        return [one for one in told if isinstance(one, Told)]


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
    app = web.Application()
    made = Place(TestClient(TestServer(app)), store)
    token = getattr(request, "param", TOKEN)
    add_api(app, store, SystemClock(), token, made.woken.extend, made.signals.append)
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


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({"token": ""}, 401, "send API_TOKEN as `Authorization: Bearer`"),
        ({"token": "another token"}, 401, "send API_TOKEN"),
        ({"key": None}, 400, "send an Idempotency-Key of 1 to 200 characters"),
        ({"key": "k" * 201}, 400, "send an Idempotency-Key"),
        ({"name": "Paid"}, 400, "a short one in snake_case"),
        ({"body": b"{"}, 400, "the signal's data as JSON, or empty"),
        ({"body": b"[" * 4000}, 400, "the signal's data as JSON, or empty"),
        ({"body": json.dumps("x" * LARGEST_SIGNAL).encode()}, 400, f"at most {LARGEST_SIGNAL} bytes"),
        ({"conversation": "nobody"}, 404, "no such conversation is known"),
        ({"conversation": "gone"}, 404, "no such conversation is known"),
        ({"conversation": "at-rest"}, 409, "no flow is at work in that conversation"),
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
    assert await place.sends() == (404, {"error": "the API is off here: set API_TOKEN"})


async def test_a_database_out_of_reach(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender is to come again."""

    async def fails(*_: object) -> bool:
        raise Unavailable("no database")

    monkeypatch.setattr(place.store, "order", fails)
    assert await place.sends() == (503, {"error": "it could not be stored: send it again"})


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
