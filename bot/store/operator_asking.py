"""Operators' reads and orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.store import operator_queries as queries
from bot.store.asking import Asking
from bot.store.codec import unicode
from bot.store.operators import Access, Before, Listed, Listing, Page, RunAtWork, SetAside, Timeline
from bot.store.times import to_micros
from webhooks.inbox import NewEvent


def conversations(listing: Listing) -> Asking[Page]:
    """Return a page of conversations."""
    page = queries.page_of(listing, (yield queries.page_query(listing)))
    return replace(page, conversations=(yield from _with_contacts(page.conversations)))


def timeline(conversation_id: str, limit: int, before: Before) -> Asking[Timeline | None]:
    """Return part of a conversation's timeline."""
    id_ = unicode(conversation_id)
    rows = yield queries.ONE, (id_,)
    if not rows:
        return None
    parts = []
    for asked in queries.parts_of(id_, limit, before):
        parts.append((yield asked))  # noqa: PERF401 - a comprehension can't yield
    found = queries.timeline_of(rows[0], parts, limit, before)
    (listed,) = yield from _with_contacts([found.listed])
    return replace(found, listed=listed)


def _with_contacts(found: Sequence[Listed]) -> Asking[list[Listed]]:
    return queries.with_contacts(found, (yield queries.CONTACTS, ([one.state.id for one in found],)))


def runs_at_work(limit: int, after: RunAtWork | None) -> Asking[list[RunAtWork]]:
    """Return conversations with a running flow."""
    found = []
    for row in (yield queries.RUNS_AT_WORK, queries.place_of(after, limit)):
        steps = yield queries.RUN_STEPS, queries.run_of(row)
        found.append(queries.run_at_work(row, steps))
    return found


def set_aside_events(limit: int, before: int | None) -> Asking[list[SetAside]]:
    """Return events that were set aside, newest first."""
    rows = yield queries.SET_ASIDE, (queries.LAST if before is None else before, limit)
    return [queries.set_aside_of(row) for row in rows]


def retry(event_id: str) -> Asking[NewEvent | None]:
    """Retry an event that was set aside."""
    rows = yield queries.RETRY, (unicode(event_id),)
    return queries.new_event_of(rows[0]) if rows else None


def order(asked: NewEvent) -> Asking[bool]:
    """Store an operator's order for a known conversation."""
    return bool((yield queries.ORDER, queries.order_row(asked)))


def is_ordered(order_id: str) -> Asking[bool]:
    """Return whether an order is known."""
    return bool((yield queries.ORDERED, (unicode(order_id),)))


def end_session(session_id: str, until: datetime, now: datetime) -> Asking[None]:
    """Remember a signed-out session, and forget those that have expired."""
    yield queries.FORGET_SESSIONS, (to_micros(now),)
    yield queries.END_SESSION, (session_id, to_micros(until))


def is_session_ended(session_id: str) -> Asking[bool]:
    """Return whether a session was signed out."""
    return bool((yield queries.ENDED_SESSION, (session_id,)))


def audit(access: Access) -> Asking[None]:
    """Add to the audit log."""
    yield queries.AUDIT, queries.access_row(access)


def probe() -> Asking[None]:
    """Write a row and remove it again."""
    ((seq,),) = yield queries.PROBE, queries.probe_row()
    yield queries.END_PROBE, (seq,)


def audit_log(limit: int, conversation_id: str | None) -> Asking[list[Access]]:
    """Return the newest entries of the audit log."""
    if conversation_id is None:
        rows = yield queries.AUDIT_LOG, {"limit": limit}
    else:
        rows = yield queries.AUDIT_LOG_OF, (unicode(conversation_id), limit)
    return [queries.access_of(row) for row in rows]
