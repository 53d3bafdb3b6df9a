"""Translates PostgreSQL's errors to the store's, with texts that say what to do and never contain a password."""

from __future__ import annotations

import socket
import ssl

import asyncpg
from asyncpg import exceptions as pg

from bot.store.interface import SAFETY, UNSAFE, SchemaMismatch, StoreError, Unavailable, UnsafeState

AGAIN = (pg.SerializationError, pg.DeadlockDetectedError)
"""The transaction was rolled back for another's sake: the same once more may do."""

ENDED = (pg.OperatorInterventionError, pg.PostgresConnectionError)
"""The connection ends with it, or had better."""

POISON = (pg.DataError, pg.IntegrityConstraintViolationError, pg.ProgramLimitExceededError)
"""The values are to blame, and not the moment."""

OF_ONE = (*POISON, pg.LockNotAvailableError)
"""Of several that share a statement one is to blame, or somebody keeps its row locked."""

_NO_MISTAKES = (pg.InsufficientPrivilegeError, pg.DuplicatePreparedStatementError)  # of ours, in SQL

_ADVICE: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (pg.InvalidCatalogNameError, "there is no database of this name; create it first"),
    (pg.InvalidPasswordError, "it refuses the password of this user; check DATABASE_URL, percent-encoding included"),
    (pg.InvalidAuthorizationSpecificationError, "it refuses this user, or connections without TLS; check DATABASE_URL"),
    (pg.InsufficientPrivilegeError, "the user may not do that; grant it the rights on the database and its schema"),
    (pg.TooManyConnectionsError, "it has no connection left; raise max_connections, or use fewer processes or ?pool="),
    (pg.ReadOnlySQLTransactionError, "it can only be read; is it a replica?"),
    ((pg.DiskFullError, pg.OutOfMemoryError), "it has no room left; make some"),
    (
        (pg.InvalidSQLStatementNameError, pg.DuplicatePreparedStatementError),
        "a proxy gives each transaction another connection; add ?pooled=true to DATABASE_URL",
    ),
    (pg.CannotConnectNowError, "it is starting or stopping"),
    (pg.OperatorInterventionError, "its operator ended the connection"),
    ((pg.LockNotAvailableError, pg.QueryCanceledError), "a lock was not to be had in time"),
    (TimeoutError, "it did not answer in time"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted; name the provider's with sslrootcert"),
    (ssl.SSLError, "TLS fails; check sslmode in DATABASE_URL, and the port"),
    (socket.gaierror, "no host has this name; check DATABASE_URL"),
    (ConnectionRefusedError, "nothing listens there: it is down, or host or port in DATABASE_URL is wrong"),
    (asyncpg.exceptions.ClientConfigurationError, "an option of DATABASE_URL can't be used; check its value"),
    (asyncpg.exceptions.TargetServerAttributeNotMatched, "none of its hosts can be written to"),
    ((OSError, pg.PostgresConnectionError, asyncpg.InterfaceError), "it is out of reach, or the connection broke"),
)


def explain(error: Exception, place: str, *, opening: bool = False) -> Exception:
    """Translate an error of PostgreSQL or the network. Misuse of it by us is returned unchanged.

    Args:
        error: what an operation raised.
        place: the database, for the sentence.
        opening: a connection was being opened: what the server refuses then is an option of the URL.
    """
    match error:
        case pg.CheckViolationError() if error.constraint_name == SAFETY:
            return UnsafeState(UNSAFE)
        case pg.DataError() | pg.SyntaxOrAccessError() if opening and not isinstance(error, _NO_MISTAKES):
            return StoreError(f"the database {place} refuses an option of DATABASE_URL: {_words(error)}")
        case pg.UndefinedTableError() | pg.UndefinedColumnError():
            return SchemaMismatch(
                f"the database {place} has another schema ({_words(error)}): run `switchboard-bot migrate`"
            )
        case pg.IntegrityConstraintViolationError():
            return StoreError(f"refused by the database {place}: {_words(error)}")
        case pg.DataError() | pg.ProgramLimitExceededError():  # their words may quote a value
            return StoreError(f"refused by the database {place}: {type(error).__name__}")
        case pg.SyntaxOrAccessError() if not isinstance(error, _NO_MISTAKES):
            pass
        case asyncpg.PostgresError() | asyncpg.InterfaceError() | asyncpg.InternalClientError() | OSError():
            detail = f" ({_words(error)})" if isinstance(error, asyncpg.PostgresError) else ""
            return Unavailable(f"the database {place} can't be used: {_advice(error)}{detail}")
        case _:
            pass
    return error


def is_of_one(error: BaseException) -> bool:
    """Return whether one item of a shared statement caused this error. `error` is what `explain` made of `OF_ONE`."""
    return isinstance(error, StoreError) and isinstance(error.__cause__, OF_ONE)


def _words(error: asyncpg.PostgresError) -> str:
    """Return the message without its details, which quote the row."""
    return str(error.args[0]) if error.args else type(error).__name__


def _advice(error: Exception) -> str:
    if "rejected SSL upgrade" in str(error):  # asyncpg has no kind of its own for that
        return "it speaks no TLS there; check sslmode and port in DATABASE_URL"
    return next((advice for kind, advice in _ADVICE if isinstance(error, kind)), "PostgreSQL refused")
