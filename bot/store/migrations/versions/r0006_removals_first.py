"""An index of removals that wait, so that erasing a person never waits behind other events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index, which is nearly always empty."""
    where = sa.text("status = 'pending' AND conversation_id IS NULL AND type = 'user:remove'")
    op.create_index("inbox_removals", "inbox", ["seq"], sqlite_where=where, postgresql_where=where)
