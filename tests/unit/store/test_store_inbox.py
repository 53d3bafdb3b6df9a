"""Events come in once, in order, and go to the conversations that they concern."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from store_samples import (
    DUTY,
    MINUTE,
    NOW,
    PROOF,
    SECOND,
    claim,
    claimed,
    ended,
    event,
    everything,
    handled,
    held,
    ids,
    opened,
    rows,
    saved,
    say,
)

from bot.control.state import Conversation
from bot.store import Counts, Done, StoredEvent
from bot.store.rows import ERASED
from webhooks.inbox import NewEvent
from webhooks.wire import write_json

pytestmark = pytest.mark.usefixtures("engine")  # each test runs on SQLite and on PostgreSQL


class TestReceive:
    """What comes in is kept once."""

    async def test_nothing(self) -> None:
        """No events, nothing new."""
        async with opened() as store:
            assert await store.receive([]) == 0

    async def test_dedupe(self) -> None:
        """A known id is not stored again: not later, and not within one call."""
        async with opened() as store:
            assert await store.receive([event("e1"), event("e2"), event("e1")]) == 2
            assert await store.receive([event("e2"), event("e3")]) == 1
            assert [row[0] for row in await rows(store, "SELECT id FROM inbox ORDER BY seq")] == ["e1", "e2", "e3"]

    async def test_one_message_under_two_event_ids(self) -> None:
        """It is stored once: within a call, in a later one, and not again once it has been handled."""
        async with opened() as store:
            first, twin, third = (replace(event(f"e{n}"), said_id="m1") for n in range(3))
            assert await store.receive([first, twin]) == 1
            work = await claimed(store)
            await saved(store, work, handled=handled(work), release=True)
            assert await store.receive([third, replace(event("e3"), said_id="m2")]) == 1
            assert [row[0] for row in await rows(store, "SELECT id FROM inbox ORDER BY seq")] == ["e0", "e3"]

    async def test_the_same_id_in_two_conversations(self) -> None:
        """Ids of messages are compared within a conversation."""
        async with opened() as store:
            await store.receive([replace(event("e1", "c1"), said_id="m"), replace(event("e2", "c2"), said_id="m")])
            assert await rows(store, "SELECT count(*) FROM inbox") == [(2,)]

    async def test_deliveries_of_the_same_messages_do_not_lock_each_other_out(self) -> None:
        """Whatever order their event ids give them."""
        async with opened() as store:
            one = [replace(event(f"a{n}"), said_id=f"m{n}") for n in range(200)]
            other = [replace(event(f"b{200 - n}"), said_id=f"m{n}") for n in range(200)]
            stored = await asyncio.gather(*(store.receive(events) for events in (one, other) * 5))
            assert sum(stored) == 200

    async def test_as_posted(self) -> None:
        """An event comes back byte by byte, with its time to the microsecond."""
        async with opened() as store:
            posted = NewEvent("e1", "c1", "conversation:message", b'{"odd": "\\ud83d \xc3\xbc"}', NOW)
            await store.receive([posted])
            (work,) = await claim(store)
            assert work.events == (StoredEvent("e1", "c1", posted.type, posted.body, NOW),)

    @pytest.mark.parametrize("count", [1, 127, 128, 129, 1000])
    async def test_many(self, count: int) -> None:
        """A call may hold any number of events; they keep their order."""
        async with opened() as store:
            assert await store.receive([event(f"e{n}") for n in range(count)]) == count
            assert [row[0] for row in await rows(store, "SELECT id FROM inbox ORDER BY seq")] == [
                f"e{n}" for n in range(count)
            ]

    async def test_odd_text(self) -> None:
        """An id that is not Unicode does not keep the others out."""
        async with opened() as store:
            assert await store.receive([event("e1"), event("half \ud83d", "c\0")]) == 2
            assert sorted(ids(await claim(store))) == ["c1", "c?"]


class TestAppEvents:
    """Events of no single conversation are spread to those that they concern."""

    async def test_oldest_first(self) -> None:
        """They come in their order, as many as wanted, and no claim takes them."""
        async with opened() as store:
            await store.receive([event("a1", None), event("e1", "c1"), event("a2", None), event("a3", None)])
            assert [each.id for each in await store.app_events(2)] == ["a1", "a2"]
            assert ids(await claim(store)) == ["c1"]

    async def test_spread(self) -> None:
        """Each conversation gets an event of its own, once, and the event is over."""
        async with opened() as store:
            await store.receive([event("a1", None, body=b'{"user": 1}')])
            (app_event,) = await store.app_events(10)
            for _ in range(2):
                await store.spread(app_event, ["c1", "c2"], NOW)
            assert await store.app_events(10) == []
            works = await claim(store)
            copies = [[(each.id, each.body) for each in work.events] for work in works]
            assert copies == [[("a1:c1", b'{"user": 1}')], [("a1:c2", b'{"user": 1}')]]

    async def test_spread_to_nobody(self) -> None:
        """An event that concerns nobody is over as well, and its body is not kept."""
        async with opened() as store:
            await store.receive([event("a1", None, body=b"personal")])
            await store.spread((await store.app_events(1))[0], [], NOW)
            assert await rows(store, "SELECT status, body FROM inbox") == [("handled", b"")]

    async def test_known_afterwards(self) -> None:
        """A retry of a spread event is known."""
        async with opened() as store:
            await store.receive([event("a1", None)])
            await store.spread((await store.app_events(1))[0], ["c1"], NOW)
            assert await store.receive([event("a1", None)]) == 0


class TestSetAside:
    """What can't be understood is kept for people, and blocks nothing."""

    async def test_never_again(self) -> None:
        """It is not claimed, not listed, and counted."""
        async with opened() as store:
            await store.receive([event("e1"), event("a1", None)])
            for id_ in ("e1", "a1", "unknown"):
                await store.set_aside(id_, "what is this?")
            assert await claim(store) == []
            assert await store.app_events(10) == []
            assert await store.next_due(NOW) is None
            assert (await store.counts(NOW)).set_aside == 2
            assert await rows(store, "SELECT DISTINCT reason FROM inbox") == [("what is this?",)]

    @pytest.mark.parametrize("user", ["6a1f0c", 'odd "one"\\', "ü ñ", "x" * 255])
    async def test_names_a_person_who_is_removed(self, user: str) -> None:
        """It is emptied, in a conversation or in none, whatever came first, wherever in it the person's id stands."""
        profile = write_json({"payload": {"odd": [{"users": [{"id": user, "name": "CANARY"}]}]}})
        other = write_json({"payload": {"user": {"id": f"{user}{user}", "name": "kept"}}})
        async with opened() as store:
            await store.receive([event("a1", None, body=profile), event("o1", None, body=other)])
            await store.receive([event("e1", body=profile), event("o2", body=other)])
            await store.set_aside("a1", "CANARY")
            await store.set_aside("o1", "odd")
            work = await claimed(store)
            await saved(store, work, set_aside=[("e1", "CANARY"), ("o2", "odd")])
            assert (await everything(store)).count("CANARY") == 4
            await store.remember_removal(user, NOW)
            assert "CANARY" not in await everything(store)
            await store.receive([event("a2", None, body=profile), event("e2", body=profile)])
            await store.set_aside("a2", "CANARY")
            renewed = replace(work, events=await store.fetch(work.lease))
            await saved(store, renewed, set_aside=[("e2", "CANARY")])
            assert "CANARY" not in await everything(store)
            emptied = await rows(store, "SELECT id, reason FROM inbox WHERE length(body) = 0 ORDER BY seq")
            assert emptied == [(id_, ERASED) for id_ in ("a1", "e1", "a2", "e2")]
            assert (await everything(store)).count("kept") == 2

    async def test_not_what_is_handled(self) -> None:
        """What has taken effect can't be set aside any more."""
        async with opened() as store:
            work = await claimed(store)
            await saved(store, work, handled=handled(work))
            await store.set_aside(work.events[0].id, "too late")
            assert (await store.counts(NOW)).set_aside == 0


class TestQuestions:
    """What operators and the rest of the bot ask."""

    async def test_find(self) -> None:
        """The state as saved; None for what is not known."""
        async with opened() as store:
            assert await store.find("c1") is None
            work = await claimed(store)
            assert await store.find("c1") == Conversation("c1")
            await saved(store, work, held())
            assert await store.find("c1") == held()

    async def test_conversations_of(self) -> None:
        """A user is found in every conversation in which they were seen."""
        async with opened() as store:
            for conversation_id in ("c1", "c2"):
                work = await claimed(store, conversation_id)
                for _ in range(2):
                    await saved(store, work, handled=handled(work), users={"u1", conversation_id})
            assert await store.conversations_of("u1") == ["c1", "c2"]
            assert await store.conversations_of("c2") == ["c2"]
            assert await store.conversations_of("nobody") == []

    async def test_no_counts(self) -> None:
        """An empty database counts nothing."""
        async with opened() as store:
            assert await store.counts(NOW) == Counts(0, 0, 0, 0.0, 0, 0, 0, 0)

    async def test_counts(self) -> None:
        """Everything is counted where it is at stake, and no longer."""
        owing = Conversation("c2", duty=DUTY)  # owed since NOW
        async with opened() as store:
            states = {
                "c1": held(),
                "c2": owing,
                "c3": ended("c3"),
                "c4": ended("c4", proof=PROOF),
                "c5": Conversation("c5"),
            }
            for conversation_id, state in states.items():
                work = await claimed(store, conversation_id)
                add = [say("s1"), say("s2")] if conversation_id == "c1" else []
                done = [Done("s2", "said")] if conversation_id == "c1" else []
                await saved(store, work, state, handled=handled(work), add=add, done=done)
            await store.receive([event("e1"), event("e2"), event("a1", None)])
            await store.set_aside("e2", "odd")
            expected = Counts(
                held=1, owed=1, overdue=0, oldest_owed_seconds=60.0, ended_open=1, set_aside=1, inbox=2, outbox=1
            )
            assert await store.counts(NOW + MINUTE) == expected
            late = await store.counts(NOW + MINUTE + SECOND)
            assert (late.overdue, late.oldest_owed_seconds) == (1, 61.0)

    async def test_clock_set_back(self) -> None:
        """A duty of the future is not of a negative age."""
        async with opened() as store:
            await saved(store, await claimed(store), Conversation("c1", duty=DUTY))
            assert (await store.counts(NOW - MINUTE)).oldest_owed_seconds == 0.0
