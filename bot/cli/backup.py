"""`backup`: copy the database while the bot runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot import terminal
from bot.cli.partial_settings import PartialSettings
from bot.cli.problems import refuse, refuse_database
from bot.store import StoreError
from bot.store.backup import back_up
from bot.store.url import is_postgres, sqlite_path


def backup(file: Annotated[Path, typer.Argument(help="The new file to write.")]) -> None:
    """Copy the SQLite database while the bot runs.

    With PostgreSQL, prints the command to use instead.
    """
    url = PartialSettings().database_url
    if is_postgres(url):
        command = "pg_dump --format=custom --schema=switchboard_bot"
        refuse([f"DATABASE_URL names a PostgreSQL database: run {command}"])
    try:
        back_up(sqlite_path(url), file)
    except FileExistsError:
        refuse([f"FILE: {file} already exists; name a new file"])
    except (StoreError, ValueError) as error:
        refuse_database(error)
    except OSError as error:
        refuse([f"FILE: {file} can't be written: {error.strerror}"])
    terminal.say(f"Copied the database to {file}. It contains what people said: keep it safe.")
