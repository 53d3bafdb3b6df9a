"""Sessions of the console that were signed out, so that a copied cookie is worth nothing afterwards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table; a row is deleted once its session would have ended by itself."""
    op.create_table(
        "ended_sessions",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        sa.Column("until", _NUMBER, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
