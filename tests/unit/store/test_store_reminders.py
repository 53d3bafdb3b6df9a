"""Flows that are to begin later are part of a conversation: due in time, kept over restarts, gone with an erasure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from store_samples import DUTY, NOW, SECOND, AnyStore, claim, claimed, everything, handled, opened, saved

from bot.control.state import Action, Conversation, Holder, Opening, OpeningKind, Reminder, Start, Who

DAY = timedelta(days=1)
ABOUT = {"user": {"id": "u1", "name": "Ada"}}
REMINDER = Reminder("cart", NOW + DAY, {"items": ["a\0b", 2.5, None], "half": "\ud83d"}, ABOUT)
KEPT = replace(REMINDER, data={"items": ["a\0b", 2.5, None], "half": "?"})
FREE = Conversation("c1", Holder(Who.NOBODY, since=NOW, certain=True), reminders=(REMINDER,))


@pytest.fixture
async def store(engine: str) -> AsyncIterator[AnyStore]:
    """An empty database."""
    async with opened() as store:
        yield store


async def put(store: AnyStore, state: Conversation) -> None:
    """Store a conversation that nobody works on."""
    work = await claimed(store)
    await saved(store, work, state, handled=handled(work), release=True)


async def test_it_is_due_in_time(store: AnyStore) -> None:
    """Not before; and it comes back as it was, but for what is not Unicode."""
    await put(store, FREE)
    assert await store.next_due(NOW) == NOW + DAY
    assert await claim(store, at=NOW + DAY - SECOND) == []
    (work,) = await claim(store, at=NOW + DAY)
    assert work.state.reminders == (KEPT,)


async def test_nothing_is_owed_while_control_is_taken(store: AnyStore) -> None:
    """It is a wish, and never overdue; but it is on record."""
    duty = replace(DUTY, action=Action.TAKE, target="bot", next_attempt=NOW + SECOND)
    opening = Opening(OpeningKind.OUTSIDE, flow="cart", data=7)
    start = Start(opening, NOW + 10 * SECOND, FREE.holder, asked=True)
    await put(store, replace(FREE, duty=duty, start=start))
    counts = await store.counts(NOW + DAY)
    assert (counts.owed, counts.overdue) == (0, 0)
    assert await store.next_due(NOW) == NOW + SECOND
    timeline = await store.timeline("c1")
    assert timeline
    assert [past.duty.action for past in timeline.duties] == [Action.TAKE]
    (work,) = await claim(store, at=NOW + DAY)
    assert (work.state.start, work.state.duty) == (start, duty)


async def test_it_goes_with_the_user(store: AnyStore) -> None:
    """Nothing of what the flow knew of them stays, and nothing reminds of it."""
    await put(store, FREE)
    work = await claimed(store, at=NOW + SECOND)
    await saved(store, work, users={"u1"}, handled=handled(work), release=True)
    assert "Ada" in await everything(store)
    work = await claimed(store, at=NOW + 2 * SECOND)
    await saved(store, work, Conversation("c1", read_at=NOW + DAY), handled=handled(work), forget=True)
    assert "Ada" not in await everything(store)
    known = await store.find("c1")
    assert known
    assert known.reminders == ()
