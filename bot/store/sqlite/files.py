"""Makes the files of a SQLite database readable by their owner only: they hold what people said.

SQLite gives its log and its index of the log the rights that the database has, so that those of new databases need no
care. Older versions left them readable by everybody.
"""

from __future__ import annotations

from pathlib import Path

from bot.private_files import close_to_others
from bot.signals import Level, Observe, Signal

SUFFIXES = ("", "-wal", "-shm", "-journal")


def close_files(path: Path, observe: Observe) -> None:
    """Take the rights of group and others from the files that are there; tell where only their owner could."""
    for suffix in SUFFIXES:
        file = Path(f"{path}{suffix}")
        try:
            close_to_others(file)
        except OSError:
            observe(Signal("readable_by_others", Level.WARNING, fields={"file": str(file)}))
