"""An id of what an event says, so that one message under two event ids is stored once.

Events that are there already have none: a repeated delivery of theirs is known by its event id.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add a column and its unique index."""
    op.add_column("inbox", sa.Column("said_id", _TEXT))
    where = sa.text("said_id IS NOT NULL")
    op.create_index(
        "inbox_said",
        "inbox",
        ["conversation_id", "said_id"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )
