"""Checks whether a database has this version's schema. Plain SQL, to keep alembic out of the hot path."""

from __future__ import annotations

from collections.abc import Sequence

HEAD = "0010"
"""The newest revision in `bot/store/migrations/versions` (a test compares them)."""

TABLES = (
    "conversations",
    "inbox",
    "outbox",
    "journal",
    "duties",
    "participants",
    "contacts",
    "removed",
    "removed_users",
    "history",
    "audit",
    "ended_sessions",
)
"""All tables, so that statements find them in the bot's own schema on PostgreSQL (a test compares them)."""

VERSION_TABLE = "switchboard_bot_version"
FORMER_VERSION_TABLE = "alembic_version"
"""Up to revision 0004: alembic's own name for it, which any other program that uses alembic has as well."""

SAFE_TABLE = ("conversations", "conversations_safe")
"""A table and its constraint that no other program has: what tells our tables from others of the same names."""


def problem_with(revision: str | None) -> str | None:
    """Return the problem of a database at this revision (None: no revision), and its remedy; None if current."""
    if revision == HEAD:
        return None
    if revision is None:
        return "the database has no tables yet: run `switchboard-bot migrate`"
    if revision < HEAD:
        return f"the database is at schema {revision}, this version needs {HEAD}: run `switchboard-bot migrate`"
    return f"the database is at schema {revision}, newer than this version's {HEAD}: update switchboard-bot"


def foreign_tables(names: Sequence[str]) -> str:
    """Describe a few of these tables as somebody else's."""
    return f"tables of another program ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
