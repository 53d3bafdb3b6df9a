"""Translates SQLite's errors to the store's, with texts that say what to do."""

from __future__ import annotations

import sqlite3

from bot.store.interface import SAFETY, UNSAFE, SchemaMismatch, StoreError, Unavailable, UnsafeState
from bot.store.sqlite.locks import in_words

_ADVICE = {
    "SQLITE_BUSY": "another process kept it locked for too long; is a backup or a shell open on it?",
    "SQLITE_PROTOCOL": "another process kept its log locked for too long",
    "SQLITE_LOCKED": "another connection kept it locked for too long",
    "SQLITE_FULL": "the disk is full; make room",
    "SQLITE_READONLY": "it can't be written; check the owner and the permissions of the file and its directory",
    "SQLITE_CANTOPEN": "it can't be opened; check that its directory exists and may be written",
    "SQLITE_PERM": "it can't be opened; check its permissions",
    "SQLITE_IOERR": "the disk failed to read or write; check the disk",
    "SQLITE_CORRUPT": "it is damaged; restore a backup",
    "SQLITE_NOTADB": "it is not a SQLite database; check DATABASE_URL",
    "SQLITE_SCHEMA": "its schema changed; restart the bot",
}


def explain(error: Exception, path: str) -> Exception:
    """Translate an error of SQLite. Other errors, and misuse of SQLite by us, are returned unchanged.

    Args:
        error: what an operation raised.
        path: the database, for the sentence.
    """
    match error:
        case sqlite3.IntegrityError() if SAFETY in str(error):
            return UnsafeState(UNSAFE)
        case sqlite3.IntegrityError():
            return StoreError(f"refused by the database {path}: {error}")
        case sqlite3.ProgrammingError() | sqlite3.InterfaceError() | sqlite3.NotSupportedError():
            return error
        case sqlite3.OperationalError() if "no such table" in str(error) or "no such column" in str(error):
            return SchemaMismatch(f"the database {path} has another schema ({error}): run `switchboard-bot migrate`")
        case sqlite3.Error():
            busy = in_words(path) if _kind(error) in ("SQLITE_BUSY", "SQLITE_PROTOCOL") else ""
            return Unavailable(f"the database {path} can't be used: {_advice(error)} ({error}{busy})")
        case _:
            return error


def _advice(error: sqlite3.Error) -> str:
    return _ADVICE.get(_kind(error), "SQLite refused")


def _kind(error: sqlite3.Error) -> str:
    """Return the error's primary name: SQLITE_IOERR for SQLITE_IOERR_FSYNC."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return "_".join(name.split("_")[:2])
