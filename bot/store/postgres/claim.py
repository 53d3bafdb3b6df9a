"""Claims on PostgreSQL: find conversations that need work, lease them, and load what their turns need.

One statement finds and leases, a second one loads: under the lease nobody else changes what is loaded. Nothing here
reads more than it needs: the partial indexes hold only pending events, times to come and live leases, so that the cost
depends on none of the conversations that rest (a test checks the query plans).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from bot.control.state import Conversation
from bot.signals import Observe
from bot.store.codec import StateRow, load_conversation, load_data
from bot.store.interface import JournalEntry, Lease, StoredEvent, Work
from bot.store.owners import is_certainly_dead
from bot.store.postgres.pool import Pool
from bot.store.rows import event_of, lost, named_events, unsent_effects
from bot.store.sqlite.claim import MOST_EVENTS
from bot.store.times import from_micros, to_micros

_WINDOW = 512  # the oldest pending events among which the most urgent conversations are looked for
_EXPIRED = 1000  # leases that are seen to have run out in one claim

_ROW = "c.id, c.state, c.holder, c.ended_at, c.released_at, c.updated_at, c.epoch"

_EVENT_ARRAYS = """
    array_agg(id ORDER BY seq), array_agg(conversation_id ORDER BY seq), array_agg(type ORDER BY seq),
    array_agg(body ORDER BY seq), array_agg(received_at ORDER BY seq), array_agg(by_operator ORDER BY seq)
"""

# $1 conversations, $2 their runs, $3 most events of each, $4 the events that each state names
_LOAD = f"""
    SELECT events.*, named.*, effects.*, notes.*
    FROM unnest($1::text[], $2::bigint[], $4::text[]) WITH ORDINALITY AS wanted (id, run_id, named, place)
    CROSS JOIN LATERAL (
        SELECT {_EVENT_ARRAYS} FROM (
            SELECT * FROM inbox WHERE conversation_id = wanted.id AND status = 'pending' ORDER BY seq LIMIT $3
        ) AS pending
    ) AS events
    CROSS JOIN LATERAL (
        SELECT {_EVENT_ARRAYS} FROM inbox WHERE id = ANY (string_to_array(wanted.named, E'\n'))
    ) AS named
    CROSS JOIN LATERAL (
        SELECT array_agg(effect_id ORDER BY seq), array_agg(kind ORDER BY seq), array_agg(body ORDER BY seq)
        FROM outbox WHERE conversation_id = wanted.id AND status = 'open'
    ) AS effects
    CROSS JOIN LATERAL (
        SELECT array_agg(idx ORDER BY idx), array_agg(kind ORDER BY idx), array_agg(key ORDER BY idx),
            array_agg(data ORDER BY idx)
        FROM journal WHERE conversation_id = wanted.id AND run_id = wanted.run_id
    ) AS notes
    ORDER BY wanted.place
"""  # noqa: S608 - only constants
_PARTS = (6, 6, 3, 4)  # columns of each of the four

_GIVE_UP = """
    UPDATE outbox SET status = 'finished', outcome = given.outcome, finished_at = $3
    FROM unnest($1::text[], $2::text[]) AS given (id, outcome) WHERE effect_id = given.id
"""

_GIVE_BACK = """
    UPDATE conversations SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = $1 AND lease_until = $2
"""

_OWNERS = "SELECT DISTINCT lease_owner FROM conversations WHERE lease_until IS NOT NULL AND lease_until > $1"

_CUT_LEASES = """
    UPDATE conversations SET lease_until = $1
    WHERE lease_until IS NOT NULL AND lease_until > $1 AND lease_owner = ANY ($2)
"""

_FETCH = f"""
    SELECT c.epoch = given.epoch AS valid, events.*
    FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS given (id, epoch, place)
    LEFT JOIN conversations AS c ON c.id = given.id
    CROSS JOIN LATERAL (
        SELECT {_EVENT_ARRAYS} FROM (
            SELECT * FROM inbox WHERE conversation_id = given.id AND status = 'pending' ORDER BY seq LIMIT $3
        ) AS pending
    ) AS events
    ORDER BY given.place
"""  # noqa: S608 - only constants

_RENEW = """
    UPDATE conversations AS c SET lease_owner = given.owner, lease_until = given.until
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS given (id, epoch, owner, until)
    WHERE c.id = given.id AND c.epoch = given.epoch RETURNING c.id
"""

_NEXT_DUE = f"""
    WITH oldest AS MATERIALIZED (
        SELECT conversation_id FROM inbox
        WHERE status = 'pending' AND conversation_id IS NOT NULL ORDER BY seq LIMIT {_WINDOW}
    ), leased AS MATERIALIZED (
        SELECT id FROM conversations
        WHERE id = ANY (ARRAY(SELECT DISTINCT conversation_id FROM oldest)) AND lease_until > $1
    )
    SELECT
        EXISTS (SELECT FROM oldest WHERE conversation_id <> ALL (ARRAY(SELECT id FROM leased))),
        (SELECT count(*) FROM oldest),
        (SELECT min(due_at) FROM conversations WHERE due_at IS NOT NULL AND lease_until IS NULL),
        (
            SELECT min(CASE WHEN has_events THEN lease_until ELSE greatest(lease_until, due_at) END) FROM (
                SELECT lease_until, due_at, (
                    SELECT true FROM inbox WHERE conversation_id = conversations.id AND status = 'pending' LIMIT 1
                ) IS TRUE AS has_events
                FROM conversations WHERE lease_until IS NOT NULL
            ) AS leased WHERE has_events OR due_at IS NOT NULL
        )
"""  # noqa: S608 - only constants


# From one conversation to the next in the index, however many events each has: for when the oldest events all belong to
# few conversations that others work on.
def _walk(now: str, most: int) -> str:
    return f"""
        walk (id) AS (
            (SELECT ({_next("''")}))
            UNION ALL
            SELECT ({_next("walk.id")}) FROM walk WHERE walk.id IS NOT NULL
        ), free AS MATERIALIZED (
            SELECT walk.id, (
                SELECT received_at FROM inbox
                WHERE conversation_id = walk.id AND status = 'pending' ORDER BY seq LIMIT 1
            ) AS since FROM walk
            WHERE walk.id IS NOT NULL
                AND ((SELECT lease_until FROM conversations WHERE id = walk.id) > {now}) IS NOT TRUE
            LIMIT {most}
        )
    """  # noqa: S608 - only constants


def _next(after: str) -> str:
    return f"""
        SELECT conversation_id FROM inbox WHERE status = 'pending' AND conversation_id > {after}
        ORDER BY conversation_id LIMIT 1
    """  # noqa: S608 - only constants


_FREE_WALKING = f"WITH RECURSIVE {_walk('$1', 1)} SELECT EXISTS (SELECT FROM free)"  # noqa: S608


# One plan serves all calls, so that it must be good without a guess of how many rows there will be: ids that were found
# are looked up as an array, and limits are written out.
@cache
def _claiming(most: int, *, walking: bool = False) -> str:
    """Return the statement that claims up to `most` conversations.

    Its values: owner, until, now, limit.
    """
    found, recursive, walk = "urgent", "", ""
    if walking:
        found, recursive, walk = "free", "RECURSIVE", f"{_walk('$3', max(_WINDOW, most))},"
    return f"""
        WITH {recursive} oldest AS MATERIALIZED (
            SELECT conversation_id, received_at FROM inbox
            WHERE status = 'pending' AND conversation_id IS NOT NULL ORDER BY seq LIMIT {max(_WINDOW, 4 * most)}
        ), urgent AS MATERIALIZED (
            SELECT conversation_id AS id, min(received_at) AS since FROM oldest GROUP BY conversation_id
        ), {walk} due AS MATERIALIZED (
            SELECT id, due_at AS since FROM conversations
            WHERE lease_until IS NULL AND due_at IS NOT NULL AND due_at <= $3
            ORDER BY due_at LIMIT {most} FOR UPDATE SKIP LOCKED
        ), expired AS MATERIALIZED (
            SELECT id, least(CASE WHEN due_at <= $3 THEN due_at END, (
                SELECT received_at FROM inbox
                WHERE conversation_id = conversations.id AND status = 'pending' ORDER BY seq LIMIT 1
            )) AS since FROM conversations
            WHERE lease_until IS NOT NULL AND lease_until <= $3
            ORDER BY lease_until LIMIT {_EXPIRED} FOR UPDATE SKIP LOCKED
        ), waiting AS MATERIALIZED (
            SELECT id, (SELECT since FROM {found} AS found WHERE found.id = conversations.id) AS since
            FROM conversations
            WHERE id = ANY (ARRAY(SELECT id FROM {found} AS found)) AND lease_until IS NULL
            ORDER BY 2, 1 LIMIT {most} FOR UPDATE SKIP LOCKED
        ), known AS MATERIALIZED (
            SELECT id FROM conversations WHERE id = ANY (ARRAY(SELECT id FROM {found} AS found))
        ), unknown AS MATERIALIZED (
            SELECT id, since FROM {found} AS found WHERE id <> ALL (ARRAY(SELECT id FROM known))
        ), gone AS MATERIALIZED (
            SELECT conversation_id AS id FROM removed WHERE conversation_id = ANY (ARRAY(SELECT id FROM unknown))
        ), chosen AS MATERIALIZED (
            SELECT id, min(since) AS since, bool_or(is_new) AS is_new FROM (
                SELECT id, since, false AS is_new FROM due
                UNION ALL SELECT id, since, false FROM expired WHERE since IS NOT NULL
                UNION ALL SELECT id, since, false FROM waiting
                UNION ALL SELECT id, since, true FROM unknown WHERE id <> ALL (ARRAY(SELECT id FROM gone))
            ) AS each GROUP BY id ORDER BY 2, 1 LIMIT $4
        ), freed AS (
            UPDATE conversations SET lease_owner = NULL, lease_until = NULL
            WHERE id = ANY (ARRAY(SELECT id FROM expired EXCEPT SELECT id FROM chosen))
        ), late AS (
            UPDATE inbox SET status = 'handled', handled_at = $3, reason = 'came after the removal', body = ''
            WHERE status = 'pending' AND conversation_id = ANY (ARRAY(SELECT id FROM gone))
        ), leased AS (
            UPDATE conversations AS c SET lease_owner = $1, lease_until = $2, epoch = c.epoch + 1
            WHERE id = ANY (ARRAY(SELECT id FROM chosen WHERE NOT is_new)) RETURNING {_ROW}
        ), created AS (
            INSERT INTO conversations AS c
                (id, holder, gone, mismatch, epoch, lease_owner, lease_until, created_at, updated_at, kept_since,
                state)
            SELECT id, 'unknown', false, false, 1, $1, $2, $3, $3, $3, '{{"id":' || to_json(id) || '}}'
            FROM chosen WHERE is_new ORDER BY id
            ON CONFLICT (id) DO NOTHING RETURNING {_ROW}
        )
        SELECT (SELECT count(*) FROM oldest) AS seen, taken.* FROM (SELECT) AS always LEFT JOIN (
            SELECT got.*, chosen.since FROM (SELECT * FROM leased UNION ALL SELECT * FROM created) AS got
            JOIN chosen ON chosen.id = got.id
        ) AS taken ON true
        ORDER BY taken.since, taken.id
    """  # noqa: S608 - only constants


def _rounded(limit: int) -> int:
    """Round up to a power of four, so that there are few statements to prepare."""
    most = 1
    while most < limit:
        most *= 4
    return most


async def claim(pool: Pool, observe: Observe, *, owner: str, now: datetime, lease: timedelta, limit: int) -> list[Work]:
    """Lease and load the most urgent conversations, most urgent first. Report what can't be read."""
    until, most = now + lease, _rounded(limit)
    values = (owner, to_micros(until), to_micros(now))
    rows = await pool.fetch(_claiming(most), *values, limit)
    taken = [row for row in rows if row["id"] is not None]
    if len(taken) < limit and rows[0]["seen"] >= _WINDOW:
        more = await pool.fetch(_claiming(most, walking=True), *values, limit - len(taken))
        taken += [row for row in more if row["id"] is not None]
        taken.sort(key=lambda row: (row["since"], row["id"]))
    if not taken:
        return []
    states = [load_conversation(StateRow(*row[1:7]), observe) for row in taken]
    leases = [Lease(row["id"], owner, row["epoch"], until) for row in taken]
    return await _load(pool, observe, leases, states, now)


async def give_back(pool: Pool, owner: str, until: datetime) -> None:
    """Release the leases of a claim whose answer was lost."""
    await pool.execute(_GIVE_BACK, owner, to_micros(until))


async def fetch(pool: Pool, leases: Sequence[Lease]) -> list[list[StoredEvent] | Exception]:
    """Return, for each lease, its conversation's oldest unhandled events, or `LeaseLost`."""
    ids, epochs = [lease.conversation_id for lease in leases], [lease.epoch for lease in leases]
    rows = await pool.fetch(_FETCH, ids, epochs, MOST_EVENTS)
    return [_events(row[1:]) if row["valid"] else lost(lease) for lease, row in zip(leases, rows, strict=True)]


async def renew(pool: Pool, renewals: Sequence[tuple[Lease, datetime]]) -> list[Lease | Exception]:
    """Return each lease, extended, or `LeaseLost`."""
    rows = await pool.fetch(
        _RENEW,
        [lease.conversation_id for lease, _ in renewals],
        [lease.epoch for lease, _ in renewals],
        [lease.owner for lease, _ in renewals],
        [to_micros(until) for _, until in renewals],
    )
    renewed = {row["id"] for row in rows}
    return [
        replace(lease, until=until) if lease.conversation_id in renewed else lost(lease) for lease, until in renewals
    ]


async def cut_leases(pool: Pool, until: datetime) -> int:
    """Shorten the leases of certainly dead owners to end by a given time. Return how many were shortened."""
    at = to_micros(until)
    owners = [row[0] for row in await pool.fetch(_OWNERS, at)]
    dead = [owner for owner in owners if is_certainly_dead(owner)]
    return await pool.execute(_CUT_LEASES, at, dead) if dead else 0


async def next_due(pool: Pool, now: datetime) -> datetime | None:
    """Return when the next claim can find something."""
    at = to_micros(now)
    ((free, seen, *times),) = await pool.fetch(_NEXT_DUE, at)
    if free or (seen == _WINDOW and (await pool.fetch(_FREE_WALKING, at))[0][0]):
        return now
    earliest = min((time for time in times if time is not None), default=None)
    return None if earliest is None else from_micros(max(at, earliest))


async def _load(
    pool: Pool, observe: Observe, leases: Sequence[Lease], states: Sequence[Conversation], now: datetime
) -> list[Work]:
    named = [named_events(state) for state in states]
    rows = await pool.fetch(
        _LOAD,
        [lease.conversation_id for lease in leases],
        [state.run and state.run.id for state in states],
        MOST_EVENTS,
        ["\n".join(ids) for ids in named],
    )
    works, unreadable = [], []
    for lease, state, ids, row in zip(leases, states, named, rows, strict=True):
        events, inputs, effects, notes = _parts(row)
        arrived = _events(events)
        known = {event.id: event for event in _events(inputs)}
        unsent, given_up = unsent_effects(lease.conversation_id, _transposed(effects), observe)
        unreadable += given_up
        works.append(
            Work(
                lease=lease,
                state=state,
                events=tuple(arrived),
                inputs=tuple(known[id_] for id_ in ids if id_ in known and known[id_] not in arrived),
                unsent=tuple(unsent),
                journal=tuple(_journal(state, notes)),
            )
        )
    if unreadable:
        await pool.execute(_GIVE_UP, *map(list, zip(*unreadable, strict=True)), to_micros(now))
    return works


def _parts(row: Sequence[Any]) -> list[Sequence[Any]]:
    ends = [sum(_PARTS[: place + 1]) for place in range(len(_PARTS))]
    return [row[end - count : end] for end, count in zip(ends, _PARTS, strict=True)]


def _events(columns: Sequence[Any]) -> list[StoredEvent]:
    return [event_of(row) for row in _transposed(columns)]


def _transposed(columns: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
    """Return the rows of aggregated columns, which are None if there were no rows."""
    return zip(*(column or () for column in columns), strict=True)


def _journal(state: Conversation, columns: Sequence[Any]) -> Iterable[JournalEntry]:
    if state.run:
        for index, kind, key, data in _transposed(columns):
            yield JournalEntry(state.run.id, index, kind, key, load_data(data), len(data))
