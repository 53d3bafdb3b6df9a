"""What is read again after a pause: left to others, one after the other, and without losing what is due anyway."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from store_samples import MINUTE, NOW, SECOND, claim, claimed, event, handled, held, opened, rows, saved, unsent

from bot.control.state import Conversation, Holder, Kind, Who
from bot.store import Change
from bot.store.interface import CleanUp

LATER = NOW + MINUTE
WITH_OTHERS = Conversation("c1", holder=Holder(Who.OTHER), watch_at=NOW + timedelta(hours=6))

pytestmark = pytest.mark.usefixtures("engine")  # each test runs on SQLite and on PostgreSQL


async def test_one_after_the_other() -> None:
    """The newest first; not what the bot holds, nor what is at work."""
    async with opened() as store:
        await store.receive([event(f"e{n}", f"c{n}") for n in range(5)])
        for number, work in enumerate(await claim(store)):
            id_ = work.state.id
            state = held(id_) if id_ == "c3" else replace(WITH_OTHERS, id=id_)
            await store.save(
                work.lease, Change(state, handled=handled(work), release=id_ != "c4"), NOW + number * SECOND
            )
        assert await store.look_again(since=NOW, first=LATER, spacing=SECOND, limit=10) == 3
        due = dict(await rows(store, "SELECT id, due_at FROM conversations WHERE id IN ('c0', 'c1', 'c2')"))
        assert sorted(due, key=lambda id_: due[id_]) == ["c2", "c1", "c0"]
        assert await claim(store, at=LATER - SECOND) == []
        works = await claim(store, at=LATER + 2 * SECOND)
        assert {work.state.id for work in works} >= {"c0", "c1", "c2"}
        assert all(work.state.watch_at and work.state.watch_at >= LATER for work in works if work.state.id < "c3")


async def test_what_is_due_before() -> None:
    """A clean-up of a flow has its own time, and is not put off with the read."""
    async with opened() as store:
        work = await claimed(store)
        state = replace(WITH_OTHERS, unsent=(unsent("c1.1", due=NOW + SECOND, kind=Kind.CLEAN_UP),))
        await saved(store, work, state, handled=handled(work), add=[CleanUp("c1.1", 1, "module:name")], release=True)
        assert await store.look_again(since=NOW, first=LATER, spacing=SECOND, limit=10) == 1
        (again,) = await claim(store, at=NOW + SECOND)
        assert [effect.effect_id for effect in again.unsent] == ["c1.1"]
