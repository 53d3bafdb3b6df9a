"""`/readyz` and `/metrics`: what strangers are told, and what the log is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bot.clock import SystemClock
from bot.health import add_health, add_metrics, add_no_metrics
from bot.observability import Metrics
from bot.signals import Signal
from bot.store import SqliteStore, Unavailable
from bot.troubles import Troubles, What, database_failed
from webhooks.inbox import NewEvent

TOKEN = "a token of the metrics"
SECRETIVE = "role bot_role at db.internal.example:5432 (/var/lib/bot.db): no such host"


@dataclass
class Place:
    """The pages, and a database that may be out of reach."""

    client: TestClient[web.Request, web.Application]
    store: SqliteStore
    signals: list[Signal] = field(default_factory=list)
    troubles: Troubles = field(default_factory=Troubles)

    async def ready(self) -> tuple[int, str]:
        """What `/readyz` says."""
        async with self.client.get("/readyz") as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """A process with its database."""
    store = SqliteStore(":memory:", inline=True)
    await store.start()
    app = web.Application()
    made = Place(TestClient(TestServer(app)), store)
    add_health(app, store, None, made.signals.append, made.troubles)
    add_metrics(app, store, SystemClock(), Metrics(), TOKEN)
    async with made.client:
        yield made
    await store.stop()


async def test_a_full_disk(place: Place) -> None:
    """Reading works all the time. Not ready from the first delivery that is not stored, until a row can be written."""
    assert place.store._shared
    (pages,) = place.store._shared.execute("PRAGMA page_count").fetchone()
    place.store._shared.execute(f"PRAGMA max_page_count = {pages}")
    event = NewEvent("e", "c", "x:y", b"x" * 20_000, datetime(2026, 1, 1, tzinfo=UTC))
    assert await place.ready() == (200, "ready\n")
    with pytest.raises(Unavailable, match="the disk is full; make room") as error:
        await place.store.receive([event])
    database_failed(place.troubles, error.value)
    with pytest.raises(Unavailable, match="full"):
        await place.store.probe()
    assert await place.ready() == (503, "not ready: nothing can be stored\n")
    assert "the disk is full" in str(place.signals[-1].fields["reason"])
    place.store._shared.execute("PRAGMA max_page_count = 100000")
    await place.store.probe()
    place.troubles.works(What.DATABASE)
    assert await place.ready() == (200, "ready\n")
    assert await place.store.receive([event]) == 1


async def test_strangers_see_no_host_or_role(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer names neither; the log says why, once, and when it is over."""

    async def fails() -> None:
        raise Unavailable(SECRETIVE)

    assert await place.ready() == (200, "ready\n")
    with monkeypatch.context() as broken:
        broken.setattr(place.store, "ping", fails)
        for _ in range(5):
            assert await place.ready() == (503, "not ready: the database can't be used\n")
    assert await place.ready() == (200, "ready\n")
    assert [(one.event, one.fields.get("reason")) for one in place.signals] == [
        ("not_ready", SECRETIVE),
        ("ready_again", None),
    ]


async def test_a_worker_that_is_stuck() -> None:
    """Is not alive, until it goes on."""
    store, stuck = SqliteStore(":memory:", inline=True), [False]
    app = web.Application()
    add_health(app, store, None, lambda _: None, is_stuck=lambda: stuck[0])
    async with TestClient(TestServer(app)) as client:
        for stuck[0], status in ((False, 200), (True, 503), (False, 200)):
            async with client.get("/healthz") as answer:
                assert answer.status == status


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (None, 401),
        ("", 401),
        (TOKEN, 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer ", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer \udcff", 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
    ],
)
async def test_metrics_take_the_token(place: Place, given: str | None, status: int) -> None:
    """And nothing else, in no other place."""
    headers = {} if given is None else {"Authorization": given}
    async with place.client.get(f"/metrics?token={TOKEN}".replace(" ", "+"), headers=headers) as answer:
        assert answer.status == status
        assert ("switchboard_" in await answer.text()) is (status == 200)
        assert ("WWW-Authenticate" in answer.headers) is (status == 401)


async def test_metrics_are_off() -> None:
    """Without a token or a port of their own they say how to have them."""
    app = web.Application()
    add_no_metrics(app)
    async with TestClient(TestServer(app)) as client, client.get("/metrics") as answer:
        assert answer.status == 404
        assert "METRICS_TOKEN or METRICS_PORT" in await answer.text()
