"""Events of people, and not of conversations: nobody who was removed is overlooked."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from bot.clock import SystemClock
from bot.engine.app_events import spread_app_events
from bot.engine.context import Context
from bot.signals import silent
from bot.store import Change, LeaseLost, SqliteStore, StoreError
from webhooks.inbox import NewEvent

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _removal() -> NewEvent:
    body = json.dumps({"id": "r1", "type": "user:remove", "payload": {"user": {"id": "u9"}}}).encode()
    return NewEvent("r1", None, "user:remove", body, NOW)


def _context(store: SqliteStore) -> Context:
    nothing = cast("Any", None)
    return Context(store, nothing, nothing, nothing, SystemClock(), "w", silent)


class _Busy(SqliteStore):
    """A store in which a session sees the person just between the two things that a removal asks of it."""

    asked = 0

    async def remember_removal(self, user_id: str, now: datetime) -> None:
        await self._meanwhile()
        await super().remember_removal(user_id, now)

    async def conversations_of(self, user_id: str) -> list[str]:
        await self._meanwhile()
        return await super().conversations_of(user_id)

    async def _meanwhile(self) -> None:
        self.asked += 1
        if self.asked == 2:
            (work,) = await self.claim(owner="w", now=NOW, lease=timedelta(seconds=30), limit=9)
            with suppress(LeaseLost):
                await self.save(work.lease, Change(work.state, handled=["e1"], users={"u9"}), NOW)


class _Refusing(SqliteStore):
    """A store that can't take what a removal asks of it."""

    async def remember_removal(self, user_id: str, now: datetime) -> None:
        raise StoreError("refused by the database")


async def test_one_that_the_database_refuses() -> None:
    """It is set aside: raised, it would keep the worker from every conversation, again and again."""
    store = _Refusing(":memory:", inline=True)
    await store.start()
    await store.receive([_removal()])
    assert await spread_app_events(_context(store)) == (set(), True)
    assert await spread_app_events(_context(store)) == (set(), False)
    assert [event.id for event in await store.set_aside_events()] == ["r1"]
    await store.stop()


async def test_seen_while_the_removal_is_told() -> None:
    """What is saved of a person at that moment goes too."""
    store = _Busy(":memory:", inline=True)
    await store.start()
    await store.receive([NewEvent("e1", "c1", "conversation:message", b"{}", NOW), _removal()])
    context = _context(store)
    told, _ = await spread_app_events(context)
    assert store.asked == 2
    assert told == {"c1"} or await store.conversations_of("u9") == []
    await store.stop()


async def test_a_removal_waits_behind_nothing() -> None:
    """It is taken up first, and its conversations are claimed first, however many other events came before it."""
    store = SqliteStore(":memory:", inline=True)
    await store.start()
    await store.receive([NewEvent("e1", "c1", "conversation:message", b"{}", NOW)])
    (work,) = await store.claim(owner="w", now=NOW, lease=timedelta(seconds=30), limit=9)
    await store.save(work.lease, Change(work.state, handled=["e1"], users={"u9"}, release=True), NOW)
    junk = [NewEvent(f"j{n}", None, "unknown", b'{"id": "j"}', NOW) for n in range(1000)]
    others = [NewEvent(f"o{n}", f"o{n}", "conversation:message", b"{}", NOW) for n in range(1000)]
    await store.receive([*junk, *others, _removal()])
    assert await spread_app_events(_context(store)) == ({"c1"}, True)
    (work,) = await store.claim(owner="w", now=NOW + timedelta(hours=1), lease=timedelta(seconds=30), limit=1)
    assert [event.id for event in work.events] == ["r1:c1"]
    await store.stop()
