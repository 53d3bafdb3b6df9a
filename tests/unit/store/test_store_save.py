"""A change is written whole or not at all, and nothing unsafe is ever stored."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from store_samples import (
    DUTY,
    ENDED,
    NOW,
    PROOF,
    RUN,
    SECOND,
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
    unsent,
)

from bot.control.commands import Pass, Read, Release
from bot.control.state import Conversation, Key, Kind, Pending, Proof, What
from bot.store import Change, CleanUp, Done, JournalEntry, LeaseLost, Say, StoreError, UnsafeState
from bot.store.times import to_micros

pytestmark = pytest.mark.usefixtures("engine")  # each test runs on SQLite and on PostgreSQL


class TestInvariant:
    """What is at stake without a time at which it is looked at again can't be stored, by nobody."""

    @pytest.mark.parametrize(
        ("state", "safe"),
        [
            (Conversation("c1"), True),
            (held(), True),
            (held(idle_at=None), False),
            (replace(held(idle_at=None), duty=DUTY), True),
            (replace(held(idle_at=None), gone=True), True),
            (ended(), True),
            (ended(proof=PROOF), True),
            (replace(held(idle_at=None), ended=replace(ENDED, proof=PROOF)), False),
        ],
    )
    async def test_save(self, state: Conversation, safe: bool) -> None:
        """The database agrees with `is_safe`, and a refusal leaves all as it was."""
        assert state.is_safe() == safe
        async with opened() as store:
            work = await claimed(store)
            if safe:
                await saved(store, work, state)
                assert await store.find("c1") == state
            else:
                with pytest.raises(UnsafeState, match="no time is set"):
                    await saved(store, work, state, handled=handled(work), add=[say("s1")])
                assert await store.find("c1") == Conversation("c1")
                assert await store.fetch(work.lease) == list(work.events)
                assert await rows(store, "SELECT * FROM outbox") == []

    @pytest.mark.parametrize(
        "attack",
        [
            "UPDATE conversations SET look_at = NULL",
            "UPDATE conversations SET due_at = NULL",
            "UPDATE conversations SET due_at = look_at + 1",
            "UPDATE conversations SET look_at = NULL, holder = 'other', ended_at = 1",
            "UPDATE conversations SET holder = 'me'",
            "UPDATE conversations SET lease_until = NULL",
            "UPDATE conversations SET look_at = 'soon'",
            "UPDATE inbox SET status = 'lost'",
            "UPDATE inbox SET body = NULL",
        ],
    )
    async def test_raw_sql(self, attack: str) -> None:
        """The database itself refuses it, whoever writes."""
        async with opened() as store:
            await saved(store, await claimed(store), held())
            with pytest.raises((sqlite3.IntegrityError, StoreError)):
                await rows(store, attack)

    async def test_released_by_hand(self) -> None:
        """Raw SQL that is safe is not refused: the checks forbid nothing else."""
        async with opened() as store:
            await saved(store, await claimed(store), held())
            await rows(store, "UPDATE conversations SET holder = 'nobody', look_at = NULL, due_at = NULL")


class TestEvents:
    """Events take effect together with the state that they led to."""

    async def test_handled_once(self) -> None:
        """A handled event does not come again."""
        async with opened() as store:
            await store.receive([event("e1"), event("e2")])
            (work,) = await claim(store)
            await saved(store, work, handled=["e1"])
            assert [each.id for each in await store.fetch(work.lease)] == ["e2"]

    async def test_set_aside(self) -> None:
        """An event is set aside with its reason, and the next one is served."""
        async with opened() as store:
            await store.receive([event("e1"), event("e2")])
            (work,) = await claim(store)
            await saved(store, work, set_aside=[("e1", "no type")])
            assert [each.id for each in await store.fetch(work.lease)] == ["e2"]
            assert await rows(store, "SELECT reason FROM inbox WHERE status = 'set_aside'") == [("no type",)]

    async def test_only_its_own(self) -> None:
        """A change can't touch the events of another conversation."""
        async with opened() as store:
            await store.receive([event("e1", "c1"), event("e2", "c2")])
            first, second = await claim(store)
            await saved(store, first, handled=["e2"], set_aside=[("e2", "mine!")])
            assert [each.id for each in await store.fetch(second.lease)] == ["e2"]


class TestOutbox:
    """Effects are kept until they are finished, with what is known of their tries."""

    @pytest.mark.parametrize(
        "effect",
        [
            Say("x1", 1, {"type": "text", "text": "Grüße 🙂"}, {"a": 1}),
            CleanUp("x1", 1, "team.flows:unlock", [1, "two"], {"three": None}, 3, 1.5),
        ],
    )
    async def test_unsent(self, effect: Say | CleanUp) -> None:
        """What a message says and a clean-up calls comes back as it was."""
        async with opened() as store:
            await saved(store, await claimed(store), add=[effect], release=True)
            (work,) = await claim(store)
            assert work.unsent == (effect,)

    @pytest.mark.parametrize(
        "call", [Release("x1", Key.APP), Pass("x1", "zd:agentWorkspace", {"vip": True}), Read("x1", messages=False)]
    )
    async def test_calls(self, call: Release | Pass | Read) -> None:
        """A control action or a read is recorded once it is done."""
        async with opened() as store:
            await saved(store, await claimed(store), done=[Done("x1", "accepted", 0, call, NOW - SECOND)], release=True)
            found = await store.timeline("c1")
            assert found
            (past,) = found.effects
            assert (past.effect, past.outcome, past.created_at, past.finished_at) == (
                call,
                "accepted",
                NOW - SECOND,
                NOW,
            )

    @pytest.mark.parametrize("kind", list(Kind))
    async def test_due(self, kind: Kind) -> None:
        """A conversation is due when the first thing that is unsent in it is."""
        async with opened() as store:
            state = Conversation("c1", unsent=(unsent("x1", due=NOW + SECOND, kind=kind),))
            if kind not in (Kind.SAY, Kind.CLEAN_UP):
                state = Conversation("c1", pending=Pending("x1", What.READ_TO_WATCH, since=NOW + SECOND))
            await saved(store, work := await claimed(store), state, handled=handled(work), release=True)
            assert await store.next_due(NOW) == NOW + SECOND

    async def test_done(self) -> None:
        """What is done is kept for the record, and nothing opens it again."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, add=[say("s1")], done=[Done("s1", "said", 2), Done("unknown", "dropped")])
            await saved(store, work, done=[Done("s1", "dropped")], release=True)
            (again,) = await claim(store)
            assert again.unsent == ()
            found = await rows(store, "SELECT status, outcome, attempts FROM outbox")
            assert found == [("finished", "said", 2)]

    async def test_unique(self) -> None:
        """An effect id comes once; the same one again refuses the whole change."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, add=[say("s1")])
            with pytest.raises(StoreError, match=r"(?i)unique.*effect_id"):
                await saved(store, work, handled=handled(work), add=[say("s1")])
            assert await store.fetch(work.lease) == list(work.events)


class TestJournal:
    """The journal is that of the run, step by step."""

    async def test_steps(self) -> None:
        """Entries add up; the same step twice is refused."""
        async with opened() as store:
            work = await claimed(store)
            state = replace(held(), run=RUN)
            steps = [JournalEntry(1, index, "call", "f", index) for index in range(3)]
            for step in steps:
                await saved(store, work, state, journal=[step])
            with pytest.raises(StoreError):
                await saved(store, work, state, journal=[steps[0]])
            await saved(store, work, state, release=True)
            (again,) = await claim(store)
            assert again.journal == tuple(steps)

    @pytest.mark.parametrize("next_run", [None, replace(RUN, id=2)])
    async def test_other_run(self, next_run: None) -> None:
        """When the run is over, its steps stay, its last ones too, until they are purged; the next run sees none."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, replace(held(), run=RUN), journal=[JournalEntry(1, 0, "say", "0")])
            last = JournalEntry(1, 1, "say", "1", at=NOW)
            await saved(store, work, replace(held(), run=next_run), journal=[last], release=True)
            kept = [("c1", 1, 0, "say", "0", "null", 0), ("c1", 1, 1, "say", "1", "null", to_micros(NOW))]
            assert await rows(store, "SELECT * FROM journal") == kept
            assert (await claimed(store)).journal == ()


class TestDuties:
    """Every duty is on record, from the moment that it is owed to its proof."""

    async def test_open(self) -> None:
        """An open duty is recorded with its latest attempt."""
        async with opened() as store:
            work = await claimed(store)
            for attempts in (0, 1):
                await saved(store, work, Conversation("c1", duty=replace(DUTY, attempts=attempts)))
            record = await rows(store, "SELECT duty_id, action, target, reason, attempts, closed_at FROM duties")
            assert record == [(3, "pass", "t", "flow complete", 1, None)]

    async def test_closed(self) -> None:
        """A closed duty has its proof, even if it was never seen open; the next one is another record."""
        async with opened() as store:
            work = await claimed(store)
            state = Conversation("c1", duty=replace(DUTY, id=4))
            await saved(store, work, state, closed_duties=[(DUTY, PROOF)])
            await saved(store, work, closed_duties=[(replace(DUTY, id=4), Proof("void", NOW))])
            assert await rows(store, "SELECT duty_id, proof FROM duties") == [(3, PROOF.how), (4, "void")]
            assert await rows(store, "SELECT count(*) FROM duties WHERE closed_at IS NULL") == [(0,)]

    async def test_vanished(self) -> None:
        """A duty that is gone from the state without a word does not stay open on record for ever."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, Conversation("c1", duty=DUTY))
            await saved(store, work)
            ((closed, proof),) = await rows(store, "SELECT closed_at IS NOT NULL, proof FROM duties")
            assert closed
            assert "no reason was recorded" in proof


class TestForget:
    """What is forgotten is gone, and stays gone."""

    async def test_leaves_nothing(self) -> None:
        """No table has a word of it; only ids are left, by which late retries are known."""
        async with opened() as store:
            await store.receive([event("e1", body=b'{"t": "SECRET"}'), event("e2", body=b'{"t": "SECRET"}')])
            await store.receive([event("e3", body=b'{"t": "kept"}'), event("other", "c2", body=b'{"t": "kept"}')])
            work = next(work for work in await claim(store) if work.lease.conversation_id == "c1")
            duty = replace(DUTY, reason="SECRET")
            state = replace(held(), run=RUN, duty=replace(duty, id=4))
            await saved(
                store,
                work,
                state,
                handled=["e1"],
                set_aside=[("e2", "SECRET")],
                add=[say("s1", text="SECRET"), say("s2", text="SECRET")],
                done=[Done("s1", "SECRET")],
                journal=[JournalEntry(1, 0, "say", "SECRET", "SECRET")],
                closed_duties=[(duty, Proof("SECRET", NOW))],
                users={"SECRET"},
            )
            assert (await everything(store)).count("SECRET") >= 10
            await saved(store, work, replace(state, gone=True), forget=True)
            assert "SECRET" not in await everything(store)
            assert await rows(store, "SELECT id, status FROM inbox WHERE length(body) = 0 ORDER BY seq") == [
                ("e1", "handled"),
                ("e2", "handled"),
                ("e3", "handled"),
            ]
            assert await store.find("c1") is None
            assert "kept" in await everything(store)

    async def test_stays_gone(self) -> None:
        """Neither a retry of an old event nor a late new one brings it back, and nothing waits."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, Conversation("c1", gone=True), forget=True)
            late = event("late", body=b"SECRET")
            assert await store.receive([event(work.events[0].id), late]) == 1
            await store.receive([event("other", "c2")])
            assert [each.lease.conversation_id for each in await claim(store)] == ["c2"]
            assert await store.find("c1") is None
            assert "SECRET" not in await everything(store)
            assert (await store.counts(NOW)).inbox == 1

    async def test_fenced(self) -> None:
        """The lease is over with it."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, Conversation("c1", gone=True), forget=True)
            with pytest.raises(LeaseLost):
                await saved(store, work)
            with pytest.raises(LeaseLost):
                await store.fetch(work.lease)


class TestWhole:
    """All of a change or nothing."""

    async def test_wrong_conversation(self) -> None:
        """A lease writes the state of its own conversation and no other."""
        async with opened() as store:
            work = await claimed(store)
            with pytest.raises(StoreError, match="can't write the state of c2"):
                await store.save(work.lease, Change(Conversation("c2")), NOW)
