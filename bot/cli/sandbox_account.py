"""`sandbox --account`: the platform's stand-in alone, as an account for the other commands and for clients."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bot import terminal
from bot.app import WEBHOOK_PATH
from bot.cli.problems import refuse
from bot.cli.sandbox_bot import address
from bot.clock import SystemClock
from bot.observability import configure_logs
from bot.sandbox.pages import Pages
from bot.sandbox.records import Ids
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.state_file import StateFile, StateFileError
from bot.sandbox.switches import Switches
from bot.settings import ControlMode, Settings

SALT = 0xACC0
"""For the ids of app, keys and switchboard: they are the same at every start, so that a `.env` stays valid."""

BOT_PORT = Settings.model_fields["port"].default


@dataclass(frozen=True, slots=True)
class WantedAccount:
    """The options of the command.

    Attributes:
        host, port: where the API listens; the pages are at the next port. Port 0 takes any free ones.
        untouched: an account that has never seen the bot.
        state: the file to keep it in; None to forget it at the end.
    """

    mode: ControlMode
    host: str
    port: int
    untouched: bool
    state: Path | None


def run_account(wanted: WantedAccount) -> None:
    """Run the account until told to stop."""
    configure_logs("console", "WARNING")
    try:
        asyncio.run(_run(wanted))
    except StateFileError as error:
        refuse([f"--state: {error}"])
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        where = f"{wanted.host}:{wanted.port} and the port after it"
        refuse([f"--host, --port: can't listen on {where}: {why}. Give another port; 0 takes any free ones"])


async def _run(wanted: WantedAccount) -> None:
    told = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, told.set)
    ids = Ids(SALT)
    account = _made(wanted, ids)
    file = StateFile(wanted.state, account, ids) if wanted.state else None
    was_kept = file is not None and file.restore()
    ids.salt = int(account.clock.now().timestamp())  # from here on, ids that no earlier start has given away
    pages = Pages(account, None, wanted.host, wanted.port and wanted.port + 1)
    try:
        await account.start()
        await pages.start()
        if file:
            file.write()  # fail before anything is printed
        kept = asyncio.create_task(file.keep() if file else told.wait(), name="keeps the account")
        for text in _told(account, f"http://{address(wanted.host)}:{pages.port}/", was_kept=was_kept):
            terminal.say(text)
        stop = asyncio.create_task(told.wait(), name="waits for the end")
        await asyncio.wait((kept, stop), return_when=asyncio.FIRST_COMPLETED)
        kept.cancel()
        with suppress(asyncio.CancelledError):
            await kept
    finally:
        await pages.stop()
        await account.stop()


def _made(wanted: WantedAccount, ids: Ids) -> Sandbox:
    account = Sandbox(
        switches=Switches(
            mode="pass" if wanted.mode is ControlMode.PASS else "release",
            unknown_target="refused",
        ),
        host=wanted.host,
        port=wanted.port,
        clock=SystemClock(),
        ids=ids,
        untouched=wanted.untouched,
    )
    if wanted.untouched:
        account.forget_bot()
    else:
        account.connect(f"http://127.0.0.1:{BOT_PORT}{WEBHOOK_PATH}")
    return account


def _told(account: Sandbox, pages: str, *, was_kept: bool) -> Iterator[str]:
    """Yield the lines of a `.env`; everything else is told in its comments."""
    knows_bot = account.integration_key in account.keys.all()
    kind = "kept from before" if was_kept else "set up for the bot" if knows_bot else "that has never seen the bot"
    yield f"# The platform's stand-in, as an account {kind}. End it with Ctrl-C."
    yield f"# Be the end user: {pages}   Be an agent: {pages}agent"
    yield from (f"{name}={value}" for name, value in _env(account, knows_bot=knows_bot).items())


def _env(account: Sandbox, *, knows_bot: bool) -> Mapping[str, str]:
    whole = {"OPENING_FLOW": "triage", **account.settings_for_bot()}  # a sample, so that somebody answers
    whole["SUNSHINE_BASE_URL"] = account.base_url.replace(account.host, address(account.host), 1)
    if knows_bot:
        return whole
    account_only = ("SUNSHINE_BASE_URL", "SUNSHINE_APP_ID", "SUNSHINE_APP_KEY_ID", "SUNSHINE_APP_KEY_SECRET")
    return {name: whole[name] for name in ("OPENING_FLOW", *account_only, "CONTROL_MODE")}
