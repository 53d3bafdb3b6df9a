"""Values and small steps that the tests of the store share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from postgres_server import CHOSEN

from bot.control.state import (
    Action,
    Conversation,
    Duty,
    Ended,
    Holder,
    Kind,
    Opening,
    OpeningKind,
    Proof,
    Purpose,
    Run,
    RunStatus,
    Stage,
    Unsent,
    Who,
)
from bot.signals import Observe, silent
from bot.store import Change, Say, SqliteStore, Work
from bot.store.postgres.store import PostgresStore
from bot.store.sqlite.writer import OnTransaction
from webhooks.inbox import NewEvent

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
LEASE = timedelta(seconds=30)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

DUTY = Duty(id=3, action=Action.PASS, reason="flow complete", since=NOW, next_attempt=NOW, stage=Stage.ACT, target="t")
ENDED = Ended(at=NOW, check_at=NOW + 15 * SECOND)
RUN = Run(1, Purpose.OPENING, Opening(OpeningKind.MESSAGE), NOW, RunStatus.WAITING, NOW, NOW + MINUTE, wants_input=True)
PROOF = Proof("a read showed nobody", NOW + MINUTE)


AnyStore = SqliteStore | PostgresStore


@asynccontextmanager
async def opened(on_transaction: OnTransaction | None = None, observe: Observe = silent) -> AsyncIterator[AnyStore]:
    """An empty store: of SQLite in memory and without threads, or of PostgreSQL where the test has the `engine`."""
    url = CHOSEN.url
    store = (
        PostgresStore(url, observe=observe)
        if url
        else SqliteStore(":memory:", inline=True, on_transaction=on_transaction, observe=observe)
    )
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


def event(
    id_: str, conversation_id: str | None = "c1", *, after: timedelta = timedelta(0), body: bytes = b"{}"
) -> NewEvent:
    """An event that came `after` NOW."""
    return NewEvent(id_, conversation_id, "conversation:message", body, NOW + after)


def say(id_: str, text: str = "Hello") -> Say:
    """What a message says."""
    return Say(id_, 1, {"type": "text", "text": text})


def unsent(id_: str, *, due: datetime = NOW, kind: Kind = Kind.SAY) -> Unsent:
    """A message (or a clean-up) that nobody has tried to send yet."""
    return Unsent(id_, kind, 1, NOW, due)


def held(conversation_id: str = "c1", *, idle_at: datetime | None = NOW + MINUTE) -> Conversation:
    """A conversation that the bot holds."""
    return Conversation(conversation_id, holder=Holder(Who.BOT), idle_at=idle_at)


async def claim(store: AnyStore, *, at: datetime = NOW, owner: str = "w1", limit: int = 10) -> list[Work]:
    """Claim with a lease of `LEASE`."""
    return await store.claim(owner=owner, now=at, lease=LEASE, limit=limit)


async def claimed(store: AnyStore, conversation_id: str = "c1", *, at: datetime = NOW, owner: str = "w1") -> Work:
    """The work of the one conversation that can be claimed; it gets an event if there is nothing to do in it."""
    if await store.next_due(at) != at:
        await store.receive([event(f"wake-{conversation_id}-{at}", conversation_id)])
    (work,) = await claim(store, at=at, owner=owner)
    assert work.lease.conversation_id == conversation_id
    return work


async def saved(store: AnyStore, work: Work, state: Conversation | None = None, **change: Any) -> None:
    """Save a change of which only some parts are given."""
    await store.save(work.lease, Change(state or work.state, **change), NOW)


def handled(work: Work) -> list[str]:
    """The ids of all events of a work."""
    return [each.id for each in work.events]


async def rows(store: AnyStore, query: str) -> list[tuple[Any, ...]]:
    """What the database says."""
    if isinstance(store, PostgresStore):
        return [tuple(row) for row in await store._pool.fetch(query)]
    assert store._shared is not None
    return store._shared.execute(query).fetchall()


async def everything(store: AnyStore) -> str:
    """Every value of every table, as one text to search in."""
    catalogue = "SELECT name FROM sqlite_master WHERE type = 'table'"
    if isinstance(store, PostgresStore):
        catalogue = "SELECT tablename FROM pg_tables WHERE schemaname = 'switchboard_bot' ORDER BY 1"
    tables = [row[0] for row in await rows(store, catalogue)]
    return "\n".join([repr(row) for table in tables for row in await rows(store, f"SELECT * FROM {table}")])  # noqa: S608


def ids(works: Sequence[Work]) -> list[str]:
    """The conversations of some works."""
    return [work.lease.conversation_id for work in works]


def ended(conversation_id: str = "c1", *, proof: Proof | None = None) -> Conversation:
    """A conversation that its user has ended, and that others held."""
    return Conversation(conversation_id, holder=Holder(Who.OTHER), ended=replace(ENDED, proof=proof))
