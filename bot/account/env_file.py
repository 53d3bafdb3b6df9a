"""Reads and edits the `.env` file. Edits survive crashes; only the owner can read the file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dotenv import dotenv_values, set_key

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
"""Values that need no quotes. Some readers, such as Docker, treat quotes as part of a value."""


class EnvFileError(Exception):
    """The file can't be read or written. The message never contains a value."""


def read_env(path: Path) -> dict[str, str]:
    """Return the non-empty values in the file, by name in capitals.

    Raises:
        EnvFileError: the file exists, but can't be read.
    """
    try:
        values = dotenv_values(path, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileError(f"{path} can't be read: {_reason(error)}") from None
    return {name.upper(): value for name, value in values.items() if value}


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Set values in the file, in their existing lines or in new ones. Keeps everything else.

    The values are durable on return, even after a power cut. Each one replaces the file as a
    whole, and only the owner can read it.

    Raises:
        EnvFileError: the file can't be written, or a value can't be read back unchanged.
    """
    real = Path(os.path.realpath(path))
    try:
        os.close(os.open(real, os.O_RDONLY | os.O_CREAT, 0o600))
        real.chmod(0o600)
        spelt = {name.upper(): name for name in dotenv_values(real, encoding="utf-8")}
        for name, value in values.items():
            quotes = "never" if _PLAIN.fullmatch(value) else "always"
            set_key(real, spelt.get(name, name), value, quote_mode=quotes, encoding="utf-8")
        _make_durable(real)
    except (OSError, UnicodeError) as error:
        raise EnvFileError(f"{path} can't be written: {_reason(error)}") from None
    found = read_env(path)
    if lost := [name for name, value in values.items() if found.get(name, "") != value]:
        raise EnvFileError(f"{path}: {', '.join(lost)} can't be read back unchanged")


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Lock the file's folder against other `setup` processes on this machine.

    Raises:
        EnvFileError: another process holds the lock, or the folder does not exist.
    """
    import fcntl

    folder = path.absolute().parent
    try:
        held = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise EnvFileError(f"{folder}: {_reason(error)}") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise EnvFileError(f"{path}: another set-up is running; wait for it to finish") from None
    finally:
        os.close(held)


def _make_durable(path: Path) -> None:
    for place in (path, path.parent):
        held = os.open(place, os.O_RDONLY)
        try:
            os.fsync(held)
        finally:
            os.close(held)


def _reason(error: OSError | UnicodeError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is not UTF-8"
