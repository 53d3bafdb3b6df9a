"""What retention finds its work by, without a scan: since when something is kept, and when a removal was told.

Conversations that are there already count as kept for ever, so that the next purge looks at each of them once.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add a column and three indexes."""
    op.add_column("conversations", sa.Column("kept_since", _NUMBER, nullable=False, server_default="0"))
    op.create_index("conversations_kept", "conversations", ["kept_since"])
    op.create_index("removed_at", "removed", ["at"])
    op.create_index("removed_users_at", "removed_users", ["at"])
