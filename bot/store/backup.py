"""Back up a SQLite database while the bot runs. The copy is checked, and appears only once it is complete."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from bot.private_files import make_private
from bot.store.interface import StoreError
from bot.store.sqlite.errors import explain
from bot.store.sqlite.schema import revision, uri


def back_up(path: Path, target: Path) -> None:
    """Copy a snapshot of the database, migrated or not, to a new file that only its owner can read.

    Readers and writers go on meanwhile. The copy appears under its name when it is complete, checked and on the disk.

    Raises:
        FileExistsError: there is a file of that name.
        StoreError: the database can't be read or is somebody else's, or the copy can't be written or is damaged.
    """
    if target.exists():
        raise FileExistsError(target)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        make_private(unfinished)
        with closing(sqlite3.connect(uri(path), uri=True)) as source:
            if revision(source) is None:  # any version's is copied: the time for it is before an upgrade
                raise StoreError("the database has no tables yet: there is nothing to copy")
            with closing(sqlite3.connect(unfinished)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, and nothing beside it
                if copy.execute("PRAGMA quick_check").fetchone() != ("ok",):
                    raise StoreError("the copy is damaged: check the database and the disk")
        descriptor = os.open(unfinished, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(unfinished, target)  # fails where somebody else was first
    except sqlite3.Error as error:
        raise explain(error, str(path)) from error
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
