"""`sandbox --account`: run only the stand-in, as an account for other commands and clients."""

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
"""Salt for the ids of app, keys and switchboard: constant, so that a `.env` stays valid."""

BOT_PORT = Settings.model_fields["port"].default


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """The command's options.

    Attributes:
        host: address of the API and the pages.
        port: port of the API; the pages use the next one. 0 picks free ports.
        untouched: start without any set-up for the bot.
        state: file to keep the account in; None discards it on exit.
    """

    mode: ControlMode
    host: str
    port: int
    untouched: bool
    state: Path | None


def run_account(options: AccountOptions) -> None:
    """Run the account until a signal arrives."""
    configure_logs("console", "WARNING")
    try:
        asyncio.run(_run(options))
    except StateFileError as error:
        refuse([f"--state: {error}"])
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        where = f"{options.host}:{options.port} and the next port"
        hint = "Choose another port; 0 picks free ones"
        refuse([f"--host, --port: can't listen on {where}: {why}. {hint}"])


async def _run(options: AccountOptions) -> None:
    stopped = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    ids = Ids(SALT)
    account = _new_account(options, ids)
    file = StateFile(options.state, account, ids) if options.state else None
    was_restored = file is not None and file.restore()
    ids.salt = int(account.clock.now().timestamp())  # never reuse ids of earlier runs
    pages = Pages(account, None, options.host, options.port and options.port + 1)
    try:
        await account.start()
        await pages.start()
        if file:
            file.write()  # fail before printing anything
        saving = asyncio.create_task(
            file.keep() if file else stopped.wait(),
            name="save the account",
        )
        url = f"http://{address(options.host)}:{pages.port}/"
        for text in _env_lines(account, url, was_restored=was_restored):
            terminal.say(text)
        stop = asyncio.create_task(stopped.wait(), name="wait for a signal")
        await asyncio.wait((saving, stop), return_when=asyncio.FIRST_COMPLETED)
        saving.cancel()
        with suppress(asyncio.CancelledError):
            await saving
    finally:
        await pages.stop()
        await account.stop()


def _new_account(options: AccountOptions, ids: Ids) -> Sandbox:
    account = Sandbox(
        switches=Switches(
            mode="pass" if options.mode is ControlMode.PASS else "release",
            unknown_target="refused",
        ),
        host=options.host,
        port=options.port,
        clock=SystemClock(),
        ids=ids,
        untouched=options.untouched,
    )
    if options.untouched:
        account.forget_bot()
    else:
        account.connect(f"http://127.0.0.1:{BOT_PORT}{WEBHOOK_PATH}")
    return account


def _env_lines(account: Sandbox, pages: str, *, was_restored: bool) -> Iterator[str]:
    """Yield the lines of a `.env`, with all other information in comments."""
    knows_bot = account.integration_key in account.keys.all()
    new = "set up for the bot" if knows_bot else "without any set-up for the bot"
    kind = "restored from the file" if was_restored else new
    yield f"# A stand-in for the platform, as an account {kind}. Stop with Ctrl-C."
    yield f"# Be the end user: {pages}   Be an agent: {pages}agent"
    yield from (f"{name}={value}" for name, value in _env(account, knows_bot=knows_bot).items())


def _env(account: Sandbox, *, knows_bot: bool) -> Mapping[str, str]:
    # A sample flow, so that the bot answers.
    values = {"OPENING_FLOW": "triage", **account.settings_for_bot()}
    values["SUNSHINE_BASE_URL"] = account.base_url.replace(account.host, address(account.host), 1)
    if knows_bot:
        return values
    names = (
        "OPENING_FLOW",
        "SUNSHINE_BASE_URL",
        "SUNSHINE_APP_ID",
        "SUNSHINE_APP_KEY_ID",
        "SUNSHINE_APP_KEY_SECRET",
        "CONTROL_MODE",
    )
    return {name: values[name] for name in names}
