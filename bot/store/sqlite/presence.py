"""Detects other live workers on the same SQLite file: each holds a lock next to it while its process runs.

The kernel takes the lock away when the process ends, however it ends. So a worker that gets it exclusively knows that
no other one lives. It is a file of its own: SQLite's own locks would be lost with the first handle that is closed.

Another program that locks the file, by mistake or on purpose, can't keep a worker waiting for long: the wait is told,
and ends.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from bot.private_files import close_to_others, make_private
from bot.signals import Observe, silent
from bot.store.interface import Unavailable
from bot.store.sqlite.locks import in_words, wait_is_told

if sys.platform != "win32":
    import fcntl


PATIENCE = 10.0  # seconds; a worker keeps the lock to itself for some milliseconds while it starts

_PAUSE = 0.02  # seconds


class Presence:
    """One worker's place among those of a database.

    Args:
        path: the database; its lock is the file beside it with `-workers` added, which is never deleted.
        observe: gets `waiting_for_lock`.
    """

    def __init__(self, path: str, observe: Observe = silent) -> None:
        self._observe = observe
        self._path = Path(f"{Path(path).resolve()}-workers")
        self._file: int | None = None

    def enter(self) -> bool:
        """Register, until `leave` or the end of the process. Blocking.

        Returns:
            True if certainly no other worker is present; none can come before `share`.

        Raises:
            Unavailable: there can't be a lock, or another program keeps it. A worker that others don't see must not
                work.
        """
        if sys.platform == "win32":
            return False  # no such locks: nobody ever counts as alone
        try:
            make_private(self._path)
            close_to_others(self._path)
            self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._share()
                return False
        except OSError as error:
            self.leave()
            raise Unavailable(f"{self._path} can't be locked ({error.strerror}): may this user write there?") from error
        except Unavailable:
            self.leave()
            raise
        return True

    def share(self) -> None:
        """Admit other workers. Blocks while another one holds the lock exclusively.

        Raises:
            Unavailable: another program has taken the lock, and keeps it.
        """
        if self._file is not None:
            self._share()

    def _share(self) -> None:
        """Take the shared lock, waiting for an exclusive holder."""
        if self._file is None or sys.platform == "win32":
            return
        until = time.monotonic() + PATIENCE
        with wait_is_told(self._path, self._observe):
            while True:
                try:
                    fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > until:
                        break
                    time.sleep(_PAUSE)
                else:
                    return
        raise Unavailable(f"{self._path} was kept locked{in_words(self._path)} for {PATIENCE:.0f} s: end that program")

    def leave(self) -> None:
        """Deregister."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
