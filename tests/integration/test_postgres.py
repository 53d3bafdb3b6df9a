"""The PostgreSQL store as processes use it: connections that break, a server that restarts or stands still, races."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from bot_program import free_port
from pooling_proxy import pooling_proxy
from postgres_server import SUPERUSER, NoServer, PostgresServer
from tiers import some

from bot.control.history import Moment, MomentKind
from bot.control.state import Conversation, Holder, Who
from bot.signals import Signal
from bot.store import (
    Change,
    Done,
    LeaseLost,
    Say,
    SchemaMismatch,
    StoreError,
    Unavailable,
    UnsafeState,
    Work,
    current_problem,
    migrate,
    open_store,
)
from bot.store.operators import Listing, Standing
from bot.store.postgres import news
from bot.store.postgres.news import payloads
from bot.store.postgres.store import PostgresStore
from webhooks.inbox import GroupCommit, NewEvent

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LEASE = timedelta(seconds=30)

_KILL_ALL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def _event(id_: str, conversation_id: str | None = "c1", body: bytes = b"{}") -> NewEvent:
    return NewEvent(id_, conversation_id, "conversation:message", body, NOW)


async def _claim(store: PostgresStore, limit: int = 10, at: datetime = NOW, owner: str = "w1") -> list[Work]:
    return await store.claim(owner=owner, now=at, lease=LEASE, limit=limit)


def _kill_connections(postgres: PostgresServer, url: str) -> None:
    postgres.query(_KILL_ALL, url=url)


_TABLES = ("conversations", "inbox", "outbox", "journal", "duties", "history", "participants", "contacts")
_SCANS = "SELECT relname::text, seq_scan FROM pg_stat_user_tables"
_LARGE = (
    """
    INSERT INTO conversations
        (id, holder, gone, mismatch, epoch, created_at, updated_at, kept_since, state, look_at, due_at)
    SELECT n, 'other', false, false, 1, n, n, n, '{"id": "' || n || '"}', 9e15 + n, 9e15 + n
    FROM generate_series(1, 20000) AS n
    """,
    """
    INSERT INTO inbox (id, conversation_id, type, received_at, status, body)
    SELECT n, n, 't', n, 'handled', 'x' FROM generate_series(1, 20000) AS n
    """,
    """
    INSERT INTO outbox (effect_id, conversation_id, kind, created_at, attempts, status, body)
    SELECT n, n, 'say', n, 0, 'finished', '{}' FROM generate_series(1, 20000) AS n
    """,
    """
    INSERT INTO journal (conversation_id, run_id, idx, kind, key, data)
    SELECT n, 1, 0, 'say', '', '1' FROM generate_series(1, 20000) AS n
    """,
    """
    INSERT INTO history (conversation_id, n, at, kind, text)
    SELECT n, 1, 0, 'report', '' FROM generate_series(1, 20000) AS n
    """,
    """
    INSERT INTO duties (conversation_id, duty_id, action, reason, since, attempts, next_attempt, stage, body, closed_at)
    SELECT n, 1, 'release', '', 0, 0, 0, 'act', '{}', 0 FROM generate_series(1, 20000) AS n
    """,
    "INSERT INTO participants (conversation_id, user_id) SELECT n, n FROM generate_series(1, 20000) AS n",
    "INSERT INTO contacts (conversation_id, kind, term, at) SELECT n, 'name', n, n FROM generate_series(1, 20000) AS n",
)


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """A store, as a process has it."""
    store = PostgresStore(postgres_url, answer=2.0)
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def another(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """Another process's store on the same database."""
    store = PostgresStore(postgres_url, answer=2.0)
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop and start; it keeps what is committed."""
    try:
        server = PostgresServer(durable=True, port=free_port())
    except NoServer as error:
        pytest.skip(str(error))
    yield server
    server.remove()


class TestMigrations:
    """The schema comes once, whoever brings it."""

    async def test_within_a_loop(self, postgres_url: str) -> None:
        """It blocks, but it can be called where a loop runs."""
        migrate(postgres_url)
        assert current_problem(postgres_url) is None

    async def test_another_version(self, postgres: PostgresServer, postgres_url: str) -> None:
        """A newer database is left alone, and used by nobody."""
        postgres.query("UPDATE switchboard_bot_version SET version_num = '9999'", url=postgres_url)
        with pytest.raises(SchemaMismatch, match="update switchboard-bot"):
            migrate(postgres_url)
        with pytest.raises(SchemaMismatch, match="update switchboard-bot"):
            await open_store(postgres_url).start()

    async def test_not_migrated(self, postgres: PostgresServer) -> None:
        """An empty database is to be migrated first."""
        url = postgres.new_database(migrated=False)
        with pytest.raises(SchemaMismatch, match="run `switchboard-bot migrate`"):
            await open_store(url).start()
        postgres.drop_database(url)


class TestOutOfReach:
    """What can't be used is said in words without a password, and nothing hangs."""

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("postgresql://me:secret@127.0.0.1:{port}/bot", "nothing listens there"),
            ("postgresql://me:secret@/bot?host=/no/such/folder", "out of reach"),
            ("postgresql://me:secret@no-such-host.invalid/bot", "no host has this name"),
            ("none", "no database of this name"),
            ("nobody_known@", "refuses this user"),
        ],
    )
    async def test_start(self, postgres: PostgresServer, url: str, words: str) -> None:
        """One sentence that says what is wrong."""
        if url == "none":
            url = postgres.url("none")
        elif url.endswith("@"):
            url = postgres.url().replace("postgres@", url)
        url = url.format(port=free_port())
        with pytest.raises(Unavailable, match=words) as refusal:
            await open_store(url).start()
        assert "secret" not in str(refusal.value)
        with pytest.raises(Unavailable, match=words):
            migrate(url)
        assert words in (current_problem(url) or "")

    async def test_not_started(self, postgres_url: str) -> None:
        """Before the start and after the stop it is out of reach."""
        store = PostgresStore(postgres_url)
        with pytest.raises(Unavailable, match="not open"):
            await store.ping()
        await store.start()
        await store.stop()
        with pytest.raises(Unavailable, match="not open"):
            await store.receive([_event("e1")])

    async def test_broken_connections(self, store: PostgresStore, postgres: PostgresServer, postgres_url: str) -> None:
        """Connections that the server ends are replaced; what was under way fails, and nothing else does."""
        await store.receive([_event("e1")])
        _kill_connections(postgres, postgres_url)
        outcomes = [await _tried(store.receive([_event(f"e{n}")])) for n in range(2, 12)]
        assert outcomes[-1] == 1
        assert all(outcome == 1 or isinstance(outcome, Unavailable) for outcome in outcomes)
        stored = await _until_known(store, [f"e{n}" for n in range(1, 12)])
        assert stored == [f"e{n}" for n in range(1, 12)]

    async def test_killed_again_and_again(
        self, store: PostgresStore, postgres: PostgresServer, postgres_url: str
    ) -> None:
        """Under load, each event that was acknowledged is there, once, and each caller gets an answer in time."""
        acknowledged: list[str] = []
        inbox = GroupCommit(store.receive, unavailable=(Unavailable, OSError))

        async def deliver(lane: int) -> None:
            for number in range(40):
                try:
                    await inbox.add([_event(f"{lane}-{number}", f"c{lane}")])
                except Exception:  # noqa: BLE001 - 503: not acknowledged
                    await asyncio.sleep(0.01)
                else:
                    acknowledged.append(f"{lane}-{number}")

        delivering = asyncio.gather(*(deliver(lane) for lane in range(16)))
        for _ in range(5):
            await asyncio.sleep(0.05)
            await asyncio.to_thread(_kill_connections, postgres, postgres_url)
        await asyncio.wait_for(delivering, 90)
        await inbox.stop()
        rows = postgres.query("SELECT id FROM inbox", url=postgres_url)
        assert set(acknowledged) <= {row[0] for row in rows}
        assert len(rows) == len({row[0] for row in rows})
        assert len(acknowledged) > 100

    async def test_restart(self, own_server: PostgresServer) -> None:
        """While the server is down everything is refused in time; when it is back, all goes on with all that was."""
        url = own_server.new_database()
        store = PostgresStore(url, answer=2.0)
        await store.start()
        await store.receive([_event("e1")])
        (work,) = await _claim(store)
        await asyncio.to_thread(own_server.stop, "immediate")
        for attempt in (store.receive([_event("e2")]), store.ping(), store.save(work.lease, Change(work.state), NOW)):
            with pytest.raises(Unavailable):
                await asyncio.wait_for(attempt, 18)
        await asyncio.to_thread(own_server.start)
        assert await store.receive([_event("e1"), _event("e2")]) == 1
        await store.save(work.lease, Change(work.state, handled=["e1"]), NOW)
        assert [event.id for event in await store.fetch(work.lease)] == ["e2"]
        await store.stop()

    async def test_standing_still(self, own_server: PostgresServer) -> None:
        """A server that answers nothing is given up in time; nobody waits for ever, and it goes on when it does."""
        url = own_server.new_database()
        store = PostgresStore(url, answer=0.5)
        await store.start()
        pids = [
            row[0] for row in own_server.query("SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'client%'")
        ]
        postmaster = own_server.pid
        for pid in (postmaster, *pids):
            _send(pid, signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable):
                await asyncio.wait_for(store.receive([_event("e1")]), 18)
            with pytest.raises(Unavailable):
                await asyncio.wait_for(store.ping(), 18)
        finally:
            for pid in (postmaster, *pids):
                _send(pid, signal.SIGCONT)
        await _until_known(store, ["e1"])
        await asyncio.wait_for(store.stop(), 60)

    async def test_lock_that_stays(self, store: PostgresStore, another: PostgresStore) -> None:
        """Somebody who keeps a row locked makes a save fail in time, and not hang."""
        await store.receive([_event("e1")])
        (work,) = await _claim(store)
        locked, go_on = asyncio.Event(), asyncio.Event()

        async def lock(connection: Any) -> None:
            await connection.execute("SELECT * FROM conversations FOR UPDATE")
            locked.set()
            await go_on.wait()

        locking = asyncio.create_task(another._pool.transaction(lock))
        await locked.wait()
        with pytest.raises(Unavailable, match="in time"):
            await asyncio.wait_for(store.save(work.lease, Change(work.state, handled=["e1"]), NOW), 10)
        go_on.set()
        await locking
        await store.save(work.lease, Change(work.state, handled=["e1"]), NOW)


class TestLeases:
    """Two processes never work on one conversation, and none is lost between them."""

    async def test_each_is_claimed_once(self, store: PostgresStore, another: PostgresStore) -> None:
        """Many claims at once share what there is."""
        await store.receive([_event(f"e{n}", f"c{n}") for n in range(300)])
        claims = await asyncio.gather(*(_claim(some, 20) for _ in range(10) for some in (store, another)))
        claimed = [work.lease.conversation_id for works in claims for work in works]
        assert len(claimed) == len(set(claimed))
        while works := await _claim(another, 50):
            claimed += [work.lease.conversation_id for work in works]
        assert sorted(claimed) == sorted(f"c{n}" for n in range(300))
        assert all(len(work.events) == 1 for works in claims for work in works)

    async def test_due_ones_are_claimed_once(self, store: PostgresStore, another: PostgresStore) -> None:
        """So it is with what is due, or was left by the dead."""
        await store.receive([_event(f"e{n}", f"c{n}") for n in range(200)])
        for work in await _claim(store, 100):
            state = Conversation(work.state.id, watch_at=NOW)
            await store.save(work.lease, Change(state, handled=[e.id for e in work.events], release=True), NOW)
        assert len(await _claim(store, 100, owner="dead")) == 100
        later = NOW + LEASE
        claims = await asyncio.gather(*(_claim(some, 15, later) for _ in range(10) for some in (store, another)))
        claimed = [work.lease.conversation_id for works in claims for work in works]
        assert len(claimed) == len(set(claimed))

    async def test_taken_over(self, store: PostgresStore, another: PostgresStore) -> None:
        """Who was paused past its lease can neither save nor renew nor fetch, and what it adds is not there."""
        await store.receive([_event("e1")])
        (old,) = await _claim(store)
        (new,) = await _claim(another, at=NOW + LEASE, owner="w2")
        attempts = [
            store.save(old.lease, Change(old.state, handled=["e1"]), NOW),
            store.renew(old.lease, NOW + 2 * LEASE),
            store.fetch(old.lease),
        ]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [LeaseLost] * 3
        assert [event.id for event in await another.fetch(new.lease)] == ["e1"]

    async def test_race_of_save_and_claim(self, store: PostgresStore, another: PostgresStore) -> None:
        """At the moment when a lease runs out, either the save counts or the take-over, with its events."""
        for number in range(30):
            id_ = f"c{number}"
            await store.receive([_event(f"e{number}", id_)])
            (old,) = await _claim(store)
            late = store.save(old.lease, Change(old.state, handled=[f"e{number}"]), NOW)
            works, outcome = await asyncio.gather(_claim(another, at=NOW + LEASE), late, return_exceptions=True)
            assert not isinstance(works, BaseException)
            events = [event.id for work in works for event in work.events if work.state.id == id_]
            if outcome is None:
                assert events == []
            else:
                assert isinstance(outcome, LeaseLost)
                assert events == [f"e{number}"]
            for work in works:
                done = Change(work.state, handled=[event.id for event in work.events], release=True)
                await another.save(work.lease, done, NOW)

    async def test_claim_that_nobody_heard_of(
        self, store: PostgresStore, another: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where the answer to a claim is lost, the next one gives back what it may have leased."""
        await store.receive([_event("e1")])
        fetch = store._pool.fetch

        async def lost(statement: str, *values: Any) -> list[Any]:
            await fetch(statement, *values)
            raise Unavailable("the connection broke")

        monkeypatch.setattr(store._pool, "fetch", lost)
        with pytest.raises(Unavailable):
            await _claim(store)
        monkeypatch.undo()
        assert await _claim(another, owner="w2") == []
        (work,) = await _claim(store, at=NOW + timedelta(seconds=1))
        assert work.lease.epoch == 2

    async def test_one_bad_among_many(self, store: PostgresStore, another: PostgresStore) -> None:
        """Of many saves that share statements, the ones that must fail do, each in its way, and no other."""
        count = 600
        await store.receive([_event(f"e{n}", f"c{n:03}") for n in range(count)])
        works = await _claim(store, count)
        assert len(works) == count
        (stolen,) = await _claim(another, 1, at=NOW + LEASE, owner="w2")
        unsafe = next(work.state.id for work in works if work.state.id != stolen.state.id)
        changes = [
            Change(
                Conversation(work.state.id, holder=Holder(Who.BOT) if work.state.id == unsafe else Holder()),
                handled=[work.events[0].id],
            )
            for work in works
        ]
        saves = [store.save(work.lease, change, NOW) for work, change in zip(works, changes, strict=True)]
        outcomes = await asyncio.gather(*saves, return_exceptions=True)
        failed = {works[n].state.id: type(error) for n, error in enumerate(outcomes) if error is not None}
        assert failed == {stolen.state.id: LeaseLost, unsafe: UnsafeState}
        assert (await store.counts(NOW)).inbox == 2

    async def test_join(self, store: PostgresStore, another: PostgresStore) -> None:
        """Leases of processes that are certainly dead are cut short, and nobody else's."""
        program = "from bot.store.owners import new_owner; print(new_owner())"
        ended = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", program], text=True)
        await store.receive([_event("e1", "c1")])
        await _claim(store, owner=ended.strip())
        await store.receive([_event("e2", "c2")])
        await _claim(store, owner="of another machine")
        soon = NOW + timedelta(seconds=5)
        assert await another.join(soon) == 1
        assert [work.state.id for work in await _claim(another, at=soon)] == ["c1"]


class TestReceive:
    """Any number of processes take webhooks, also the same ones."""

    async def test_same_events_in_another_order(self, store: PostgresStore, another: PostgresStore) -> None:
        """Two that store the same ids don't wait for each other for ever, and each id is there once."""
        for number in range(20):
            ids = [f"{number}-{n}" for n in range(50)]
            there, back = [_event(id_) for id_ in ids], [_event(id_) for id_ in reversed(ids)]
            counts = await asyncio.gather(store.receive(there), another.receive(back))
            assert sum(counts) == 50

    async def test_poison(self, store: PostgresStore) -> None:
        """What PostgreSQL has no form for is stored in another one, and keeps nobody out."""
        odd = [_event("nul\0", "c\0", b'{"text": "\\u0000 \0 \xff"}'), _event("half \ud83d"), _event("e1")]
        assert await store.receive(odd) == 3
        works = await _claim(store)
        assert sorted((work.state.id, len(work.events)) for work in works) == [("c1", 2), ("c?", 1)]
        nul = next(work for work in works if work.state.id == "c?")
        assert nul.events[0].body == odd[0].body

    async def test_odd_words_everywhere(self, store: PostgresStore) -> None:
        """Nor can they keep a change out, in whichever part of it they are."""
        bad = "\0 \ud83d"
        await store.receive([_event("e1")])
        (work,) = await _claim(store)
        await store.save(work.lease, Change(work.state, set_aside=[("e1", bad)], users={bad}), NOW)
        assert await store.conversations_of(bad) == ["c1"]
        assert await store.find(bad) is None
        await store.set_aside(bad, bad)
        await store.remember_removal(bad, NOW)


class TestPooled:
    """Behind a proxy that gives each transaction another connection."""

    @pytest.mark.parametrize("options", some(["?pooled=true", ""]))
    async def test_a_conversations_life(self, own_server: PostgresServer, options: str) -> None:
        """Everything works: migrating, and all that web and worker do, also many at once."""
        _, _, name = own_server.new_database(migrated=False).rpartition("/")
        async with pooling_proxy("127.0.0.1", own_server.port, SUPERUSER, name) as port:
            url = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{name}{options}"
            await asyncio.to_thread(migrate, url)
            stores = [PostgresStore(url), PostgresStore(url)]
            for store in stores:
                await store.start()
                store.listen(lambda _: None)
            web, worker = stores
            assert web._pool.pooled
            for number in range(10):
                events = [_event(f"e{number}-{n}", f"c{n}") for n in range(40)]
                assert sum(await asyncio.gather(*(web.receive([event]) for event in events))) == 40
                claims = await asyncio.gather(*(_claim(store, 30) for store in stores))
                works = [work for claim in claims for work in claim]
                while more := await _claim(worker, 30):
                    works += more
                assert sorted(work.state.id for work in works) == sorted(f"c{n}" for n in range(40))
                await asyncio.gather(*(worker.renew(work.lease, NOW + 2 * LEASE) for work in works))
                fetched = await asyncio.gather(*(worker.fetch(work.lease) for work in works))
                assert [len(events) for events in fetched] == [1] * 40
                changes = [Change(w.state, handled=[w.events[0].id], users={"u"}, release=True) for w in works]
                saves = [worker.save(w.lease, c, NOW) for w, c in zip(works, changes, strict=True)]
                await asyncio.gather(*saves)
            assert await worker.next_due(NOW) is None
            await web.receive([_event("gone", "c1")])
            (work,) = await _claim(worker)
            await worker.save(work.lease, Change(replace(work.state, gone=True), forget=True), NOW)
            assert len(await worker.conversations_of("u")) == 39
            assert await worker.purge(NOW + LEASE, 100) > 0
            assert (await web.counts(NOW)).inbox == 0
            for store in stores:
                await store.stop()


async def test_a_probe_needs_the_inbox(store: PostgresStore, postgres_url: str) -> None:
    """A lock on the table that webhooks are stored in fails it; afterwards it works, and leaves nothing."""
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("BEGIN; LOCK TABLE switchboard_bot.inbox IN SHARE MODE")
        with pytest.raises(Unavailable):
            await store.probe()
        await connection.execute("ROLLBACK")
        await store.probe()
        assert await connection.fetchval("SELECT count(*) FROM switchboard_bot.inbox") == 0
    finally:
        await connection.close()


class TestNews:
    """Who stores events wakes the workers of other processes."""

    async def test_heard(self, store: PostgresStore, another: PostgresStore) -> None:
        """With the conversations that they belong to; but nobody hears of itself."""
        heard: list[str | None] = []
        own: list[str | None] = []
        another.listen(heard.extend)
        store.listen(own.extend)
        await _until(lambda: heard == [None] and own == [None])
        await store.receive([_event("e1", "c1"), _event("e2", "c2"), _event("e3", None)])
        await _until(lambda: set(heard) == {None, "c1", "c2"} and len(heard) == 4)
        assert own == [None]
        await store.receive([_event("e1", "c1")])
        await store.receive([_event("e4", "c4")])
        await _until(lambda: heard[-1] == "c4")
        assert heard.count("c1") == 1, "what was known already wakes nobody"

    async def test_another_loop(self, store: PostgresStore, another: PostgresStore) -> None:
        """The store of another loop wakes other processes, and not its own."""
        heard: list[str | None] = []
        own: list[str | None] = []
        another.listen(heard.extend)
        store.listen(own.extend)
        await _until(lambda: heard == [None] and own == [None])
        beside = store.for_another_loop()
        await beside.start()
        await beside.receive([_event("e1", "c1")])
        await _until(lambda: heard == [None, "c1"])
        assert own == [None]
        await beside.stop()

    async def test_heard_again(
        self, store: PostgresStore, another: PostgresStore, postgres: PostgresServer, postgres_url: str
    ) -> None:
        """After the connection broke, the worker looks for everything, and then hears again."""
        heard: list[str | None] = []
        another.listen(heard.extend)
        await _until(lambda: heard == [None])
        listening = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%listening'"
        await asyncio.to_thread(postgres.query, listening, url=postgres_url)
        await _until(lambda: heard == [None, None], 40)
        await store.receive([_event("e1")])
        await _until(lambda: heard[-1] == "c1")

    @pytest.mark.parametrize(("answers", "lines"), [(True, 2), (False, 0)])
    async def test_deaf(self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch, answers: bool, lines: int) -> None:
        """It is told rarely; and not at all while the database does not answer either, which is told elsewhere."""
        tries = 0

        async def fails(*_: object) -> None:
            nonlocal tries
            tries += 1
            raise OSError("refused")

        async def out_of_reach(*_: object) -> None:
            raise Unavailable("out of reach")

        monkeypatch.setattr(news, "_listened", fails)
        monkeypatch.setattr(news, "_AGAIN", 0.001)
        if not answers:
            monkeypatch.setattr(store._pool, "fetch", out_of_reach)
        signals: list[Signal] = []
        store._news._observe = signals.append
        store.listen(lambda _: None)
        await _until(lambda: tries > 40)
        assert [signal.event for signal in signals] == ["not_listening"] * lines
        monkeypatch.undo()

    def test_payloads(self) -> None:
        """Many ids go in several messages, each of a size that PostgreSQL takes."""
        ids = [f"{n:0255}" for n in range(100)]
        texts = payloads("me", ids)
        assert all(len(text) < 8000 and text.startswith("me\n") for text in texts)
        assert [id_ for text in texts for id_ in text.split("\n")[1:]] == ids


async def test_no_statement_reads_everything(postgres: PostgresServer, postgres_url: str) -> None:
    """In a large database, finding, loading and saving work never reads a table whole, nor does a look or a purge."""
    for statement in _LARGE:
        postgres.query(statement, url=postgres_url)
    for table in _TABLES:
        postgres.query(f"ANALYZE {table}", url=postgres_url)  # also of the small ones, so that none is small by guess
    before = dict(postgres.query(_SCANS, url=postgres_url))
    store = PostgresStore(postgres_url)
    await store.start()
    await store.receive([_event(f"new{n}", f"c{n % 7}") for n in range(3000)])
    for _ in range(8):  # often enough that no plan is one for these values
        works = await _claim(store, 5)
        await store.next_due(NOW)
        for work in works:
            await store.fetch(work.lease)
            await store.renew(work.lease, NOW + 2 * LEASE)
            say = Say(f"{work.state.id}.{work.lease.epoch}", 1, {})
            handled = [event.id for event in work.events]
            moments = [Moment(NOW, MomentKind.REPORT, "words")]
            change = Change(work.state, handled=handled, add=[say], history=moments, users={"u"})
            await store.save(work.lease, change, NOW)
            over = Change(work.state, done=[Done(say.effect_id, "said")], release=True)
            await store.save(work.lease, over, NOW)
    await store.receive([_event("last", "c8")])
    (work,) = await _claim(store, 1)
    await store.save(work.lease, Change(replace(work.state, gone=True), forget=True), NOW)
    await store.set_aside("new1", "odd")
    await store.find("c1")
    await store.conversations_of("u")
    await store.app_events(10)
    await store.counts(NOW)
    await store.purge(NOW, 5)
    for standing in Standing:
        await store.conversations(Listing(standing, NOW))
    await store.conversations(Listing(Standing.ALL, NOW, search="1999"))
    await store.timeline("c1")
    await store.longest_pause(NOW, NOW)
    await store.stop()
    after = dict(postgres.query(_SCANS, url=postgres_url))
    assert {table: after[table] - before[table] for table in _TABLES if after[table] > before[table]} == {}


async def _tried(work: Any) -> Any:
    try:
        return await work
    except StoreError as error:
        return error


async def _until_known(store: PostgresStore, ids: list[str]) -> list[str]:
    """Send again until everything is stored, as the platform does; all ids that then are."""
    for _ in range(20):
        if not isinstance(await _tried(store.receive([_event(id_) for id_ in ids])), Exception):
            rows = await store._pool.fetch("SELECT id FROM inbox")
            return sorted((row[0] for row in rows), key=ids.index)
        await asyncio.sleep(0.1)
    pytest.fail("it never works again")


async def _until(true: Any, within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110 - what is waited for is in a list or in the database
            await asyncio.sleep(0.01)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
