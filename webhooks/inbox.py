"""The edge's storage interface, and group commit: waiting deliveries share one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

GROUP_LIMIT = 512  # events per commit
WAITING_LIMIT = 20_000  # events
WAITING_BYTES = 64 * 1024 * 1024
MAX_CONSECUTIVE_FAILURES = 2

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A received event, not yet parsed.

    Attributes:
        id: the platform's event id, the same on every retry; a content hash if missing.
        conversation_id: None if the event belongs to no single conversation.
        type: as posted.
        body: the complete event object as posted, as JSON.
        received_at: the time of arrival, by our clock.
        said_id: the same for every event about one message or tap; unique per conversation.
    """

    id: str
    conversation_id: str | None
    type: str
    body: bytes
    received_at: datetime
    said_id: str | None = None


class NotStored(Exception):
    """The events were not stored. The platform must deliver them again."""


class Inbox(Protocol):
    """Durable storage for events. Adding a known id is no error."""

    async def add(self, events: Sequence[NewEvent]) -> None:
        """Store all events or none; return once they are durable. Raises `NotStored`."""


class GroupCommit:
    """An inbox with group commit: deliveries that arrive during a commit share the next one.

    There is no timer: a lone delivery is committed at once. A delivery is never split, so
    one with more than `limit` events forms its own group.

    When a group fails, each delivery is retried once on its own, so that a bad one fails
    alone. A delivery must be answered within 20 s, so there is no retry after an error in
    `unavailable`, and the retries stop after two consecutive failures.

    Args:
        store: stores all events or none. Must accept known ids, and duplicates in a call.
        limit: maximum number of events per commit.
        waiting_limit: maximum number of waiting events. Beyond it, `add` fails at once and
            the platform delivers again later.
        waiting_bytes: maximum total size of the waiting bodies.
        on_stored: called with the stored events after each commit, to wake workers.
        unavailable: exceptions of `store` after which a retry is pointless. Their messages
            are logged.
    """

    def __init__(
        self,
        store: Callable[[Sequence[NewEvent]], Awaitable[object]],
        *,
        limit: int = GROUP_LIMIT,
        waiting_limit: int = WAITING_LIMIT,
        waiting_bytes: int = WAITING_BYTES,
        on_stored: Callable[[Sequence[NewEvent]], None] | None = None,
        unavailable: tuple[type[Exception], ...] = (OSError,),
    ) -> None:
        self._store = store
        self._limit = limit
        self._waiting_limit = waiting_limit
        self._bytes_limit = waiting_bytes
        self._on_stored = on_stored
        self._unavailable: tuple[type[Exception], ...] = (NotStored, *unavailable)
        self._queue: deque[_Delivery] = deque()
        self._waiting = 0
        self._bytes = 0
        self._flusher: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def waiting(self) -> int:
        """The number of events waiting for a commit, without those being committed."""
        return self._waiting

    @property
    def is_crowded(self) -> bool:
        """Whether a waiting limit is more than half used: a sign to shed load."""
        return self._waiting > self._waiting_limit / 2 or self._bytes > self._bytes_limit / 2

    async def add(self, events: Sequence[NewEvent]) -> None:
        """Store all events or none. Cancelling the call does not prevent the write.

        Raises:
            NotStored: the store failed (its error is the cause), too many events are
                waiting, or `stop` was called.
        """
        if not events:
            return
        if self._stopped:
            raise NotStored("the inbox is closed")
        size = sum(len(event.body) for event in events)
        if self._queue and self._waiting + len(events) > self._waiting_limit:
            raise NotStored(f"{self._waiting} events are already waiting to be stored")
        if self._queue and self._bytes + size > self._bytes_limit:
            raise NotStored(f"{self._bytes} bytes are already waiting to be stored")
        delivery = _Delivery(tuple(events), size, asyncio.get_running_loop().create_future())
        self._queue.append(delivery)
        self._waiting += len(events)
        self._bytes += size
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush(), name="group commit")
        error = await delivery.outcome
        if error is not None:
            # The message of any other error may quote an event.
            message = str(error) if isinstance(error, self._unavailable) else ""
            raise NotStored(f"the store failed: {message or type(error).__name__}") from error

    async def stop(self) -> None:
        """Accept no more events, and wait for pending commits."""
        self._stopped = True
        if self._flusher is not None:
            await asyncio.wait([self._flusher])

    async def _flush(self) -> None:
        group: list[_Delivery] = []
        try:
            while self._queue:
                group = self._next_group()
                await self._commit(group)
        except asyncio.CancelledError as error:
            # The loop is closing, or the store cancelled itself: leave no caller waiting forever.
            _settle([*group, *self._queue], error)
            self._queue.clear()
            self._waiting = self._bytes = 0
            raise
        finally:
            self._flusher = None

    def _next_group(self) -> list[_Delivery]:
        group = [self._queue.popleft()]
        size = len(group[0].events)
        while self._queue and size + len(self._queue[0].events) <= self._limit:
            group.append(self._queue.popleft())
            size += len(group[-1].events)
        self._waiting -= size
        self._bytes -= sum(delivery.size for delivery in group)
        return group

    async def _commit(self, group: Sequence[_Delivery]) -> None:
        error = await self._attempt(group)
        if error is None:
            return
        if len(group) == 1 or isinstance(error, self._unavailable):
            _settle(group, error)
            return
        # Retry each delivery alone, so that a bad one does not fail the others.
        failures = 0
        for place, delivery in enumerate(group):
            error = await self._attempt([delivery])
            failures = 0 if error is None else failures + 1
            if isinstance(error, self._unavailable) or failures == MAX_CONSECUTIVE_FAILURES:
                _settle(group[place:], error)
                return
            _settle([delivery], error)

    async def _attempt(self, group: Sequence[_Delivery]) -> Exception | None:
        events = [event for delivery in group for event in delivery.events]
        try:
            await self._store(events)
        except Exception as error:  # noqa: BLE001 - every error goes to the waiting callers
            return error
        _settle(group, None)
        if self._on_stored is not None:
            try:
                self._on_stored(events)
            except Exception:
                _logger.exception("workers_not_woken")
        return None


@dataclass(frozen=True, slots=True)
class _Delivery:
    """The events of one `add` call. `outcome` is set to None or to the error."""

    events: tuple[NewEvent, ...]
    size: int
    outcome: asyncio.Future[BaseException | None]


def _settle(deliveries: Sequence[_Delivery], error: BaseException | None) -> None:
    for delivery in deliveries:
        if not delivery.outcome.done():
            delivery.outcome.set_result(error)
