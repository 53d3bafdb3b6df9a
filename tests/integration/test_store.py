"""The SQLite store as processes use it: real files, threads, kill -9, a race to migrate, a large database."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.control.state import Conversation, Holder, Who
from bot.store import (
    Change,
    Done,
    LeaseLost,
    Say,
    SqliteStore,
    Unavailable,
    UnsafeState,
    Work,
    migrate,
    open_store,
)
from bot.store.migrations import empty_database
from webhooks.inbox import NewEvent

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEASE = timedelta(seconds=30)

# Receives, claims and saves for ever, and prints what it was told is done.
_WRITER = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from bot.store import Change, open_store
from webhooks.inbox import NewEvent

now = datetime(2026, 11, 22, 12, tzinfo=UTC)

async def main(url, name):
    store = open_store(url)
    await store.start()
    async def receive(lane):
        for number in range(10**9):
            id_ = f"{name}-{lane}-{number}"
            await store.receive([NewEvent(id_, f"c{lane}", "t", b"{}", now)])
            print("received", id_, flush=True)
    async def work():
        while True:
            for work in await store.claim(owner=name, now=now, lease=timedelta(seconds=30), limit=4):
                handled = [event.id for event in work.events]
                await store.save(work.lease, Change(work.state, handled=handled, release=True), now)
                for id_ in handled:
                    print("handled", id_, flush=True)
            await asyncio.sleep(0)
    await asyncio.gather(*(receive(lane) for lane in range(8)), work())

asyncio.run(main(*sys.argv[1:]))
"""


def _event(id_: str, conversation_id: str = "c1") -> NewEvent:
    return NewEvent(id_, conversation_id, "conversation:message", b"{}", NOW)


async def _claim(store: SqliteStore, limit: int = 10, at: datetime = NOW) -> list[Work]:
    return await store.claim(owner="w1", now=at, lease=LEASE, limit=limit)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bot.db"
    path.write_bytes(empty_database())
    return path


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=0.2)
    await store.start()
    yield store
    await store.stop()


def test_kill(tmp_path: Path) -> None:
    """After kill -9, again and again, everything that was acknowledged is there, and the next process goes on."""
    path = tmp_path / "bot.db"
    url = f"sqlite:///{path}"
    migrate(url)
    acknowledged: list[tuple[str, str]] = []
    for name in ("first", "second", "third"):
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", _WRITER, url, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(400)]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        acknowledged += [(words[0], words[1]) for line in lines if len(words := line.split()) == 2]
    with closing(sqlite3.connect(path)) as connection:
        status = dict(connection.execute("SELECT id, status FROM inbox"))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert len(acknowledged) >= 1200
    assert {id_ for what, id_ in acknowledged if what == "received"} <= set(status)
    assert {status[id_] for what, id_ in acknowledged if what == "handled"} == {"handled"}


async def test_one_bad_among_many(store: SqliteStore) -> None:
    """Of a thousand saves that share transactions, the ones that must fail do, each in its way, and no other."""
    await store.receive([_event(f"e{n}", f"c{n}") for n in range(1000)])
    works = await _claim(store, 1000)
    stolen = await _claim(store, 1, at=NOW + LEASE)  # takes c0 over
    unsafe = Holder(Who.BOT)
    changes = [
        Change(Conversation(work.state.id, holder=unsafe if n == 1 else Holder()), handled=[work.events[0].id])
        for n, work in enumerate(works)
    ]
    saves = [store.save(work.lease, change, NOW) for work, change in zip(works, changes, strict=True)]
    outcomes = await asyncio.gather(*saves, return_exceptions=True)
    failed = {works[n].state.id: type(error) for n, error in enumerate(outcomes) if error is not None}
    assert failed == {stolen[0].state.id: LeaseLost, works[1].state.id: UnsafeState}
    assert (await store.counts(NOW)).inbox == 2


async def test_reader_does_not_wait(path: Path) -> None:
    """While a write is held up, questions are answered, from what is committed."""
    hook = asyncio.Event()
    loop = asyncio.get_running_loop()
    go_on = asyncio.Event()

    def hold(moment: str) -> None:
        if moment == "before_commit":
            loop.call_soon_threadsafe(hook.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()

    store = SqliteStore(path, on_transaction=hold)
    await store.start()
    writing = asyncio.ensure_future(store.receive([_event("e1")]))
    await hook.wait()
    assert (await store.counts(NOW)).inbox == 0
    assert await store.next_due(NOW) is None
    assert not writing.done()
    go_on.set()
    assert await writing == 1
    assert (await store.counts(NOW)).inbox == 1
    await store.stop()


async def test_locked_by_another(store: SqliteStore, path: Path) -> None:
    """While another process holds the file, writes are refused in words, and go on afterwards."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process kept it locked"):
            await store.receive([_event("e1")])
        await asyncio.wait_for(store.counts(NOW), 5)
    assert await store.receive([_event("e1")]) == 1


async def test_disk_full(store: SqliteStore, path: Path) -> None:
    """On a full disk nothing counts as stored, and room makes it work again."""
    pages = {"limit": 1}

    def limit(connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages['limit']}")

    await store._writer.run(limit)  # the smallest that the file allows
    big = NewEvent("big", "c1", "t", b"x" * 500_000, NOW)
    with pytest.raises(Unavailable, match="disk is full"):
        await store.receive([big])
    assert (await store.counts(NOW)).inbox == 0
    pages["limit"] = 1_000_000
    await store._writer.run(limit)
    assert await store.receive([big]) == 1


async def test_lives_on(path: Path) -> None:
    """What one store wrote, the next one on the same file has."""
    first = open_store(f"sqlite:///{path}")
    await first.start()
    await first.receive([_event("e1")])
    await first.stop()
    second = SqliteStore(path, inline=True)
    await second.start()
    assert [work.events[0].id for work in await _claim(second)] == ["e1"]
    await second.stop()
    assert sorted(os.listdir(path.parent)) == ["bot.db"]  # noqa: PTH208 - the log is folded in and gone


async def test_full_durability(store: SqliteStore) -> None:
    """The settings on which the promise rests are those of the writing connection."""
    pragmas = ("journal_mode", "synchronous", "secure_delete")

    def read(connection: sqlite3.Connection) -> list[str | int]:
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]

    assert await store._writer.run(read) == ["wal", 2, 1]


async def test_no_query_reads_everything(path: Path) -> None:
    """In a large database, finding, loading and saving work never reads a table whole."""
    numbers = [(str(number),) for number in range(20_000)]
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "INSERT INTO conversations"
            " (id, holder, gone, mismatch, epoch, created_at, updated_at, state, look_at, due_at)"
            " VALUES (?, 'other', 0, 0, 1, 0, 0, '{}', ?1 + 9000000000000000, ?1 + 9000000000000000)",
            numbers,
        )
        connection.executemany(
            "INSERT INTO inbox (id, conversation_id, type, received_at, status, body)"
            " VALUES (?, ?1, 't', 0, 'handled', x'')",
            numbers,
        )
        connection.executemany(
            "INSERT INTO outbox"
            " (effect_id, conversation_id, kind, created_at, attempts, status, body)"
            " VALUES (?, ?1, 'say', 0, 0, 'finished', '{}')",
            numbers,
        )
        connection.execute("ANALYZE")  # the worst case: a planner that has seen other numbers
        connection.commit()
    store = SqliteStore(path, inline=True)
    await store.start()
    assert store._shared is not None
    statements: list[str] = []
    store._shared.set_trace_callback(statements.append)
    await store.receive([_event(f"new{n}", f"c{n % 7}") for n in range(3000)])
    works = await _claim(store, 5)
    await _claim(store, 5)
    await store.next_due(NOW)
    await store.fetch(works[0].lease)
    handled = [event.id for event in works[0].events]
    change = Change(works[0].state, handled=handled, add=[Say("x", 1, {})], users={"u"})
    await store.save(works[0].lease, change, NOW)
    change = Change(works[0].state, done=[Done("x", "said")])
    await store.save(works[0].lease, change, NOW)
    await store.save(works[1].lease, Change(replace(works[1].state, gone=True), forget=True), NOW)
    await store.set_aside("new1", "odd")
    await store.find("c1")
    await store.conversations_of("u")
    await store.app_events(10)
    await store.counts(NOW)
    store._shared.set_trace_callback(None)
    tables = ("conversations", "inbox", "outbox", "journal", "duties", "participants", "removed")
    plans = {
        (" ".join(statement.split()), row[3])
        for statement in statements
        if statement.split()[0] in ("SELECT", "UPDATE", "WITH", "DELETE")
        for row in store._shared.execute(f"EXPLAIN QUERY PLAN {statement}")
    }
    await store.stop()
    scans = {(query, plan) for query, plan in plans if plan.startswith(tuple(f"SCAN {table}" for table in tables))}
    partial = ("inbox_removals", "inbox_pending", "inbox_pending_of_conversation", "inbox_set_aside", "outbox_open")
    indexes = (*partial, "conversations_flow")
    assert {query for query, plan in scans if not plan.endswith(indexes)} == set()
    assert len(plans) > 40
    assert any("conversations_due" in plan for _, plan in plans)
