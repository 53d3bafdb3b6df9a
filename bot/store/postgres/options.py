"""Translates the options of PostgreSQL URLs, as providers give them, for the driver.

asyncpg knows some of libpq's options and sends every other one to the server as a setting, which ends in an error:
`channel_binding` (Neon), `pgbouncer` (Prisma, Supabase), `connect_timeout`, and more. Here each is kept, translated, or
ignored by name. libpq's own: https://www.postgresql.org/docs/current/libpq-connect.html
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_VERIFYING = MODES[4:]
_MODES_OF_OTHERS = {"true": "require", "1": "require", "on": "require", "no-verify": "require", "false": "disable"}
"""Other drivers' names for these modes."""

_SESSIONS = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")

_DRIVERS = frozenset(
    {"host", "port", "user", "password", "database", "dbname", "sslmode", "sslpassword", "service"}
    | {"ssl_min_protocol_version", "ssl_max_protocol_version", "sslnegotiation", "target_session_attrs"}
    | {"krbsrvname", "gsslib", *_FILES}
)
_SERVERS = frozenset(
    {"options", "search_path", "timezone", "datestyle", "client_encoding", "statement_timeout", "lock_timeout"}
    | {"idle_in_transaction_session_timeout", "idle_session_timeout", "tcp_user_timeout", "role"}
)


def driver_options(given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Translate the options of a URL.

    Returns:
        Those for asyncpg, and the names of those that have no meaning here, sorted.

    Raises:
        ValueError: a value can't be used; the message names the option, and repeats nothing of the URL.
    """
    used, ignored = {}, []
    for name, value in given.items():
        lower = "sslmode" if name.lower() in ("ssl", "sslmode") else name.lower()
        if lower in _DRIVERS or lower in _SERVERS or "." in lower:
            used[lower] = value.strip()
        else:
            ignored.append(name)
    _translate_tls(used)
    for name in _FILES:
        if name in used and not Path(used[name]).expanduser().is_file():
            raise ValueError(f"DATABASE_URL: {name} names a file that is not there, or can't be read")
    if used.get("target_session_attrs", "any") not in _SESSIONS:
        raise ValueError(f"DATABASE_URL: target_session_attrs is one of {', '.join(_SESSIONS)}")
    if used.get("sslnegotiation", "postgres") not in ("postgres", "direct"):
        raise ValueError("DATABASE_URL: sslnegotiation is postgres or direct")
    return used, sorted(ignored)


def _translate_tls(used: dict[str, str]) -> None:
    """Translate the TLS mode, and find the trusted certificates if the URL names none."""
    if (given := used.get("sslmode")) is not None:
        mode = _MODES_OF_OTHERS.get(given.lower(), given.lower())
        if mode not in MODES:
            raise ValueError(f"DATABASE_URL: sslmode is one of {', '.join(MODES)}")
        used["sslmode"] = mode
    root = used.get("sslrootcert")
    if root == "system":
        used["sslmode"] = "verify-full"
    own = Path("~/.postgresql/root.crt").expanduser()
    if root == "system" or (root is None and used.get("sslmode") in _VERIFYING and not own.is_file()):
        paths = ssl.get_default_verify_paths()
        found = next((path for path in (paths.cafile, paths.openssl_cafile) if path and Path(path).is_file()), None)
        if found is None:
            raise ValueError("DATABASE_URL: this system has no file of trusted certificates; name one with sslrootcert")
        used["sslrootcert"] = found
