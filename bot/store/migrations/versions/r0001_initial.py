"""The first schema: conversations, their inbox, outbox, journal and duties.

Times are microseconds since 1970 (`bot.store.times`); JSON is text, written and read by `bot.store.codec` alone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # STRICT tables know INTEGER, not BIGINT
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")  # ordered by bytes, as SQLite does
_FLAG = sa.Boolean().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table and index."""
    _conversations()
    _inbox()
    _outbox()
    _rest()
    if op.get_context().dialect.name == "postgresql":
        _tend()


def _tend() -> None:
    """Have the tables in which rows come and go vacuumed early, so that their partial indexes stay small."""
    for table in ("conversations", "inbox", "outbox", "journal"):
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)"
        )


def _conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", _TEXT, primary_key=True, nullable=False),
        sa.Column("holder", _TEXT, nullable=False),
        sa.Column("ended_at", _NUMBER),
        sa.Column("released_at", _NUMBER),  # of the proof, once it has ended
        sa.Column("gone", _FLAG, nullable=False),
        sa.Column("mismatch", _FLAG, nullable=False),
        sa.Column("duty_id", _NUMBER),
        sa.Column("duty_since", _NUMBER),
        sa.Column("run_id", _NUMBER),
        sa.Column("look_at", _NUMBER),  # of the state
        sa.Column("due_at", _NUMBER),  # look_at, or the first open effect if that is sooner
        sa.Column("epoch", _NUMBER, nullable=False),
        sa.Column("lease_owner", _TEXT),
        sa.Column("lease_until", _NUMBER),
        sa.Column("created_at", _NUMBER, nullable=False),
        sa.Column("updated_at", _NUMBER, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.CheckConstraint(
            "gone OR (holder <> 'bot' AND (ended_at IS NULL OR released_at IS NOT NULL)) OR look_at IS NOT NULL",
            name="conversations_safe",
        ),
        sa.CheckConstraint(
            "look_at IS NULL OR (due_at IS NOT NULL AND due_at <= look_at)", name="conversations_due_in_time"
        ),
        sa.CheckConstraint("holder IN ('bot', 'other', 'nobody', 'unknown')", name="conversations_holder_known"),
        sa.CheckConstraint("(lease_owner IS NULL) = (lease_until IS NULL)", name="conversations_lease_whole"),
        sqlite_strict=True,
    )
    _partial("conversations_due", "conversations", ["due_at"], "due_at IS NOT NULL AND lease_until IS NULL")
    _partial("conversations_leased", "conversations", ["lease_until"], "lease_until IS NOT NULL")
    _partial("conversations_held", "conversations", ["holder"], "holder = 'bot'")
    _partial("conversations_owed", "conversations", ["duty_since"], "duty_since IS NOT NULL")
    _partial("conversations_open", "conversations", ["ended_at"], "ended_at IS NOT NULL AND released_at IS NULL")


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=True, nullable=False),
        sa.Column("id", _TEXT, nullable=False, unique=True),
        sa.Column("conversation_id", _TEXT),
        sa.Column("type", _TEXT, nullable=False),
        sa.Column("received_at", _NUMBER, nullable=False),
        sa.Column("status", _TEXT, nullable=False, server_default="pending"),
        sa.Column("handled_at", _NUMBER),
        sa.Column("reason", _TEXT),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("status IN ('pending', 'handled', 'set_aside')", name="inbox_status_known"),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("inbox_of_conversation", "inbox", ["conversation_id", "seq"])
    _partial("inbox_pending", "inbox", ["seq"], "status = 'pending' AND conversation_id IS NOT NULL")
    _partial("inbox_pending_of_conversation", "inbox", ["conversation_id", "seq"], "status = 'pending'")
    _partial("inbox_set_aside", "inbox", ["seq"], "status = 'set_aside'")


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", _NUMBER, primary_key=True, autoincrement=True, nullable=False),
        sa.Column("effect_id", _TEXT, nullable=False, unique=True),
        sa.Column("conversation_id", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("created_at", _NUMBER, nullable=False),
        sa.Column("next_attempt", _NUMBER, nullable=False),
        sa.Column("attempts", _NUMBER, nullable=False),
        sa.Column("maybe_done", _FLAG, nullable=False),
        sa.Column("status", _TEXT, nullable=False, server_default="open"),
        sa.Column("finished_at", _NUMBER),
        sa.Column("outcome", _TEXT),
        sa.Column("body", _TEXT, nullable=False),
        sa.CheckConstraint("status IN ('open', 'finished')", name="outbox_status_known"),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    op.create_index("outbox_of_conversation", "outbox", ["conversation_id", "seq"])
    _partial("outbox_open", "outbox", ["conversation_id", "seq"], "status = 'open'")


def _rest() -> None:
    op.create_table(
        "journal",
        sa.Column("conversation_id", _TEXT, primary_key=True, nullable=False),
        sa.Column("run_id", _NUMBER, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("idx", _NUMBER, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("key", _TEXT, nullable=False),
        sa.Column("data", _TEXT, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "duties",
        sa.Column("conversation_id", _TEXT, primary_key=True, nullable=False),
        sa.Column("duty_id", _NUMBER, primary_key=True, autoincrement=False, nullable=False),
        sa.Column("action", _TEXT, nullable=False),
        sa.Column("target", _TEXT),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("since", _NUMBER, nullable=False),
        sa.Column("attempts", _NUMBER, nullable=False),
        sa.Column("next_attempt", _NUMBER, nullable=False),
        sa.Column("stage", _TEXT, nullable=False),
        sa.Column("last_answer", _TEXT),
        sa.Column("closed_at", _NUMBER),
        sa.Column("proof", _TEXT),
        sa.Column("body", _TEXT, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    _partial("duties_open", "duties", ["since"], "closed_at IS NULL")
    op.create_table(
        "participants",
        sa.Column("conversation_id", _TEXT, primary_key=True, nullable=False),
        sa.Column("user_id", _TEXT, primary_key=True, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index("participants_user", "participants", ["user_id"])
    op.create_table(  # tombstones: a late event must not bring an erased conversation back
        "removed",
        sa.Column("conversation_id", _TEXT, primary_key=True, nullable=False),
        sa.Column("at", _NUMBER, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(  # and what a removed person said before must not be kept because it comes late
        "removed_users",
        sa.Column("user_id", _TEXT, primary_key=True, nullable=False),
        sa.Column("at", _NUMBER, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
