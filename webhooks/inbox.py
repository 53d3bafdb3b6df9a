"""What "stored" means to the edge, and the group commit: all deliveries that wait share one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from webhooks.batches import Batches
from webhooks.reporting import Report, ignore, type_and_place

GROUP_LIMIT = 512
WAITING_LIMIT = 20_000
WAITING_BYTES = 64 * 1024 * 1024
FAILURES_IN_A_ROW = 2


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event as it came in.

    Attributes:
        id: the platform's event id, the same on every retry; made from the content where it is missing.
        conversation_id: None for events that belong to no single conversation.
        type: as posted.
        body: the event object as JSON, complete, as posted.
        received_at: when it came, by our clock.
        said_id: of what was said, the same under whichever event id it comes; stored once in a conversation.
    """

    id: str
    conversation_id: str | None
    type: str
    body: bytes
    received_at: datetime
    said_id: str | None = None


class NotStored(Exception):
    """The events are not safe; the platform must send them again."""


class Inbox(Protocol):
    """Where events are kept. `add` returns only when they are durable; a known id is no error."""

    async def add(self, events: Sequence[NewEvent]) -> None:
        """Store the events, all or none. Raises `NotStored`."""


class GroupCommit:
    """An inbox that stores in groups: all deliveries that wait while a commit is in flight share the next one.

    There is no timer: a lone delivery is committed at once. A delivery is stored whole or not at all, so one with more
    than `limit` events makes a group of its own.

    When a group fails, each of its deliveries is tried once more, alone, so that one that the database can't take
    fails by itself. Where the store is out of reach that would only be slow (a delivery must be answered within 20 s),
    so nobody is tried again after an error of `unavailable`, and the rest is not after two failures in a row.

    Args:
        store: makes events durable, all or none; may be given ids that it knows, and the same id twice.
        limit: events in a commit.
        waiting_limit: events that may wait; with more, `add` fails at once and the platform delivers again later.
        waiting_bytes: the same for the size of their bodies.
        on_stored: called with what was stored after each commit, to wake whoever works on it.
        unavailable: errors of `store` which mean that another try now would fail too. Their text goes into the log.
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
        self._unavailable: tuple[type[Exception], ...] = (NotStored, *unavailable)
        self._batches: Batches[Sequence[NewEvent], None] = Batches(
            self._commit,
            is_of_one=lambda error: isinstance(error, Exception) and not isinstance(error, self._unavailable),
            failures=FAILURES_IN_A_ROW,
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
        """Events that wait for a commit; those of the commit in flight don't count."""
        return self._waiting

    @property
    def is_crowded(self) -> bool:
        """Is more than half of a waiting limit taken? More deliveries had better go elsewhere, or come later."""
        return self._waiting > self._waiting_limit / 2 or self._bytes > self._bytes_limit / 2

    async def add(self, events: Sequence[NewEvent]) -> None:
        """Store the events, all or none. Cancelling it does not keep them from being stored.

        Raises:
            NotStored: with the store's error as its cause; or too much waits already, or `stop` was called.
        """
        if not events:
            return
        if self._stopped:
            raise NotStored("the inbox is closed")
        size = _bytes(events)
        if self._batches.is_anyone_waiting and self._waiting + len(events) > self._waiting_limit:
            raise NotStored(f"{self._waiting} events wait to be stored already")
        if self._batches.is_anyone_waiting and self._bytes + size > self._bytes_limit:
            raise NotStored(f"{self._bytes} bytes wait to be stored already")
        self._waiting += len(events)
        self._bytes += size
        error = await self._batches.put(events)
        if error is not None:
            told = str(error) if isinstance(error, self._unavailable) else ""  # others may quote an event
            raise NotStored(f"the store failed: {told or type(error).__name__}") from error

    async def stop(self) -> None:
        """Take no more, and finish what waits."""
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
            except Exception as error:  # noqa: BLE001 - the events are stored, and workers look for themselves too
                self._report("workers_not_woken", "error", type_and_place(error))
        return [None] * len(deliveries)


def _bytes(events: Sequence[NewEvent]) -> int:
    return sum(len(event.body) for event in events)
