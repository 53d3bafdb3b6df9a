"""How a command says that it can't start: one line a problem on standard error, exit code 2, never a traceback."""

from __future__ import annotations

from datetime import timedelta
from typing import NoReturn
from urllib.parse import urlsplit

import typer
from pydantic import TypeAdapter, ValidationError

from bot import terminal
from bot.settings import Duration, Settings, SettingsProblem, load_settings
from bot.signals import Signal

UNUSABLE = 2

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


def refuse(problems: list[str]) -> NoReturn:
    """Say what is wrong, and end with code 2."""
    for problem in problems:
        terminal.say(problem, err=True)
    raise typer.Exit(UNUSABLE)


def tell(signal: Signal) -> None:
    """Write what a part of the bot tells to standard error: a command may have output of its own."""
    details = ", ".join(f"{name} {value}" for name, value in signal.fields.items())
    terminal.say(f"{signal.event}: {details}", err=True)


def refuse_password(option: str, url: str, setting: str) -> None:
    """End with code 2 if an option's URL has a password: other users of this machine would see it."""
    try:
        shows = bool(urlsplit(url).password)
    except ValueError:  # told by whoever reads it
        return
    if shows:
        refuse([f"{option}: a password in an option shows in the list of processes: set {setting} instead"])


def refuse_database(error: Exception) -> NoReturn:
    """Say why the database can't be used, and end with code 2."""
    refuse([f"DATABASE_URL: {str(error).removeprefix('DATABASE_URL').removeprefix(':').strip()}"])


def duration_or_refuse(option: str, value: str) -> timedelta:
    """An option's duration, or what is wrong with it."""
    try:
        return _DURATION.validate_python(value)
    except ValidationError:
        refuse([f"{option}: give a duration like 90s, 15m or 1h"])


def settings_or_refuse() -> Settings:
    """The settings, or the list of what is wrong with them."""
    try:
        return load_settings()
    except SettingsProblem as error:
        refuse(error.problems)
