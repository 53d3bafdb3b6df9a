"""Changes that share a statement of PostgreSQL: what befalls one of them befalls no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.store import Change, LeaseLost, Unavailable, Work
from bot.store.postgres import save as saving
from bot.store.postgres.schema import SCHEMA
from bot.store.postgres.store import PostgresStore
from webhooks.inbox import NewEvent

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEASE = timedelta(seconds=30)


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store, as a process has it."""
    store = PostgresStore(postgres_url)
    await store.start()
    yield store
    await store.stop()


async def _claimed(store: PostgresStore, count: int) -> list[Work]:
    await store.receive([NewEvent(f"e{n}", f"c{n}", "conversation:message", b"{}", NOW) for n in range(count)])
    works = await store.claim(owner="w1", now=NOW, lease=LEASE, limit=count)
    return sorted(works, key=lambda work: work.state.id)


def _done(work: Work) -> Change:
    return Change(work.state, handled=[event.id for event in work.events], release=True)


@asynccontextmanager
async def _locked(url: str, statement: str) -> AsyncIterator[None]:
    """Somebody's transaction that has locked something, and stands still: a shell that was left open."""
    stranger = PostgresStore(url)
    await stranger.start()
    locked, go_on = asyncio.Event(), asyncio.Event()

    async def lock(connection: Any) -> None:
        await connection.execute(statement)
        locked.set()
        await go_on.wait()

    locking = asyncio.create_task(stranger._pool.transaction(lock))
    await locked.wait()
    try:
        yield
    finally:
        go_on.set()
        await locking
        await stranger.stop()


async def test_one_that_is_locked(store: PostgresStore, postgres_url: str) -> None:
    """A row that somebody keeps locked holds up its own conversation, and none of those that are saved beside it."""
    works = await _claimed(store, 5)
    later = NOW + 2 * LEASE
    async with _locked(postgres_url, "SELECT * FROM conversations WHERE id = 'c2' FOR UPDATE"):
        renewals = await asyncio.gather(*(store.renew(work.lease, later) for work in works), return_exceptions=True)
        saves = await asyncio.gather(
            *(store.save(work.lease, _done(work), NOW) for work in works), return_exceptions=True
        )
    for outcomes in (renewals, saves):
        assert [place for place, outcome in enumerate(outcomes) if isinstance(outcome, Unavailable)] == [2]
        assert [place for place, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)] == [2]
    await store.save(works[2].lease, _done(works[2]), NOW)
    assert (await store.counts(NOW)).inbox == 0


@pytest.mark.parametrize("cause", [None, "locked"])
async def test_one_that_can_not_be_forgotten(
    store: PostgresStore, cause: str | None, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    """What was saved together with it is saved, and is told so."""
    works = await _claimed(store, 4)
    changes = [_done(work) for work in works]
    changes[2] = replace(changes[2], state=replace(works[2].state, gone=True), forget=True)
    if cause is None:

        async def broken(*_: object) -> None:
            raise Unavailable("the connection broke")

        monkeypatch.setattr(saving, "_forget", broken)
    statement = "SELECT * FROM conversations WHERE id = 'c2' FOR UPDATE" if cause else "SELECT 1"
    async with _locked(postgres_url, statement):
        outcomes = await asyncio.gather(
            *(store.save(work.lease, change, NOW) for work, change in zip(works, changes, strict=True)),
            return_exceptions=True,
        )
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), Unavailable, type(None)]
    monkeypatch.undo()
    await store.save(works[2].lease, changes[2], NOW)
    assert await store.find("c2") is None


async def test_removal_beside_a_save(store: PostgresStore, postgres_url: str) -> None:
    """Who was removed while a save that sees them was under way is either erased by it, or found by who asks then."""
    (work,) = await _claimed(store, 1)

    async def removed() -> list[str]:
        await store.remember_removal("u1", NOW)
        return await store.conversations_of("u1")

    async with _locked(postgres_url, "SELECT * FROM conversations WHERE id = 'c0' FOR UPDATE"):
        save = asyncio.create_task(store.save(work.lease, replace(_done(work), users={"u1"}), NOW))
        await asyncio.sleep(0.2)  # it waits for the row
        removal = asyncio.create_task(removed())
        await asyncio.sleep(0.2)
    await save
    assert await removal == ["c0"]


@pytest.mark.parametrize("mode", ["ACCESS SHARE", "ROW EXCLUSIVE"])
async def test_removal_beside_a_stranger(store: PostgresStore, postgres_url: str, mode: str) -> None:
    """Neither a backup nor a shell that was left open keeps a removal, and all work with it, waiting."""
    async with _locked(postgres_url, f"LOCK TABLE {SCHEMA}.participants, {SCHEMA}.removed_users IN {mode} MODE"):
        async with asyncio.timeout(8):
            await store.remember_removal("u1", NOW)
        (work,) = await _claimed(store, 1)
        with pytest.raises(LeaseLost):
            await store.save(work.lease, Change(work.state, handled=["e0"], users={"u1"}), NOW)


async def test_time_out_ends_the_statement(postgres_url: str, store: PostgresStore) -> None:
    """A statement that is given up does not go on without us: it could undo what is written after it."""
    hasty = PostgresStore(postgres_url, answer=0.3)
    await hasty.start()
    with pytest.raises(Unavailable):
        await hasty._pool.fetch("SELECT pg_sleep(30), 'given up'")
    await hasty.stop()
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%''given up''' AND state = 'active'"
    async with asyncio.timeout(60):
        while (await store._pool.fetch(running))[0][0]:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.05)


async def test_erased_beside_a_turn(store: PostgresStore) -> None:
    """Nothing more is done for a conversation that a save had to forget: its lease is over, and that is said."""
    (work,) = await _claimed(store, 1)
    await store.remember_removal("u1", NOW)
    with pytest.raises(LeaseLost):
        await store.save(work.lease, Change(work.state, handled=["e0"], users={"u1"}), NOW)
    assert (await store.counts(NOW)).inbox == 0
