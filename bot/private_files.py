"""Opens files with users' words, readable only by their owner, even if they exist already."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600

_OPEN = os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def open_private(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a file for writing: truncated, or for appending without a buffer.

    Raises:
        OSError: the file can't be written, or belongs to another user, who could read it.
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
    """Create an empty file that only its owner can read, unless it exists. Raises `OSError`."""
    os.close(os.open(path, _OPEN | os.O_RDWR, PRIVATE))


def close_to_others(path: Path) -> None:
    """Revoke the access of group and others to a file, if it exists.

    Raises:
        OSError: the file belongs to another user.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    # Leave terminals, pipes and /dev/null alone.
    if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
        path.chmod(found.st_mode & 0o700)
