"""The files of a SQLite database, readable by their owner alone: they hold what people said.

SQLite gives its log and its index of the log the rights that the database has, so that those of new databases need no
care. Older versions left them readable by everybody.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from bot.private_files import close_to_others

SUFFIXES = ("", "-wal", "-shm", "-journal")

_log = structlog.get_logger(__name__)


def close_files(path: Path) -> None:
    """Take the rights of group and others from the files that are there; tell where only their owner could."""
    for suffix in SUFFIXES:
        file = Path(f"{path}{suffix}")
        try:
            close_to_others(file)
        except OSError:
            _log.warning("readable_by_others", file=str(file))
