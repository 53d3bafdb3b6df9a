"""`migrate`: migrate the database to this version's schema."""

from __future__ import annotations

from bot import store, terminal
from bot.cli.problems import refuse, refuse_database
from bot.observability import configure_logs, log_from
from bot.settings import usable_settings

_NEEDED = ("env_file", "database_url", "log_format", "log_level")


def migrate() -> None:
    """Migrate the database to this version's schema.

    Safe to run at every start, and by several processes at once.
    """
    settings, problems = usable_settings()
    if wrong := [problems[name] for name in _NEEDED if name in problems]:
        refuse(wrong)
    configure_logs(settings.log_format.value, settings.log_level.value)
    try:
        store.migrate(settings.database_url, log_from(settings.log_level.value))
    except (store.StoreError, ValueError) as error:
        refuse_database(error)
    terminal.say("The database is up to date.")
