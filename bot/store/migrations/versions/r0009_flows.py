"""Which flow is at work in a conversation, and when each of its steps was recorded.

The steps of runs that are over stay from now on, for as long as what was said.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns, with what can be known of them, and the index by which runs are counted and listed."""
    op.add_column("conversations", sa.Column("flow", _TEXT, nullable=False, server_default=""))
    op.add_column("conversations", sa.Column("flow_version", _NUMBER, nullable=False, server_default="0"))
    op.add_column("journal", sa.Column("at", _NUMBER, nullable=False, server_default="0"))
    first = (
        'SELECT "key" FROM journal WHERE conversation_id = conversations.id AND journal.run_id = conversations.run_id'
    )
    op.execute(
        f"UPDATE conversations SET flow = coalesce(({first} AND idx = 0), ''), flow_version = 1 "  # noqa: S608
        "WHERE run_id IS NOT NULL"
    )
    op.execute(
        "UPDATE journal SET at = "
        "coalesce((SELECT updated_at FROM conversations WHERE conversations.id = journal.conversation_id), 0)"
    )
    where = sa.text("run_id IS NOT NULL")
    op.create_index(
        "conversations_flow",
        "conversations",
        ["flow", "flow_version", "id"],
        sqlite_where=where,
        postgresql_where=where,
    )
