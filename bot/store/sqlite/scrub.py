"""Removes deleted data from SQLite's files: from the write-ahead log, and from unused parts of pages.

`secure_delete` overwrites what is deleted, where it is. That leaves two places: the log has its earlier pages until it
is truncated; and where SQLite has moved rows between neighbouring pages, a copy may stay in the unused middle of one
(measured: of one text in two hundred). Only `VACUUM`, which writes the file anew, is sure to leave no such copy; it
keeps everything else waiting, so it is for files that it writes within seconds, and not for every deletion.

What the file system makes of the blocks that SQLite gives back to it is its own matter: encrypt the disk.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress

VACUUM_BYTES = 256 * 1024 * 1024
"""A larger file is not written anew beside running work (it takes 1 s for 150 MB on a fast disk)."""

VACUUM_EVERY = 24 * 3600.0
"""Seconds between two times that the file is written anew because of what retention has deleted."""

_PATIENCE = 200  # ms, with readers that keep the log from being truncated


class Scrubbing:
    """The scrubbing of one database by this process.

    Args:
        path: the database; nothing is done to one in memory.
        busy_timeout: of the connections, in seconds.

    Attributes:
        erased, purged: deletions since the file was written anew.
    """

    def __init__(self, path: str, busy_timeout: float) -> None:
        self.erased = 0
        self.purged = 0
        self._in_memory = path == ":memory:"
        self._busy_timeout = round(busy_timeout * 1000)
        self._vacuumed = time.monotonic()
        self._in_log = False  # is something of what was erased in the log?

    def erased_something(self) -> None:
        """Note that an erasure was stored."""
        self.erased += 1
        self._in_log = True

    def after_erasure(self, connection: sqlite3.Connection) -> None:
        """Truncate the log at once, once for all that wait for it; where a reader keeps it, that is left for later."""
        due, self._in_log = self._in_log and not self._in_memory, False
        if due:
            with suppress(sqlite3.Error):  # the erasure is stored, and must not seem to have failed
                self._truncate_log(connection)

    def now_and_then(self, connection: sqlite3.Connection) -> None:
        """Truncate the log and, if something was deleted and the file is not too large, write the file anew."""
        if self._in_memory:
            return
        due = self.erased or (self.purged and time.monotonic() - self._vacuumed >= VACUUM_EVERY)
        if due and _size(connection) <= VACUUM_BYTES:
            connection.execute("VACUUM")
            self.erased = self.purged = 0
            self._vacuumed = time.monotonic()
        self._truncate_log(connection)

    def _truncate_log(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.execute(f"PRAGMA busy_timeout = {self._busy_timeout}")


def _size(connection: sqlite3.Connection) -> int:
    """Bytes of the file."""
    (pages,), (bytes_each,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    return int(pages * bytes_each)
