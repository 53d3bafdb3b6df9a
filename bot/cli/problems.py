"""How a command says that it can't start: one line a problem on standard error, exit code 2, never a traceback."""

from __future__ import annotations

from typing import NoReturn

import typer

from bot.settings import Settings, SettingsProblem, load_settings

UNUSABLE = 2


def refuse(problems: list[str]) -> NoReturn:
    """Say what is wrong, and end with code 2."""
    for problem in problems:
        typer.echo(problem, err=True)
    raise typer.Exit(UNUSABLE)


def refuse_database(error: Exception) -> NoReturn:
    """Say why the database can't be used, and end with code 2."""
    refuse([f"DATABASE_URL: {str(error).removeprefix('DATABASE_URL').removeprefix(':').strip()}"])


def settings_or_refuse() -> Settings:
    """The settings, or the list of what is wrong with them."""
    try:
        return load_settings()
    except SettingsProblem as error:
        refuse(error.problems)
