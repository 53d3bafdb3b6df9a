"""What operators need: how a conversation went, orders by hand, the audit log, and the order of listings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables, columns and indexes."""
    op.add_column("conversations", sa.Column("held_since", _NUMBER))  # by the bot's clock, while the bot holds it
    op.add_column("conversations", sa.Column("failed_at", _NUMBER))
    op.execute("UPDATE conversations SET held_since = updated_at WHERE holder = 'bot'")
    op.drop_index("conversations_held", "conversations")
    op.drop_index("conversations_owed", "conversations")
    op.drop_index("conversations_open", "conversations")
    op.create_index("conversations_all", "conversations", ["created_at", "id"])
    _partial("conversations_held", ["held_since", "id"], "held_since IS NOT NULL")
    _partial("conversations_owed", ["duty_since", "id"], "duty_since IS NOT NULL")
    _partial("conversations_open", ["ended_at", "id"], "ended_at IS NOT NULL AND released_at IS NULL")
    _partial("conversations_ended", ["ended_at", "id"], "ended_at IS NOT NULL")
    _partial("conversations_failed", ["failed_at", "id"], "failed_at IS NOT NULL")
    op.add_column("inbox", sa.Column("by_operator", _FLAG, nullable=False, server_default=sa.false()))
    op.create_table(  # erased with its conversation
        "history",
        sa.Column("conversation_id", _TEXT, primary_key=True, nullable=False),
        sa.Column("n", _NUMBER, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("at", _NUMBER, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("who", sa.Text),
        sa.Column("since", _NUMBER),
        sa.Column("text", sa.Text, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(  # names conversations by their id, and nobody's words: it outlives them
        "audit",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=True, nullable=False),
        sa.Column("at", _NUMBER, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("conversation_id", _TEXT),
        sa.Column("detail", sa.Text, nullable=False),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("audit_of_conversation", "audit", ["conversation_id", "seq"])


def _partial(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "conversations", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
