"""The `.env` file: reads it, and changes some of its lines. No crash loses any of it, and nobody else can read it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dotenv import dotenv_values, set_key

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
"""What needs no quotes: other readers of such files (Docker's, for one) take quotes for a part of the value."""


class EnvFileError(Exception):
    """The file can't be read or written; the text says which, and why. It never holds a value."""


def read_env(path: Path) -> dict[str, str]:
    """The values that are set in the file, by their names in capitals, as the settings read them.

    Raises:
        EnvFileError: it is there, and can't be read.
    """
    try:
        values = dotenv_values(path, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileError(f"{path}: it can't be read: {_reason(error)}") from None
    return {name.upper(): value for name, value in values.items() if value}


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Set these values, each in the line where it is set already or else in a new one; keep everything else.

    Each value is there on return, also after a power cut. The file is replaced as a whole for each, and only its owner
    can read it.

    Raises:
        EnvFileError: it can't be written, or a value has no form that is read back the same.
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
        raise EnvFileError(f"{path}: it can't be written: {_reason(error)}") from None
    found = read_env(path)
    if lost := [name for name, value in values.items() if found.get(name, "") != value]:
        raise EnvFileError(f"{path}: {', '.join(lost)} can't be written so that it is read back the same")


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Keep other processes of this machine out, as long as they ask for the same file's folder.

    Raises:
        EnvFileError: another one is at it, or there is no such folder.
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
        raise EnvFileError(f"{path}: another process sets this up at the moment; wait until it has ended") from None
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
