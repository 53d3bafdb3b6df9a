"""What is the same for both engines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from bot.control.state import Conversation
from bot.signals import Observe
from bot.store import app_events, operator_asking, watch
from bot.store.asking import Ask, Asking, one
from bot.store.codec import StateRow, load_conversation, unicode
from bot.store.interface import Counts, StoredEvent
from bot.store.operators import NEWEST, PAGE, TIMELINE, Access, Before, Listing, Page, RunAtWork, SetAside, Timeline
from bot.store.questions import CONVERSATIONS_OF, COUNTS, FLOWS, STATE, counts_of, overdue_before
from webhooks.inbox import NewEvent

T = TypeVar("T")


class SharedStore(ABC):
    """The methods of `Database` that are the same for both engines. See there."""

    _observe: Observe

    @abstractmethod
    async def _read(self, ask: Ask[T]) -> T:
        """Run reads, concurrently with writes."""

    @abstractmethod
    async def _write(self, ask: Ask[T]) -> T:
        """Run writes that need no common transaction. Durable on return."""

    @abstractmethod
    async def _transact(self, ask: Ask[T]) -> T:
        """Run several statements, all or none. Durable on return."""

    @abstractmethod
    def _tell(self, conversation_ids: Iterable[str | None]) -> None:
        """Notify other processes of new events. Where that is impossible, they poll."""

    async def app_events(self, limit: int) -> list[StoredEvent]:
        """Return unhandled app-level events, oldest first. While people's removals wait, return only these."""
        return await self._read(partial(app_events.waiting, limit))

    async def spread(self, event: StoredEvent, conversation_ids: Sequence[str], now: datetime) -> None:
        """Copy an app-level event to each of the conversations, mark it handled, and empty its body."""
        await self._transact(partial(app_events.spread, event, conversation_ids, now))

    async def conversations_of(self, user_id: str) -> list[str]:
        """Return the ids of the conversations in which a user was seen."""
        return [row[0] for row in await self._read(partial(one, CONVERSATIONS_OF, (unicode(user_id),)))]

    async def longest_pause(self, now: datetime, lately: datetime) -> timedelta:
        """Return the longest pause between events, of those that ended after `lately` or still last."""
        return await self._read(partial(watch.longest_pause, now, lately))

    async def look_again(self, *, since: datetime, first: datetime, spacing: timedelta, limit: int) -> int:
        """Schedule reads of the open conversations that the bot does not hold, one after the other."""
        return await self._look_at(watch.LEFT_TO_OTHERS, since, first, spacing, limit)

    async def look_at_unheard(self, *, since: datetime, first: datetime, spacing: timedelta, limit: int) -> int:
        """Schedule reads of the conversations that the bot holds and has not heard of, one after the other."""
        return await self._look_at(watch.UNHEARD, since, first, spacing, limit)

    async def _look_at(self, query: str, since: datetime, first: datetime, spacing: timedelta, limit: int) -> int:
        ids, done = await self._read(partial(watch.found, query, since, limit)), 0
        for start in range(0, len(ids), watch.AT_ONCE):
            some = ids[start : start + watch.AT_ONCE]
            done += await self._write(partial(watch.look_again, some, first + done * spacing, spacing, self._observe))
        return done

    async def find(self, conversation_id: str) -> Conversation | None:
        """Return the state of one conversation."""
        rows = await self._read(partial(one, STATE, (unicode(conversation_id),)))
        return load_conversation(StateRow(*rows[0])) if rows else None

    async def counts(self, now: datetime) -> Counts:
        """Return the numbers for metrics and the console."""
        return await self._read(partial(_counts, now))

    async def conversations(self, listing: Listing) -> Page:
        """Return a page of conversations."""
        return await self._read(partial(operator_asking.conversations, listing))

    async def timeline(self, conversation_id: str, limit: int = TIMELINE, before: Before = NEWEST) -> Timeline | None:
        """Return part of a conversation's timeline."""
        return await self._read(partial(operator_asking.timeline, conversation_id, limit, before))

    async def runs_at_work(self, limit: int = PAGE, after: RunAtWork | None = None) -> list[RunAtWork]:
        """Return conversations with a running flow, by flow, version and id."""
        return await self._read(partial(operator_asking.runs_at_work, limit, after))

    async def set_aside_events(self, limit: int = PAGE, before: int | None = None) -> list[SetAside]:
        """Return events that were set aside, newest first."""
        return await self._read(partial(operator_asking.set_aside_events, limit, before))

    async def retry(self, event_id: str) -> NewEvent | None:
        """Retry an event that was set aside."""
        event = await self._write(partial(operator_asking.retry, event_id))
        if event:
            self._tell([event.conversation_id])
        return event

    async def order(self, order: NewEvent) -> bool:
        """Store an operator's order for a conversation."""
        stored = await self._write(partial(operator_asking.order, order))
        if stored:
            self._tell([order.conversation_id])
        return stored

    async def is_ordered(self, order_id: str) -> bool:
        """Return whether an order is known."""
        return await self._read(partial(operator_asking.is_ordered, order_id))

    async def end_session(self, session_id: str, until: datetime, now: datetime) -> None:
        """Remember until then that a console session was signed out. Durable on return."""
        await self._write(partial(operator_asking.end_session, session_id, until, now))

    async def is_session_ended(self, session_id: str) -> bool:
        """Return whether a session was signed out."""
        return await self._read(partial(operator_asking.is_session_ended, session_id))

    async def audit(self, access: Access) -> None:
        """Add to the audit log. Durable on return."""
        await self._write(partial(operator_asking.audit, access))

    async def audit_log(self, limit: int = PAGE, conversation_id: str | None = None) -> list[Access]:
        """Return the newest entries of the audit log."""
        return await self._read(partial(operator_asking.audit_log, limit, conversation_id))

    async def probe(self) -> None:
        """Write a row and remove it again. Raises `Unavailable` if it can't be stored."""
        await self._transact(operator_asking.probe)


def _counts(now: datetime) -> Asking[Counts]:
    (row,) = yield COUNTS, {"overdue": overdue_before(now)}
    return counts_of(row, (yield FLOWS, ()), now)
