"""Retention: what is old and needed by nothing goes, a little each time; what is at stake stays."""

from __future__ import annotations

from dataclasses import astuple, replace
from datetime import timedelta

import pytest
from store_samples import (
    DUTY,
    NOW,
    PROOF,
    RUN,
    AnyStore,
    claim,
    claimed,
    ended,
    event,
    everything,
    handled,
    held,
    opened,
    rows,
    saved,
    say,
)

from bot.control.state import Conversation, Holder, Input, Opening, OpeningKind, Who
from bot.store import Change, Done, JournalEntry, SqliteStore
from bot.store.asking import for_sqlite
from bot.store.operators import Access
from bot.store.purge import ROWS

DAY = timedelta(days=1)
LATER = NOW + 31 * DAY
BEFORE = LATER - 30 * DAY
CLOSED = ended(proof=PROOF)
WITH_OTHERS = Conversation("c1", holder=Holder(Who.OTHER), watch_at=LATER)
RESTS = Conversation("c1", holder=Holder(Who.NOBODY))

pytestmark = pytest.mark.usefixtures("engine")  # each test runs on SQLite and on PostgreSQL


async def purged(store: AnyStore) -> str:
    """Purge until nothing is left to do; all that is still stored, in one text."""
    while await store.purge(BEFORE, 10):
        pass
    return await everything(store)


class TestConversations:
    """A conversation goes once nothing in it is due, owed or young."""

    @pytest.mark.parametrize("state", [CLOSED, RESTS, Conversation("c1", gone=True)])
    async def test_over(self, state: Conversation) -> None:
        """All of one that is over goes, its duties and participants too."""
        async with opened() as store:
            work = await claimed(store)
            await saved(
                store,
                work,
                state,
                handled=handled(work),
                add=[say("s1")],
                done=[Done("s1", "said")],
                closed_duties=[(DUTY, PROOF)],
                users={"u1"},
                release=True,
            )
            left = await purged(store)
            assert "c1" not in left
            assert "u1" not in left

    @pytest.mark.parametrize(
        "state",
        [
            held(idle_at=LATER),
            ended(),
            replace(RESTS, duty=DUTY),
            replace(held(), run=RUN),
            WITH_OTHERS,
        ],
    )
    async def test_at_stake(self, state: Conversation) -> None:
        """One that is held, owed, at work or watched stays, however old it is; what was said in it goes."""
        async with opened() as store:
            await store.receive([event("e1", body=b'"SECRET"')])
            (work,) = await claim(store)
            journal = [JournalEntry(1, 0, "ask", "k", "kept")] if state.run else []
            change = Change(state, handled=["e1"], journal=journal, users={"u1"}, release=True)
            change.add += [say("s1", text="SECRET"), say("s2", text="open")]
            change.done.append(Done("s1", "said"))
            await store.save(work.lease, change, NOW)
            left = await purged(store)
            assert await store.find("c1") == state
            assert "SECRET" not in left
            assert "open" in left
            assert "u1" in left
            assert ("kept" in left) == bool(state.run)

    async def test_steps_of_earlier_runs(self) -> None:
        """They go with what was said at their time, however much happens later, and those of the run at work stay."""
        async with opened() as store:
            work = await claimed(store)
            steps = [JournalEntry(1, 0, "call", "f", "OLD", at=NOW), JournalEntry(1, 1, "call", "f", "YOUNG", at=LATER)]
            await saved(store, work, replace(held(), run=RUN), handled=handled(work), journal=steps)
            new = [JournalEntry(2, 0, "began", "order", "AT WORK", at=NOW)]
            await saved(store, work, replace(held(), run=replace(RUN, id=2)), journal=new, release=True)
            left = await purged(store)
            assert [word for word in ("OLD", "YOUNG", "AT WORK") if word in left] == ["YOUNG", "AT WORK"]

    async def test_looked_at_again_for_steps(self) -> None:
        """What is younger than the events goes when it is old itself, and not as late as the next events."""
        async with opened() as store:
            await store.receive([event("e1"), event("e2", after=20 * DAY)])
            (work,) = await claim(store)
            steps = [JournalEntry(1, 0, "call", "f", "SECRET", at=NOW + DAY)]
            await saved(store, work, replace(held(), run=RUN), journal=steps)
            await saved(store, work, RESTS, handled=["e1", "e2"], release=True)
            assert "SECRET" in await purged(store)
            while await store.purge(BEFORE + 2 * DAY, 10):
                pass
            assert "SECRET" not in await everything(store)

    async def test_leased(self) -> None:
        """One that somebody works on stays."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, RESTS, handled=handled(work))
            await purged(store)
            assert await store.find("c1") == RESTS

    async def test_young(self) -> None:
        """One in which something has happened lately stays, and only what is old goes of it."""
        async with opened() as store:
            await store.receive([event("e1", body=b'"SECRET"'), event("e2", after=10 * DAY, body=b'"young"')])
            (work,) = await claim(store)
            await saved(store, work, RESTS, handled=["e1", "e2"], release=True)
            left = await purged(store)
            assert "SECRET" not in left
            assert "young" in left
            assert await store.find("c1") == RESTS

    async def test_looked_at_again(self) -> None:
        """What could not go yet is put off by a day, or until its oldest event is old; then it goes."""
        async with opened() as store:
            await store.receive([event("e1"), event("e2", after=10 * DAY)])
            (work,) = await claim(store)
            await saved(store, work, CLOSED, handled=["e1", "e2"], release=True)
            assert await store.purge(BEFORE, 10) == 1
            assert await store.purge(BEFORE, 10) == 0
            assert await store.purge(NOW + 10 * DAY, 10) == 0
            assert await store.purge(NOW + 10 * DAY + timedelta(seconds=1), 10) == 1
            assert await store.find("c1") is None

    async def test_unhandled(self) -> None:
        """Events that wait stay, and their conversation with them."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, RESTS, handled=handled(work), release=True)
            await store.receive([event("waits")])
            await purged(store)
            assert [each.id for each in (await claim(store, at=LATER))[0].events] == ["waits"]

    async def test_named(self) -> None:
        """What opened a run that waits, and what was said to it, stays: the flow asks for it when it goes on."""
        async with opened() as store:
            await store.receive([event("e1"), event("e2"), event("e3")])
            (work,) = await claim(store)
            run = replace(RUN, opening=Opening(OpeningKind.MESSAGE, "e1"), deadline=LATER)
            state = replace(held(), run=run, inputs=(Input("e2", NOW),))
            await saved(store, work, state, handled=["e1", "e2", "e3"], release=True)
            await purged(store)
            (again,) = await claim(store, at=LATER)
            assert [each.id for each in again.inputs] == ["e1", "e2"]
            assert await rows(store, "SELECT id FROM inbox ORDER BY seq") == [("e1",), ("e2",)]

    async def test_set_aside(self) -> None:
        """What could not be understood is kept for as long as everything else."""
        async with opened() as store:
            await store.receive([event("e1", body=b"SECRET")])
            (work,) = await claim(store)
            await saved(store, work, RESTS, set_aside=[("e1", "no type")], release=True)
            assert "SECRET" not in await purged(store)

    async def test_long(self) -> None:
        """A long conversation goes in several goes."""
        async with opened() as store:
            await store.receive([event(f"e{number}") for number in range(ROWS + 10)])
            (work,) = await claim(store)
            several = [f"e{number}" for number in range(ROWS + 10)]
            await saved(store, work, RESTS, handled=several, release=True)
            assert await store.purge(BEFORE, 10) == 1
            assert await rows(store, "SELECT count(*) FROM inbox") == [(10,)]
            assert await store.purge(BEFORE, 10) == 1
            assert await store.purge(BEFORE, 10) == 0
            assert await store.find("c1") is None

    async def test_few_at_a_time(self) -> None:
        """No more conversations than asked for, those that are oldest first."""
        async with opened() as store:
            for number in range(5):
                await store.receive([event(f"e{number}", f"c{number}", after=number * DAY)])
                (work,) = await claim(store, at=NOW + number * DAY)
                change = Change(replace(RESTS, id=f"c{number}"), handled=[f"e{number}"], release=True)
                await store.save(work.lease, change, NOW)
            assert await store.purge(LATER, 2) == 2
            assert await rows(store, "SELECT id FROM conversations ORDER BY id") == [("c2",), ("c3",), ("c4",)]

    async def test_from_before(self) -> None:
        """Conversations that an older version has stored are looked at once, and kept if they are young."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, RESTS, handled=handled(work), release=True)
            await rows(store, "UPDATE conversations SET kept_since = 0")
            assert await store.purge(NOW - DAY, 10) == 1
            assert await store.purge(NOW - DAY, 10) == 0
            assert await store.find("c1") == RESTS

    async def test_comes_back(self) -> None:
        """What happens after all was purged begins anew."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, CLOSED, handled=handled(work), release=True)
            await purged(store)
            await store.receive([event("new", after=31 * DAY)])
            (again,) = await claim(store, at=LATER)
            assert again.state == Conversation("c1")


class TestTheRest:
    """What belongs to no conversation."""

    async def test_app_events(self) -> None:
        """Events of no single conversation go once they are handled or set aside and old."""
        async with opened() as store:
            late = event("e4", None, after=20 * DAY)
            await store.receive([event("e1", None), event("e2", None), event("e3", None), late])
            for stored in await store.app_events(10):
                if stored.id in ("e1", "e4"):
                    await store.spread(stored, [], NOW)
            await store.set_aside("e2", "unreadable")
            assert await store.purge(BEFORE, 10) == 2
            assert await rows(store, "SELECT id FROM inbox ORDER BY seq") == [("e3",), ("e4",)]

    async def test_removals(self) -> None:
        """That somebody or something was removed is forgotten too: nothing comes any more after so long."""
        async with opened() as store:
            work = await claimed(store)
            await store.remember_removal("u1", NOW)
            await store.remember_removal("u2", LATER)
            await saved(store, work, Conversation("c1", gone=True), forget=True)
            assert await store.purge(BEFORE, 10) == 2
            assert await rows(store, "SELECT user_id FROM removed_users") == [("u2",)]
            assert await rows(store, "SELECT * FROM removed") == []
            assert await rows(store, "SELECT * FROM inbox") == []

    async def test_audit_log(self) -> None:
        """Who looked at what is forgotten with what they looked at."""
        async with opened() as store:
            young = Access(LATER, "console", "view", "c2")
            for access in (
                Access(NOW, "console", "sign in", detail="192.0.2.1"),
                Access(NOW, "a", "view", "c1"),
                young,
            ):
                await store.audit(access)
            assert [await store.purge(BEFORE, 1) for _ in range(3)] == [1, 1, 0]
            assert await store.audit_log() == [young]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_plans() -> None:
    """Nothing is searched for: every query of a purge goes by an index or a key."""
    from bot.store import purge
    from bot.store.sqlite.purge import WORDS

    async with opened() as store:
        queries = [text for name, text in vars(purge).items() if name.isupper() and isinstance(text, str)]
        queries += [*purge.DELETE_REST, *astuple(WORDS)]
        assert len(queries) >= 18
        for text in queries:
            names = dict.fromkeys(("id", "ids", "since", "before", "limit", "named", "runs"), "1")
            assert isinstance(store, SqliteStore)
            assert store._shared
            plan = [row[3] for row in store._shared.execute("EXPLAIN QUERY PLAN " + for_sqlite(text), names)]
            scans = [step for step in plan if step.startswith("SCAN") and "VIRTUAL TABLE" not in step]
            assert [step for step in scans if f"CO-ROUTINE {step[5:]}" not in plan] == [], text
