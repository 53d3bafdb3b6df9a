"""`tape record`, `export`, `scrub`: make tapes live, from the inbox, without personal data."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, get_args

import typer

from bot import terminal
from bot.cli.partial_settings import PartialSettings
from bot.cli.problems import print_signal, refuse, refuse_database, refuse_password
from bot.replay.export import deliveries_of
from bot.replay.listener import listen
from bot.replay.scrub import Scrubber
from bot.store import StoreError
from bot.store.export import Selection, State, stored_events
from bot.tape import TapeError, read_tape, write_tape
from webhooks.fields import moment

app = typer.Typer(
    help="Make tapes: recordings of webhook deliveries.",
    no_args_is_help=True,
    add_completion=False,
)


class Status(StrEnum):
    """The processing status of an event."""

    PENDING = "pending"
    HANDLED = "handled"
    SET_ASIDE = "set_aside"


@app.command("record")
def record(
    tape: Annotated[Path, typer.Argument(help="The tape to append to.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8081,
    forward: Annotated[
        str,
        typer.Option(help="Forward deliveries to this URL, and record those it accepts."),
    ] = "",
) -> None:
    """Listen for deliveries and record them. Stop with Ctrl-C or SIGTERM.

    Without --forward, each delivery is answered 200. If SUNSHINE_WEBHOOK_SECRET is set, only
    deliveries with that secret are accepted.
    """
    secrets = PartialSettings().webhook_secrets

    async def run() -> None:
        async with listen(tape, host, port, forward=forward, secrets=secrets, observe=print_signal) as found:
            terminal.say(f"recording deliveries to http://{host}:{found} on {tape}", err=True)
            stopped = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
            await stopped.wait()

    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(run())
    except TapeError as error:
        refuse([str(error)])
    except OSError as error:
        refuse([f"--host, --port: can't listen on {host}:{port}: {error.strerror}"])


@app.command("export")
def export(
    tape: Annotated[Path, typer.Argument(help="The tape to write.")],
    database_url: Annotated[
        str,
        typer.Option(help="The database (default: DATABASE_URL)."),
    ] = "",
    conversation: Annotated[
        list[str] | None,
        typer.Option(help="Only this conversation (may be repeated)."),
    ] = None,
    since: Annotated[
        str,
        typer.Option(help="Only events received at or after this time (ISO, UTC)."),
    ] = "",
    until: Annotated[
        str,
        typer.Option(help="Only events received before this time (ISO, UTC)."),
    ] = "",
    state: Annotated[Status | None, typer.Option(help="Only events with this status.")] = None,
) -> None:
    """Write a tape from the inbox of a database. The bot may be running."""
    refuse_password("--database-url", database_url, "DATABASE_URL")
    settings = PartialSettings()
    status = next((name for name in get_args(State) if state and name == state.value), None)
    selection = Selection(
        conversation or (),
        _time("--since", since),
        _time("--until", until),
        status,
    )
    try:
        events = stored_events(database_url or settings.database_url, selection)
        count = write_tape(tape, deliveries_of(events, settings.sunshine_app_id))
    except (StoreError, ValueError) as error:
        refuse_database(error)
    except OSError as error:
        refuse([f"{tape} can't be written: {error.strerror}"])
    terminal.say(f"{count} deliveries on {tape}")


@app.command("scrub")
def scrub(
    tape: Annotated[Path, typer.Argument(help="The tape to read.")],
    to: Annotated[Path, typer.Argument(help="The tape to write.")],
) -> None:
    """Write a copy of a tape without personal data.

    Keeps times, types, reasons, and the active integrations: those with standard names, and
    SUNSHINE_SWITCHBOARD_INTEGRATION. Replaces everything else, including unknown keys, with
    placeholders. Set SCRUB_SECRET to get the same placeholders on several tapes.
    """
    settings = PartialSettings()
    role = settings.sunshine_switchboard_integration
    if to.exists() and to.samefile(tape):
        refuse([f"{to} is the input tape: name another file"])
    try:
        scrubber = Scrubber(settings.scrub_secret.encode() or None, [role] if role else ())
        count = write_tape(to, scrubber.scrub(read_tape(tape)))
    except TapeError as error:
        refuse([str(error)])
    except OSError as error:
        refuse([f"{to} can't be written: {error.strerror}"])
    terminal.say(f"{count} deliveries on {to}")


def _time(option: str, value: str) -> datetime | None:
    if not value:
        return None
    found = moment(value if len(value) > 10 else f"{value}T00:00:00")
    if found is None:
        refuse([f"{option}: {value!r} is not a time like 2026-01-05T09:00:00"])
    return found
