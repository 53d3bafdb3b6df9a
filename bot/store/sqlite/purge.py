"""SQLite's own statements for retention: see `bot.store.purge`."""

from __future__ import annotations

from bot.store.purge import ROWS, Words

WORDS = Words(
    events=f"""
        DELETE FROM inbox WHERE seq IN (
            SELECT looked.seq FROM json_each(:ids) AS kept CROSS JOIN inbox AS looked
            WHERE looked.seq IN (SELECT seq FROM inbox WHERE conversation_id = kept.value ORDER BY seq LIMIT {ROWS})
                AND looked.received_at < :before AND looked.status <> 'pending'
                AND looked.id NOT IN (SELECT value FROM json_each(:named))
        ) RETURNING conversation_id
    """,  # noqa: S608 - only constants
    effects=f"""
        DELETE FROM outbox WHERE seq IN (
            SELECT looked.seq FROM json_each(:ids) AS kept CROSS JOIN outbox AS looked
            WHERE looked.seq IN (SELECT seq FROM outbox WHERE conversation_id = kept.value ORDER BY seq LIMIT {ROWS})
                AND looked.finished_at < :before AND looked.status = 'finished'
        ) RETURNING conversation_id
    """,  # noqa: S608 - only constants
    steps=f"""
        DELETE FROM journal WHERE (conversation_id, run_id, idx) IN (
            SELECT looked.conversation_id, looked.run_id, looked.idx
            FROM json_each(:ids) AS kept CROSS JOIN journal AS looked
            WHERE looked.conversation_id = kept.value AND looked.at < :before AND (looked.run_id, looked.idx) IN (
                SELECT run_id, idx FROM journal
                WHERE conversation_id = kept.value AND run_id IS NOT json_extract(:runs, '$[' || kept.key || ']')
                ORDER BY run_id, idx LIMIT {ROWS}
            )
        ) RETURNING conversation_id
    """,  # noqa: S608 - only constants
    oldest="""
        SELECT kept.value,
            (SELECT received_at FROM inbox WHERE conversation_id = kept.value ORDER BY seq LIMIT 1),
            (SELECT created_at FROM outbox WHERE conversation_id = kept.value ORDER BY seq LIMIT 1),
            (
                SELECT at FROM journal
                WHERE conversation_id = kept.value AND run_id IS NOT json_extract(:runs, '$[' || kept.key || ']')
                ORDER BY run_id, idx LIMIT 1
            )
        FROM json_each(:ids) AS kept
    """,
    all_events=f"""
        DELETE FROM inbox WHERE seq IN (
            SELECT looked.seq FROM json_each(:ids) AS gone CROSS JOIN inbox AS looked
            WHERE looked.seq IN (SELECT seq FROM inbox WHERE conversation_id = gone.value ORDER BY seq LIMIT {ROWS})
        ) RETURNING conversation_id
    """,  # noqa: S608 - only constants
)
