"""The state says what is unsent; the outbox has the content and the outcome.

Effects that are open become part of their conversation's state. Control actions and reads have a row only once they are
done.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_KINDS = "('say', 'clean_up')"
_OPEN = "EXISTS (SELECT 1 FROM outbox WHERE conversation_id = conversations.id AND status = 'open')"

# A state is changed as text: PostgreSQL's JSONB doesn't take every string that a state may hold.
_SQLITE = {
    "list": f"""
        SELECT json_group_array(json_object(
            'id', effect_id, 'kind', kind, 'run_id', json_extract(body, '$.run_id'),
            'since', created_at / 1000000.0, 'next_attempt', next_attempt / 1000000.0,
            'attempts', attempts, 'maybe_done', json(iif(maybe_done, 'true', 'false')),
            'tries', coalesce(json_extract(body, '$.attempts'), 1)
        ))
        FROM (
            SELECT * FROM outbox WHERE conversation_id = conversations.id AND status = 'open' AND kind IN {_KINDS}
            ORDER BY seq
        )
    """,  # noqa: S608 - only constants
    "pending_id": "json_extract(conversations.state, '$.pending.effect_id')",
    "pending": """
        json_object(
            'since', created_at / 1000000.0, 'before', json_extract(body, '$.before'),
            'messages', json(iif(coalesce(json_extract(body, '$.messages'), 0), 'true', 'false')),
            'maybe_done', json(iif(maybe_done, 'true', 'false')),
            'behind', CASE WHEN NOT coalesce(json_extract(body, '$.ahead'), 0) THEN ({last_message}) END
        )
    """,
}

_POSTGRES = {
    "list": f"""
        SELECT json_agg(json_build_object(
            'id', effect_id, 'kind', kind, 'run_id', body::json -> 'run_id',
            'since', created_at / 1000000.0, 'next_attempt', next_attempt / 1000000.0,
            'attempts', attempts, 'maybe_done', maybe_done, 'tries', coalesce(body::json ->> 'attempts', '1')::int
        ) ORDER BY seq)::text
        FROM outbox WHERE conversation_id = conversations.id AND status = 'open' AND kind IN {_KINDS}
    """,  # noqa: S608 - only constants
    "pending_id": "(conversations.state::json -> 'pending' ->> 'effect_id')",
    "pending": """
        json_build_object(
            'since', created_at / 1000000.0, 'before', body::json -> 'before',
            'messages', coalesce(body::json -> 'messages', 'false'), 'maybe_done', maybe_done,
            'behind', CASE WHEN coalesce(body::json ->> 'ahead', 'false') = 'false' THEN ({last_message}) END
        )::text
    """,
}

_LAST_MESSAGE = """
    SELECT effect_id FROM outbox AS earlier
    WHERE earlier.conversation_id = outbox.conversation_id AND earlier.status = 'open' AND earlier.kind = 'say'
        AND earlier.seq < outbox.seq
    ORDER BY seq DESC LIMIT 1
"""


def upgrade() -> None:
    """Move what is unsent into the states; keep the content in the outbox."""
    sqlite = op.get_context().dialect.name == "sqlite"
    words = _SQLITE if sqlite else _POSTGRES
    pending = words["pending"].format(last_message=_LAST_MESSAGE)
    its_row = f"outbox WHERE effect_id = {words['pending_id']} AND status = 'open'"
    more = f"SELECT substr({pending}, 2, length({pending}) - 2) FROM {its_row}"  # noqa: S608 - only constants
    op.execute(
        f"""
        UPDATE conversations SET state = replace(
            state, '"pending":{{', '"pending":{{' || ({more}) || ','
        )
        WHERE EXISTS (SELECT 1 FROM {its_row})
        """  # noqa: S608 - only constants
    )
    op.execute(
        f"""
        UPDATE conversations SET state = '{{"unsent":' || coalesce(({words["list"]}), '[]') || ',' || substr(state, 2)
        WHERE {_OPEN}
        """  # noqa: S608 - only constants
    )
    op.execute(f"UPDATE conversations SET look_at = due_at WHERE look_at IS NULL AND {_OPEN}")  # noqa: S608
    of = "FROM outbox WHERE conversation_id = conversations.id AND status = 'open'"
    safe = "unsent = 0 OR look_at IS NOT NULL"
    name = "conversations_safe_to_send"
    if sqlite:
        op.execute(
            f"ALTER TABLE conversations ADD COLUMN unsent INTEGER NOT NULL DEFAULT 0 CONSTRAINT {name} CHECK ({safe})"
        )
        op.execute(f"UPDATE conversations SET unsent = (SELECT count(*) {of}) WHERE {_OPEN}")  # noqa: S608
    else:
        op.add_column("conversations", sa.Column("unsent", _NUMBER, nullable=False, server_default="0"))
        op.execute(f"UPDATE conversations SET unsent = (SELECT count(*) {of}) WHERE {_OPEN}")  # noqa: S608
        op.create_check_constraint(name, "conversations", safe)
    op.execute(f"DELETE FROM outbox WHERE status = 'open' AND kind NOT IN {_KINDS}")  # noqa: S608
    op.drop_column("outbox", "next_attempt")
    op.drop_column("outbox", "maybe_done")
