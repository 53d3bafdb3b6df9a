"""When the platform was first seen to act as in the other control mode, so that operators find where it did lately."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add a column and its index."""
    op.add_column("conversations", sa.Column("mismatch_at", _NUMBER))
    op.execute("UPDATE conversations SET mismatch_at = updated_at WHERE mismatch")
    where = sa.text("mismatch_at IS NOT NULL")
    op.create_index(
        "conversations_mismatch",
        "conversations",
        ["mismatch_at", "id"],
        sqlite_where=where,
        postgresql_where=where,
    )
