"""Parses `DATABASE_URL`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from bot.store.postgres.options import driver_options

_SQLITE = "sqlite:///file.db (relative), sqlite:////path/to/file.db (absolute)"
_POSTGRES = "postgresql://user:password@host:5432/database"
_ENCODE = "percent-encode special characters in user and password (@ is %40, / is %2F)"

POOL = 4
"""Connections of a process at most, the one that listens not counted."""


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A PostgreSQL database's address and connection options.

    Attributes:
        dsn: what asyncpg is given. It holds the password: never shown.
        place: the same for people, without user and password.
        pool: connections at most.
        pooled: behind a proxy that gives each transaction another connection. None: found out at the start.
        listen: whom to ask for wake-ups: None is the database of `dsn` itself, unless it is `pooled`.
        ignored: options of the URL that mean nothing here, by name.
    """

    dsn: str = field(repr=False)
    place: str
    pool: int = POOL
    pooled: bool | None = None
    listen: str | None = field(default=None, repr=False)
    ignored: tuple[str, ...] = ()


def is_postgres(database_url: str) -> bool:
    """Return whether the URL names a PostgreSQL database."""
    return database_url.partition("://")[0] in ("postgresql", "postgres")


def postgres_address(database_url: str) -> PostgresAddress:
    """Parse a PostgreSQL URL.

    Args:
        database_url: `postgresql://` or `postgres://`, with one host or several (`a:5432,b:5432`: the one that can
            be written to is used). Of its options `pool`, `pooled` and `listen` are ours; the others are libpq's.

    Raises:
        ValueError: it can't be used; the message says what to write, and repeats nothing of the URL.
    """
    try:
        parts = urlsplit(database_url)
        hosts = _hosts(parts)
    except ValueError:
        raise ValueError(f"DATABASE_URL: host or port can't be read; write {_POSTGRES}, and {_ENCODE}") from None
    if not is_postgres(database_url) or parts.fragment or parts.netloc.count("@") > 1 or "@" in parts.path:
        raise ValueError(f"DATABASE_URL does not name a PostgreSQL database; write {_POSTGRES}, and {_ENCODE}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    pool, pooled, listen = (options.pop(name, None) for name in ("pool", "pooled", "listen"))
    if options.pop("pgbouncer", "false") == "true":  # as Prisma and Supabase write it
        pooled = pooled or "true"
    if pool is not None and not (pool.isascii() and pool.isdigit() and 1 <= int(pool) <= 100):
        raise ValueError("DATABASE_URL: pool is the number of connections of a process, 1 to 100")
    if pooled not in (None, "true", "false"):
        raise ValueError("DATABASE_URL: pooled is true (behind a transaction-pooling proxy) or false")
    used, ignored = driver_options(options)
    if len(hosts) > 1:
        used.setdefault("target_session_attrs", "read-write")
    rest = f"{parts.path}?{urlencode(used)}".removesuffix("?")
    login = "".join(parts.netloc.rpartition("@")[:2])
    where = ",".join(
        f"{host or used.get('host', 'localhost')}:{port or used.get('port', 5432)}" for host, port in hosts
    )
    return PostgresAddress(
        dsn=f"postgresql://{parts.netloc}{rest}",
        place=f"{where}/{unquote(parts.path.lstrip('/'))}",
        pool=POOL if pool is None else int(pool),
        pooled=None if pooled is None else pooled == "true",
        listen=f"postgresql://{login}{listen}{rest}" if listen else None,
        ignored=tuple(ignored),
    )


def _hosts(parts: SplitResult) -> list[tuple[str | None, int | None]]:
    """Return each host of a URL with its port. Raises `ValueError`."""
    each = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
    return [(host.hostname, host.port) for host in each]


def sqlite_path(database_url: str) -> Path:
    """Return the file that a SQLite URL names.

    Args:
        database_url: `sqlite:///relative.db` or `sqlite:////absolute.db`.

    Raises:
        ValueError: it can't be used. No message repeats the URL, which may hold a password.
    """
    scheme, separator, rest = database_url.partition("://")
    if scheme != "sqlite" or not separator:
        raise ValueError(f"DATABASE_URL does not name a database that the bot can use; write {_SQLITE}, or {_POSTGRES}")
    if not rest.startswith("/"):
        raise ValueError(f"DATABASE_URL: a host makes no sense for SQLite; write three or four slashes: {_SQLITE}")
    name = rest[1:]
    if name in ("", ":memory:"):
        raise ValueError(f"DATABASE_URL: a database in memory would forget what the bot owes; name a file: {_SQLITE}")
    if "?" in name:
        raise ValueError(f"DATABASE_URL: options after '?' are not used for SQLite; write only {_SQLITE}")
    return Path(name)
