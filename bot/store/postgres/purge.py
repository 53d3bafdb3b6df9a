"""PostgreSQL's own statements for retention: see `bot.store.purge`."""

from __future__ import annotations

from bot.store.purge import ROWS, Words

WORDS = Words(
    events=f"""
        DELETE FROM inbox WHERE seq = ANY (ARRAY(
            SELECT looked.seq FROM unnest(:ids::text[]) AS kept (id)
            CROSS JOIN LATERAL (
                SELECT seq, id, status, received_at FROM inbox WHERE conversation_id = kept.id ORDER BY seq LIMIT {ROWS}
            ) AS looked
            WHERE looked.received_at < :before AND looked.status <> 'pending' AND looked.id <> ALL (:named::text[])
        )) RETURNING conversation_id
    """,  # noqa: S608 - only constants
    effects=f"""
        DELETE FROM outbox WHERE seq = ANY (ARRAY(
            SELECT looked.seq FROM unnest(:ids::text[]) AS kept (id)
            CROSS JOIN LATERAL (
                SELECT seq, status, finished_at FROM outbox WHERE conversation_id = kept.id ORDER BY seq LIMIT {ROWS}
            ) AS looked
            WHERE looked.status = 'finished' AND looked.finished_at < :before
        )) RETURNING conversation_id
    """,  # noqa: S608 - only constants
    steps=f"""
        DELETE FROM journal AS step USING (
            SELECT looked.* FROM unnest(:ids::text[], :runs::bigint[]) AS kept (id, run_id)
            CROSS JOIN LATERAL (
                SELECT conversation_id, run_id, idx, at FROM journal
                WHERE conversation_id = kept.id AND run_id IS DISTINCT FROM kept.run_id
                ORDER BY run_id, idx LIMIT {ROWS}
            ) AS looked
            WHERE looked.at < :before
        ) AS old
        WHERE step.conversation_id = old.conversation_id AND step.run_id = old.run_id AND step.idx = old.idx
        RETURNING step.conversation_id
    """,  # noqa: S608 - only constants
    oldest="""
        SELECT kept.id,
            (SELECT received_at FROM inbox WHERE conversation_id = kept.id ORDER BY seq LIMIT 1),
            (SELECT created_at FROM outbox WHERE conversation_id = kept.id ORDER BY seq LIMIT 1),
            (
                SELECT at FROM journal WHERE conversation_id = kept.id AND run_id IS DISTINCT FROM kept.run_id
                ORDER BY run_id, idx LIMIT 1
            )
        FROM unnest(:ids::text[], :runs::bigint[]) AS kept (id, run_id)
    """,
    all_events=f"""
        DELETE FROM inbox WHERE seq = ANY (ARRAY(
            SELECT looked.seq FROM unnest(:ids::text[]) AS gone (id)
            CROSS JOIN LATERAL (
                SELECT seq FROM inbox WHERE conversation_id = gone.id ORDER BY seq LIMIT {ROWS}
            ) AS looked
        )) RETURNING conversation_id
    """,  # noqa: S608 - only constants
)
