"""Who gets to work on a conversation, when, and with what in hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from store_samples import (
    LEASE,
    MINUTE,
    NOW,
    RUN,
    SECOND,
    AnyStore,
    claim,
    claimed,
    event,
    handled,
    held,
    ids,
    opened,
    rows,
    saved,
    say,
    unsent,
)

from bot.control.state import Conversation, Input
from bot.signals import Level, Signal
from bot.store import Change, Done, JournalEntry, LeaseLost
from bot.store.sqlite.claim import MOST_EVENTS

pytestmark = pytest.mark.usefixtures("engine")  # each test runs on SQLite and on PostgreSQL


async def _rest(store: AnyStore, conversation_id: str, look_at: timedelta | None) -> None:
    """Leave a conversation without work, to be looked at later (or never)."""
    work = await claimed(store, conversation_id)
    at = None if look_at is None else NOW + look_at
    await saved(store, work, Conversation(conversation_id, watch_at=at), handled=handled(work), release=True)


class TestWhat:
    """What a claim finds."""

    async def test_nothing(self) -> None:
        """An empty database has no work."""
        async with opened() as store:
            assert await claim(store) == []
            assert await store.next_due(NOW) is None

    async def test_new_conversation(self) -> None:
        """A conversation of which only an event is known is created."""
        async with opened() as store:
            await store.receive([event("e1")])
            (work,) = await claim(store)
            assert work.state == Conversation("c1")
            assert (work.lease.owner, work.lease.epoch, work.lease.until) == ("w1", 1, NOW + LEASE)
            assert (work.inputs, work.unsent, work.journal) == ((), (), ())

    async def test_order_of_events(self) -> None:
        """Events come in the order of arrival, whatever their times say."""
        async with opened() as store:
            await store.receive([event("e3", after=SECOND), event("e1"), event("e2", after=-SECOND)])
            (work,) = await claim(store)
            assert handled(work) == ["e3", "e1", "e2"]
            assert handled(work) == [each.id for each in await store.fetch(work.lease)]

    async def test_order_of_conversations(self) -> None:
        """Those that have waited longest come first, for an event or for their time."""
        async with opened() as store:
            await _rest(store, "due", timedelta(seconds=2))
            await store.receive([event("e1", "third", after=3 * SECOND), event("e2", "first", after=SECOND)])
            assert ids(await claim(store, at=NOW + MINUTE, limit=2)) == ["first", "due"]
            assert ids(await claim(store, at=NOW + MINUTE, limit=2)) == ["third"]

    async def test_due(self) -> None:
        """A conversation is claimed at its time, and not before."""
        async with opened() as store:
            await _rest(store, "c1", MINUTE)
            assert await claim(store, at=NOW + MINUTE - timedelta(microseconds=1)) == []
            assert ids(await claim(store, at=NOW + MINUTE)) == ["c1"]

    async def test_resting(self) -> None:
        """A conversation without a time is left alone until an event comes."""
        async with opened() as store:
            await _rest(store, "c1", None)
            assert await claim(store, at=NOW + timedelta(days=99)) == []
            await store.receive([event("e1")])
            assert ids(await claim(store)) == ["c1"]

    async def test_everything_in_hand(self) -> None:
        """A work holds state, new events, named inputs, open effects in order, and the journal of its run."""
        async with opened() as store:
            await store.receive([event("e1"), event("e2"), event("e3"), event("other", "c2")])
            (work, _) = await claim(store)
            inputs = (Input("e2", NOW), Input("e1", NOW), Input("e3", NOW), Input("never seen", NOW))
            state = replace(held(), run=RUN, inputs=inputs)
            journal = [JournalEntry(1, 0, "say", "0", None), JournalEntry(1, 1, "call", "f", {"a": [1, None]})]
            add = [say("s2"), say("s1"), say("s0")]
            done = [Done("s0", "dropped")]
            await saved(store, work, state, handled=["e1", "e2"], add=add, done=done, journal=journal, release=True)
            (again,) = await claim(store)
            assert again.state == state
            assert handled(again) == ["e3"]
            assert [each.id for each in again.inputs] == ["e2", "e1"]
            assert again.unsent == tuple(add[:2])
            assert again.journal == tuple(journal)

    @pytest.mark.parametrize("count", [1, 1000])
    async def test_many(self, count: int) -> None:
        """Any number of conversations is claimed at once, each with its own events."""
        async with opened() as store:
            await store.receive([event(f"e{n}-{k}", f"c{n:04}") for k in range(2) for n in range(count)])
            works = await claim(store, limit=count)
            assert ids(works) == [f"c{n:04}" for n in range(count)]
            assert all(handled(work) == [f"e{n}-0", f"e{n}-1"] for n, work in enumerate(works))


class TestFairness:
    """A conversation with very many events is served without hurting the others."""

    async def test_capped(self) -> None:
        """One work holds a part of the events; the others come by `fetch`, in order."""
        total = 2 * MOST_EVENTS + 1
        async with opened() as store:
            await store.receive([event(f"e{n:05}") for n in range(total)])
            (work,) = await claim(store)
            seen, events = [], work.events
            while events:
                assert len(events) <= MOST_EVENTS
                seen += [each.id for each in events]
                await saved(store, work, handled=[each.id for each in events])
                events = tuple(await store.fetch(work.lease))
            assert seen == [f"e{n:05}" for n in range(total)]

    async def test_others_get_their_turn(self) -> None:
        """Others are claimed although thousands of older events belong to conversations that are taken."""
        async with opened() as store:
            await store.receive([event(f"e{n}", f"busy{n % 2}") for n in range(5000)])
            assert len(await claim(store, limit=2)) == 2
            assert await store.next_due(NOW) == NOW + LEASE
            await store.receive([event("late", "quiet"), event("later", "calm", after=SECOND)])
            assert await store.next_due(NOW) == NOW
            assert ids(await claim(store, limit=2)) == ["quiet", "calm"]

    async def test_whole_limit(self) -> None:
        """The whole limit is used even if one free conversation hides the others behind its events."""
        async with opened() as store:
            await store.receive([event(f"e{n}", "busy") for n in range(5000)])
            await store.receive([event("late", "quiet", after=SECOND)])
            assert ids(await claim(store, limit=2)) == ["busy", "quiet"]


class TestLease:
    """At any time, one worker at most."""

    async def test_taken(self) -> None:
        """Nobody gets what somebody works on, whatever comes in."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, replace(held(), idle_at=NOW))
            await store.receive([event("e2")])
            assert await claim(store, at=NOW + LEASE - SECOND, owner="w2") == []

    async def test_taken_over(self) -> None:
        """A lease that ran out goes to another worker, with a higher epoch and everything unfinished."""
        async with opened() as store:
            first = await claimed(store)
            (second,) = await claim(store, at=NOW + LEASE, owner="w2")
            assert (second.lease.owner, second.lease.epoch) == ("w2", first.lease.epoch + 1)
            assert second.events == first.events

    async def test_nothing_to_take_over(self) -> None:
        """A conversation whose worker died after its work was done rests."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, handled=handled(work))
            assert await claim(store, at=NOW + MINUTE) == []
            assert await store.next_due(NOW + MINUTE) is None

    async def test_fenced(self) -> None:
        """After a take-over the old worker can neither save, fetch nor renew, and has written nothing."""
        async with opened() as store:
            first = await claimed(store)
            (second,) = await claim(store, at=NOW + LEASE, owner="w2")
            change = Change(held(), handled=handled(first), add=[say("s1")], users={"u1"}, release=True)
            with pytest.raises(LeaseLost, match="nothing was written"):
                await store.save(first.lease, change, NOW)
            with pytest.raises(LeaseLost):
                await store.save(first.lease, Change(replace(held(), gone=True), forget=True), NOW)
            with pytest.raises(LeaseLost):
                await store.fetch(first.lease)
            with pytest.raises(LeaseLost):
                await store.renew(first.lease, NOW + MINUTE)
            assert await store.find("c1") == Conversation("c1")
            assert await store.fetch(second.lease) == list(second.events)
            assert await rows(store, "SELECT count(*) FROM outbox") == await rows(
                store, "SELECT count(*) FROM participants"
            )
            assert await claim(store, at=NOW + LEASE) == []

    async def test_late_but_alone(self) -> None:
        """A worker whose lease ran out may still save, as long as nobody has taken over."""
        async with opened() as store:
            work = await claimed(store)
            await store.receive([event("other", "c2")])
            await claim(store, at=NOW + LEASE, limit=0)
            await saved(store, work, held(), handled=handled(work))
            assert await store.find("c1") == held()

    async def test_renewed(self) -> None:
        """A renewed lease is respected for the longer time, and it is the same lease."""
        async with opened() as store:
            work = await claimed(store)
            lease = await store.renew(work.lease, NOW + MINUTE)
            assert (lease.epoch, lease.until) == (work.lease.epoch, NOW + MINUTE)
            assert await claim(store, at=NOW + MINUTE - SECOND) == []
            assert ids(await claim(store, at=NOW + MINUTE)) == ["c1"]

    async def test_given_back(self) -> None:
        """A lease that is given back is over: no renewal that comes late can take the conversation again."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, handled=handled(work), release=True)
            with pytest.raises(LeaseLost):
                await store.renew(work.lease, NOW + MINUTE)
            with pytest.raises(LeaseLost):
                await saved(store, work)

    async def test_given_back_with_events(self) -> None:
        """Events that came meanwhile make it due at once."""
        async with opened() as store:
            work = await claimed(store)
            await store.receive([event("late")])
            await saved(store, work, handled=handled(work), release=True)
            assert await store.next_due(NOW) == NOW
            (again,) = await claim(store)
            assert handled(again) == ["late"]


class TestNextDue:
    """When it is worth claiming again."""

    async def test_now(self) -> None:
        """An event is due now; so is a time that has passed."""
        async with opened() as store:
            await store.receive([event("e1", after=MINUTE)])
            assert await store.next_due(NOW) == NOW
            (work,) = await claim(store)
            await saved(store, work, Conversation("c1", watch_at=NOW), handled=["e1"], release=True)
            assert await store.next_due(NOW + SECOND) == NOW + SECOND

    async def test_earliest(self) -> None:
        """Of several times the earliest."""
        async with opened() as store:
            await _rest(store, "c1", 2 * MINUTE)
            await _rest(store, "c2", MINUTE)
            await _rest(store, "c3", None)
            assert await store.next_due(NOW) == NOW + MINUTE

    @pytest.mark.parametrize(
        ("look_at", "pending", "due"),
        [
            (None, False, None),  # nothing is left to do
            (None, True, LEASE),  # the events wait for the lease
            (SECOND, False, LEASE),  # its time comes while somebody works on it
            (2 * LEASE, False, 2 * LEASE),  # its time comes later
            (2 * LEASE, True, LEASE),  # but the events come first
        ],
    )
    async def test_leased(self, look_at: timedelta | None, pending: bool, due: timedelta | None) -> None:
        """What is leased counts from the end of the lease."""
        async with opened() as store:
            work = await claimed(store)
            at = None if look_at is None else NOW + look_at
            await saved(store, work, Conversation("c1", watch_at=at), handled=handled(work))
            if pending:
                await store.receive([event("e2")])
            assert await store.next_due(NOW) == (None if due is None else NOW + due)
            if due is not None:
                assert ids(await claim(store, at=NOW + due)) == ["c1"]

    async def test_first_effect(self) -> None:
        """The first message makes it due, if that is sooner than its state; one behind it does not."""
        async with opened() as store:
            work = await claimed(store)
            sends = (unsent("s1", due=NOW + 10 * SECOND), unsent("s2", due=NOW + SECOND))
            state = replace(held(), unsent=sends)
            await saved(store, work, state, handled=handled(work), add=[say("s1"), say("s2")], release=True)
            assert await store.next_due(NOW) == NOW + 10 * SECOND

    async def test_app_events_are_not_claimed(self) -> None:
        """An event of no conversation makes no claim due."""
        async with opened() as store:
            await store.receive([event("a1", None)])
            assert await store.next_due(NOW) is None


class TestDamage:
    """What another version, or a bad disk, left behind stops nobody."""

    async def test_state(self) -> None:
        """A state that can't be read is salvaged, which is told, and the others are claimed with it."""
        signals: list[Signal] = []
        async with opened(observe=signals.append) as store:
            await _rest(store, "c1", MINUTE)
            await rows(store, "UPDATE conversations SET state = '{'")
            await store.receive([event("e1", "c1"), event("e2", "c2")])
            works = await claim(store)
            assert ids(works) == ["c1", "c2"]
            assert works[0].state.watch_at is not None
        assert signals == [Signal("state_salvaged", Level.ERROR, "c1", {"unreadable": ["everything"]})]

    async def test_effect(self) -> None:
        """An effect that can't be read is finished, and says why; that is told."""
        signals: list[Signal] = []
        async with opened(observe=signals.append) as store:
            work = await claimed(store)
            await saved(store, work, add=[say("s1"), say("s2")], release=True)
            await rows(store, "UPDATE outbox SET kind = 'wave' WHERE effect_id = 's1'")
            (again,) = await claim(store)
            assert [effect.effect_id for effect in again.unsent] == ["s2"]
            ((outcome,),) = await rows(store, "SELECT outcome FROM outbox WHERE status = 'finished'")
            assert outcome == "unreadable: no effect of the kind 'wave' is known"
        ((told),) = signals
        assert (told.event, told.conversation_id, told.fields["effect_id"]) == ("effect_unreadable", "c1", "s1")
