"""One process's view of the stage's database: with faults, closed to a dead process."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bot.control.state import Conversation
from bot.store.interface import Change, Counts, Lease, Store, StoredEvent, Work
from webhooks.inbox import NewEvent

if TYPE_CHECKING:
    from bot.replay.harness import Process


class GuardedStore:
    """Wraps a store; each operation first checks the process and runs the fault hooks."""

    def __init__(self, process: Process, store: Store) -> None:
        self._process = process
        self._store = store

    async def _guarded(self, operation: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        interference = self._process.stage.interference
        self._process.check_alive()
        if interference.store:
            await interference.store(self._process, operation)
            self._process.check_alive()
        result = await work()
        if interference.stored:
            await interference.stored(self._process, operation)
            self._process.check_alive()
        return result

    async def start(self) -> None:
        """Do nothing: the stage opens its database itself."""

    async def stop(self) -> None:
        """Do nothing: the database outlives the process."""

    async def join(self, until: datetime) -> int:
        """See `Store`."""
        cut: int = await self._guarded("join", lambda: self._store_call("join", until))
        return cut

    def listen(self, heard: Callable[[Iterable[str | None]], None]) -> None:
        """Do nothing: the stage wakes its processes itself."""

    async def receive(self, events: Sequence[NewEvent]) -> int:
        """See `Store`."""
        count: int = await self._guarded("receive", lambda: self._store_call("receive", events))
        return count

    async def claim(self, *, owner: str, now: datetime, lease: timedelta, limit: int) -> list[Work]:
        """See `Store`."""
        works: list[Work] = await self._guarded(
            "claim",
            lambda: self._store_call("claim", owner=owner, now=now, lease=lease, limit=limit),
        )
        return works

    async def fetch(self, lease: Lease) -> list[StoredEvent]:
        """See `Store`."""
        events: list[StoredEvent] = await self._guarded(
            "fetch",
            lambda: self._store_call("fetch", lease),
        )
        return events

    async def save(self, lease: Lease, change: Change, now: datetime) -> None:
        """See `Store`."""
        await self._guarded("save", lambda: self._store_call("save", lease, change, now))

    async def renew(self, lease: Lease, until: datetime) -> Lease:
        """See `Store`."""
        renewed: Lease = await self._guarded(
            "renew",
            lambda: self._store_call("renew", lease, until),
        )
        return renewed

    async def next_due(self, now: datetime) -> datetime | None:
        """See `Store`."""
        due: datetime | None = await self._guarded(
            "next_due",
            lambda: self._store_call("next_due", now),
        )
        return due

    async def app_events(self, limit: int) -> list[StoredEvent]:
        """See `Store`."""
        events: list[StoredEvent] = await self._guarded(
            "app_events",
            lambda: self._store_call("app_events", limit),
        )
        return events

    async def spread(
        self,
        event: StoredEvent,
        conversation_ids: Sequence[str],
        now: datetime,
    ) -> None:
        """See `Store`."""
        await self._guarded(
            "spread",
            lambda: self._store_call("spread", event, conversation_ids, now),
        )

    async def set_aside(self, event_id: str, reason: str) -> None:
        """See `Store`."""
        await self._guarded("set_aside", lambda: self._store_call("set_aside", event_id, reason))

    async def conversations_of(self, user_id: str) -> list[str]:
        """See `Store`."""
        ids: list[str] = await self._guarded(
            "conversations_of",
            lambda: self._store_call("conversations_of", user_id),
        )
        return ids

    async def longest_pause(self, now: datetime, lately: datetime) -> timedelta:
        """See `Store`."""
        pause: timedelta = await self._guarded(
            "longest_pause",
            lambda: self._store_call("longest_pause", now, lately),
        )
        return pause

    async def look_again(
        self,
        *,
        since: datetime,
        first: datetime,
        spacing: timedelta,
        limit: int,
    ) -> int:
        """See `Store`."""
        looks: int = await self._guarded(
            "look_again",
            lambda: self._store_call(
                "look_again",
                since=since,
                first=first,
                spacing=spacing,
                limit=limit,
            ),
        )
        return looks

    async def look_at_unheard(
        self,
        *,
        since: datetime,
        first: datetime,
        spacing: timedelta,
        limit: int,
    ) -> int:
        """See `Store`."""
        looks: int = await self._guarded(
            "look_at_unheard",
            lambda: self._store_call(
                "look_at_unheard",
                since=since,
                first=first,
                spacing=spacing,
                limit=limit,
            ),
        )
        return looks

    async def remember_removal(self, user_id: str, now: datetime) -> None:
        """See `Store`."""
        await self._guarded(
            "remember_removal",
            lambda: self._store_call("remember_removal", user_id, now),
        )

    async def purge(self, before: datetime, limit: int) -> int:
        """See `Store`."""
        seen: int = await self._guarded("purge", lambda: self._store_call("purge", before, limit))
        return seen

    async def scrub(self) -> None:
        """See `Store`."""
        await self._guarded("scrub", lambda: self._store_call("scrub"))

    async def find(self, conversation_id: str) -> Conversation | None:
        """See `Store`."""
        return await self._store.find(conversation_id)

    async def counts(self, now: datetime) -> Counts:
        """See `Store`."""
        return await self._store.counts(now)

    async def ping(self) -> None:
        """See `Store`."""
        await self._store.ping()

    def _store_call(self, operation: str, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        call: Coroutine[Any, Any, Any] = getattr(self._store, operation)(*args, **kwargs)
        return call
