"""Does another worker live on the same SQLite file? Each holds a lock beside it for as long as its process runs.

The kernel takes the lock away when the process ends, however it ends. So who gets it exclusively knows that no other
worker lives. It is a file of its own, because SQLite's own locks would be lost with the first handle that is closed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bot.store.interface import Unavailable

if sys.platform != "win32":
    import fcntl


class Presence:
    """One worker's place among those of a database.

    Args:
        path: the database; its lock is the file beside it with `-workers` added, which is never deleted.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(f"{Path(path).resolve()}-workers")
        self._file: int | None = None

    def enter(self) -> bool:
        """Be present, until `leave` or the end of the process. Blocking.

        Returns:
            True if certainly no other worker is present; none can come before `share`.

        Raises:
            Unavailable: there can't be a lock. A worker that others don't see must not work.
        """
        if sys.platform == "win32":
            return False  # no such locks: nobody ever counts as alone
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fcntl.flock(self._file, fcntl.LOCK_SH)
                return False
        except OSError as error:
            self.leave()
            raise Unavailable(f"{self._path} can't be locked ({error.strerror}): may this user write there?") from error
        return True

    def share(self) -> None:
        """Let others in. Blocking, if another one takes the moment to be alone: it does not know of us yet."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Be present no longer."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
