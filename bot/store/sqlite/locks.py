"""Finds who holds a file's lock, so that nobody waits without knowing why."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bot.signals import Level, Observe, Signal

TOLD_AFTER = 1.0  # seconds of waiting

_LOCKS = Path("/proc/locks")


@contextmanager
def wait_is_told(path: str | Path, observe: Observe) -> Iterator[None]:
    """Tell `waiting_for_lock` if the block takes longer than a moment and others have locks on the file.

    Args:
        path: the file.
        observe: called on another thread.
    """

    def tell() -> None:
        if pids := holders(path):
            observe(Signal("waiting_for_lock", Level.WARNING, fields={"file": str(path), "processes": pids}))

    timer = threading.Timer(TOLD_AFTER, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def in_words(path: str | Path) -> str:
    """Return " by process 7" for whoever has locks on a file or what SQLite keeps beside it; empty if none shows."""
    pids = holders(path)
    return f" by process {', '.join(map(str, pids))}" if pids else ""


def holders(path: str | Path) -> Sequence[int]:
    """Return the ids of other processes that have locks on a file or on what SQLite keeps beside it.

    Linux lists all locks of the machine in one file, by inode; elsewhere nobody is found.
    """
    inodes = set()
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(OSError):
            inodes.add(Path(f"{path}{suffix}").stat().st_ino)
    found = set()
    with suppress(OSError, ValueError, IndexError):
        for line in _LOCKS.read_text().splitlines():
            _, *blocked, _, _, _, pid, place, _, _ = line.split()  # "-> " marks one that waits
            if not blocked and int(place.rpartition(":")[2]) in inodes:
                found.add(int(pid))
    return sorted(found - {os.getpid(), -1, 0})
