"""What `DATABASE_URL` may say."""

from __future__ import annotations

from pathlib import Path

_FORMS = "sqlite:///file.db (relative), sqlite:////path/to/file.db (absolute)"


def sqlite_path(database_url: str) -> Path:
    """The file that a SQLite URL names.

    Args:
        database_url: `sqlite:///relative.db` or `sqlite:////absolute.db`.

    Raises:
        ValueError: it is a PostgreSQL URL, which comes later, or anything else that can't be used. No message repeats
            the URL, which may hold a password.
    """
    scheme, separator, rest = database_url.partition("://")
    if scheme in ("postgresql", "postgres"):
        raise ValueError(f"DATABASE_URL: PostgreSQL comes later; until then use {_FORMS}")
    if scheme != "sqlite" or not separator:
        raise ValueError(f"DATABASE_URL does not name a database that the bot can use; write {_FORMS}")
    if not rest.startswith("/"):
        raise ValueError(f"DATABASE_URL: a host makes no sense for SQLite; write three or four slashes: {_FORMS}")
    name = rest[1:]
    if name in ("", ":memory:"):
        raise ValueError(f"DATABASE_URL: a database in memory would forget what the bot owes; name a file: {_FORMS}")
    if "?" in name:
        raise ValueError(f"DATABASE_URL: options after '?' are not used for SQLite; write only {_FORMS}")
    return Path(name)
