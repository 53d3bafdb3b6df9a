"""The edge's storage interface, and group commit: waiting deliveries share one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from webhooks.batches import Batches
from webhooks.reporting import Report, ignore, type_and_place

GROUP_LIMIT = 512  # events per commit
WAITING_LIMIT = 20_000  # events
WAITING_BYTES = 64 * 1024 * 1024
MAX_CONSECUTIVE_FAILURES = 2


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


class NotStoredError(Exception):
    """The events were not stored. The platform must deliver them again."""


class Inbox(Protocol):
    """Durable storage for events. Adding a known id is no error."""

    async def add(self, events: Sequence[NewEvent]) -> None:
        """Store all events or none; return once they are durable. Raises `NotStoredError`."""


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
        report: called when `on_stored` raises.
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
        report: Report = ignore,
    ) -> None:
        self._store = store
        self._waiting_limit = waiting_limit
        self._bytes_limit = waiting_bytes
        self._on_stored = on_stored
        self._unavailable: tuple[type[Exception], ...] = (NotStoredError, *unavailable)
        self._batches: Batches[Sequence[NewEvent], None] = Batches(
            self._commit,
            is_of_one=lambda error: isinstance(error, Exception) and not isinstance(error, self._unavailable),
            failures=MAX_CONSECUTIVE_FAILURES,
            drops_cancelled=False,
            size=len,
            most=limit,
            on_left=self._left,
        )
        self._report = report
        self._waiting = 0
        self._bytes = 0
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
            NotStoredError: the store failed (its error is the cause), too many events are
                waiting, or `stop` was called.
        """
        if not events:
            return
        if self._stopped:
            raise NotStoredError("the inbox is closed")
        size = _bytes(events)
        if self._batches.is_anyone_waiting and self._waiting + len(events) > self._waiting_limit:
            raise NotStoredError(f"{self._waiting} events are already waiting to be stored")
        if self._batches.is_anyone_waiting and self._bytes + size > self._bytes_limit:
            raise NotStoredError(f"{self._bytes} bytes are already waiting to be stored")
        self._waiting += len(events)
        self._bytes += size
        error = await self._batches.put(events)
        if error is not None:
            # The message of any other error may quote an event.
            message = str(error) if isinstance(error, self._unavailable) else ""
            raise NotStoredError(f"the store failed: {message or type(error).__name__}") from error

    async def stop(self) -> None:
        """Accept no more events, and wait for pending commits."""
        self._stopped = True
        await self._batches.stop()

    def _left(self, deliveries: Sequence[Sequence[NewEvent]]) -> None:
        self._waiting -= sum(map(len, deliveries))
        self._bytes -= sum(map(_bytes, deliveries))

    async def _commit(self, deliveries: Sequence[Sequence[NewEvent]]) -> Sequence[None]:
        events = [event for delivery in deliveries for event in delivery]
        await self._store(events)
        if self._on_stored is not None:
            try:
                self._on_stored(events)
            except Exception as error:  # noqa: BLE001 - the events are stored; workers also poll
                self._report("workers_not_woken", "error", type_and_place(error))
        return [None] * len(deliveries)


def _bytes(events: Sequence[NewEvent]) -> int:
    return sum(len(event.body) for event in events)
