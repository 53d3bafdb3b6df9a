"""Opens files that hold what people said: only their owner can read them, also where they exist already."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600

_OPEN = os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def open_private(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a file for writing: emptied, or at its end and unbuffered.

    Raises:
        OSError: it can't be written, or is another user's, who could read it.
    """
    flags = _OPEN | (os.O_WRONLY | os.O_APPEND if append else os.O_WRONLY | os.O_TRUNC)
    descriptor = os.open(path, flags, PRIVATE)
    try:
        close_to_others(path)
        return os.fdopen(descriptor, "ab", buffering=0) if append else os.fdopen(descriptor, "wb")
    except BaseException:
        os.close(descriptor)
        raise


def make_private(path: Path) -> None:
    """Make an empty file that only its owner can read, unless one is there. Raises `OSError`."""
    os.close(os.open(path, _OPEN | os.O_RDWR, PRIVATE))


def close_to_others(path: Path) -> None:
    """Take the rights of group and others from a file, if it is there. Raises `OSError`: it is somebody else's."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:  # a terminal, a pipe or /dev/null stays as it is
        path.chmod(found.st_mode & 0o700)
