"""`migrate`: bring the database to this version's schema."""

from __future__ import annotations

import typer

from bot import store
from bot.cli.problems import refuse_database, settings_or_refuse


def migrate() -> None:
    """Bring the database to this version's schema. Safe to run at every start, and by several processes at once."""
    settings = settings_or_refuse()
    try:
        store.migrate(settings.database_url)
    except (store.StoreError, ValueError) as error:
        refuse_database(error)
    typer.echo("The database is up to date.")
