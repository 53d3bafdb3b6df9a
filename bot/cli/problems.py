"""Report why a command can't start: one line per problem on stderr, then exit code 2."""

from __future__ import annotations

from datetime import timedelta
from typing import NoReturn
from urllib.parse import urlsplit

import typer
from pydantic import TypeAdapter, ValidationError

from bot import terminal
from bot.settings import Duration, Settings, SettingsError, load_settings
from bot.signals import Signal

EXIT_UNUSABLE = 2

_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


def refuse(problems: list[str]) -> NoReturn:
    """Print the problems and exit with code 2."""
    for problem in problems:
        terminal.say(problem, err=True)
    raise typer.Exit(EXIT_UNUSABLE)


def print_signal(signal: Signal) -> None:
    """Print a signal on standard error, apart from the command's own output."""
    details = ", ".join(f"{name} {value}" for name, value in signal.fields.items())
    terminal.say(f"{signal.event}: {details}", err=True)


def refuse_password(option: str, url: str, setting: str) -> None:
    """Exit with code 2 if a URL option has a password, which other local users could see."""
    try:
        has_password = bool(urlsplit(url).password)
    except ValueError:  # reported where the URL is used
        return
    if has_password:
        reason = "a password in an option is visible in the process list"
        refuse([f"{option}: {reason}: set {setting} instead"])


def refuse_database(error: Exception) -> NoReturn:
    """Print why the database can't be used, and exit with code 2."""
    reason = str(error).removeprefix("DATABASE_URL").removeprefix(":").strip()
    refuse([f"DATABASE_URL: {reason}"])


def duration_or_refuse(option: str, value: str) -> timedelta:
    """Parse a duration option; exit with code 2 if it is invalid."""
    try:
        return _DURATION.validate_python(value)
    except ValidationError:
        refuse([f"{option}: give a duration like 90s, 15m or 1h"])


def settings_or_refuse() -> Settings:
    """Load the settings; exit with code 2 if they are invalid."""
    try:
        return load_settings()
    except SettingsError as error:
        refuse(error.problems)
