"""`backup`: a copy of the database while the bot runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot import terminal
from bot.cli.given import Given
from bot.cli.problems import refuse, refuse_database
from bot.store import StoreError
from bot.store.backup import back_up
from bot.store.url import is_postgres, sqlite_path


def backup(file: Annotated[Path, typer.Argument(help="The copy: a new file.")]) -> None:
    """Copy the SQLite database while the bot runs. For PostgreSQL it says what to do."""
    url = Given().database_url
    if is_postgres(url):
        refuse(["DATABASE_URL names a PostgreSQL database: run pg_dump --format=custom --schema=switchboard_bot"])
    try:
        back_up(sqlite_path(url), file)
    except FileExistsError:
        refuse([f"FILE: {file} is there already; name a new one"])
    except (StoreError, ValueError) as error:
        refuse_database(error)
    except OSError as error:
        refuse([f"FILE: {file} can't be written: {error.strerror}"])
    terminal.say(f"{file} holds the database as it was just now. It holds what people said: keep it safe.")
