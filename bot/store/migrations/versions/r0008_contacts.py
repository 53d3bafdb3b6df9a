"""What people are found by: names, e-mail addresses, external ids and tickets, erased with their conversation.

Conversations that are there already get them with their next event.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the table and the index that finds by the beginning of a term."""
    op.create_table(
        "contacts",
        sa.Column("conversation_id", _TEXT, primary_key=True, nullable=False),
        sa.Column("kind", _TEXT, primary_key=True, nullable=False),
        sa.Column("term", _TEXT, primary_key=True, nullable=False),
        sa.Column("shown", sa.Text),  # as it was posted; NULL in a row that only finds
        sa.Column("at", _NUMBER, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("contacts_term", "contacts", ["term", "conversation_id"])
