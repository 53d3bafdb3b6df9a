"""`sandbox`: a stand-in of the platform and the bot, left running, with pages to be the end user and the agent in."""

from __future__ import annotations

import asyncio
import os
import pdb  # noqa: T100 - for the breakpoints of others
import secrets
import signal
import sys
import tempfile
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bot import terminal
from bot.cli.problems import refuse, refuse_database, refuse_password
from bot.cli.sandbox_account import SALT, WantedAccount, run_account
from bot.cli.sandbox_bot import SandboxBot, address, settings_beside
from bot.cli.sandbox_reload import Reloader
from bot.clock import SystemClock
from bot.loopback import is_loopback
from bot.observability import configure_logs
from bot.sandbox.pages import Pages
from bot.sandbox.records import Ids
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.state_file import StateFile, StateFileError
from bot.sandbox.switches import Switches
from bot.settings import ControlMode, SettingsProblem
from bot.store import StoreError, migrate

RETRIES = 0.02  # webhook attempts: fifteen minutes of the platform become eighteen seconds
ENDS_WITHIN = 1.5  # seconds
TOUR = "bot.sandbox.tour_flows"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of the command."""

    mode: ControlMode
    host: str
    port: int
    database: str
    flows: str
    opening_flow: str
    closing_flow: str
    opens_browser: bool
    state: Path | None


def sandbox(
    mode: Annotated[ControlMode, typer.Option(help="Conversation control, to begin with.")] = ControlMode.PASS,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the pages; 0 for any free one.")] = 8090,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    anyone: Annotated[
        bool, typer.Option("--anyone", help="Allow a --host that other machines reach: nobody signs in to the pages.")
    ] = False,
    database: Annotated[
        str, typer.Option(help="A file or URL for the bot's database; a temporary one otherwise.")
    ] = "",
    flows: Annotated[str, typer.Option(help="Modules with flows of your own, in place of the tea shop's.")] = "",
    opening_flow: Annotated[str, typer.Option(help="Name of the flow that serves users.")] = "",
    closing_flow: Annotated[str, typer.Option(help="Name of the flow that closes; none without it.")] = "",
    open_: Annotated[bool, typer.Option("--open", help="Open the chat page in the browser.")] = False,
    account: Annotated[
        bool,
        typer.Option("--account", help="Only the platform, as an account for setup, doctor, serve: prints a .env."),
    ] = False,
    untouched: Annotated[
        bool, typer.Option("--untouched", help="With --account: one that has never seen the bot.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Keep conversations in this file, the bot's database beside it, and the ports, over a restart."
        ),
    ] = None,
) -> None:
    """Be the end user and the agent of a bot on this machine, and watch who has control. Until Ctrl-C.

    With --account, the API listens on --port and the pages on the next one; the keys are the same at each start.
    """
    if not anyone and not is_loopback(host):
        refuse([f"--host: {host} can be reached from other machines; add --anyone if that is what you want"])
    refuse_password("--database", database, "PGPASSWORD")
    if account:
        names = ("--database", "--flows", "--opening-flow", "--closing-flow", "--open")
        values = (database, flows, opening_flow, closing_flow, open_)
        if given := [name for name, value in zip(names, values, strict=True) if value]:
            refuse([f"{', '.join(given)}: --account runs no bot that could use it"])
        run_account(WantedAccount(mode, host, port, untouched, state))
        return
    if untouched:
        refuse(["--untouched: it belongs to --account, which is not given"])
    configure_logs("console", "WARNING")
    if not flows:
        flows, opening_flow, closing_flow = TOUR, opening_flow or "tour", closing_flow or "farewell"
    wanted = Wanted(mode, host, port, database, flows, opening_flow, closing_flow, open_, state)
    try:
        asyncio.run(_until_told(wanted))
    except StateFileError as error:
        refuse([f"--state: {error}"])
    except SettingsProblem as error:
        refuse([_as_option(problem) for problem in error.problems])
    except (StoreError, ValueError) as error:
        refuse_database(error)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        where = f"{host}:{port}{' and the two ports after it' if state and port else ''}"
        refuse([f"--host, --port: can't listen on {where}: {why}. Give another port; 0 takes any free one"])


async def _until_told(wanted: Wanted) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        await _run(wanted, Path(folder), told)
    with suppress(OSError):
        terminal.flush()
    os._exit(0)  # as in `serve`: a flow that catches its cancellation would never end


async def _run(wanted: Wanted, folder: Path, told: asyncio.Event) -> None:
    clock = SystemClock()
    switches = Switches(mode="pass" if wanted.mode is ControlMode.PASS else "release")
    ids = Ids(SALT if wanted.state else int(clock.now().timestamp()))
    bot_port, api_port = (wanted.port + 1, wanted.port + 2) if wanted.state and wanted.port else (0, 0)
    platform = Sandbox(switches=switches, time_scale=RETRIES, clock=clock, ids=ids, port=api_port)
    kept = _kept(wanted, platform, ids)
    await platform.start()
    token = secrets.token_urlsafe(12)
    settings = settings_beside(
        platform,
        database_url=_database_url(wanted, folder),
        host=wanted.host,
        port=bot_port,
        flows=wanted.flows,
        opening_flow=wanted.opening_flow,
        closing_flow=wanted.closing_flow,
        console_token=token,
        release_grace="5s",
        closing_timeout="2m",
        flow_mismatch="restart",  # who writes a flow wants to see the new one
    )
    migrate(settings.database_url)
    bot = SandboxBot(platform, settings, clock, lambda: pages.changed(), signs_in=is_loopback(wanted.host))
    pages = Pages(platform, bot, wanted.host, wanted.port)
    await pages.start()
    if wanted.flows != TOUR:
        sys.dont_write_bytecode = True  # two saves within a second must not look the same
        if "PYTHONBREAKPOINT" not in os.environ:
            sys.breakpointhook = _breakpoint
    await bot.start()
    url = f"http://{address(wanted.host)}:{pages.port}/"
    _tell(url, bot.console_url, token)
    if wanted.opens_browser:
        webbrowser.open(url)
    keeping = asyncio.create_task(kept.keep() if kept else told.wait(), name="keeps the platform")
    reloading = asyncio.create_task(Reloader(bot, settings).run(), name="takes up changed flows")
    stop = asyncio.create_task(told.wait(), name="waits for the end")
    await asyncio.wait((keeping, stop), return_when=asyncio.FIRST_COMPLETED)
    reloading.cancel()
    with suppress(TimeoutError):
        async with asyncio.timeout(ENDS_WITHIN):
            await pages.stop()
            await bot.stop()
            await platform.stop()
    if not keeping.done():
        keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping


def _kept(wanted: Wanted, platform: Sandbox, ids: Ids) -> StateFile | None:
    """The file that keeps the platform, if one is wanted; what it has kept is restored."""
    if wanted.state is None:
        return None
    file = StateFile(wanted.state, platform, ids)
    file.restore()
    ids.salt = int(platform.clock.now().timestamp())  # from here on, ids that no earlier start has given away
    file.write()  # fail before anything is printed
    return file


def _breakpoint() -> None:
    """Stop in the debugger, and leave Ctrl-C to the sandbox, which pdb would take for good."""
    pdb.Pdb(nosigint=True).set_trace(sys._getframe(1))  # noqa: SLF001 - as `breakpoint` does


def _tell(url: str, console_url: str, token: str) -> None:
    terminal.say(("switchboard-bot sandbox", "bold"), ": the platform's stand-in and the bot, on this machine")
    terminal.say()
    terminal.say(f"  be the end user   {url}")
    terminal.say(f"  be the agent      {url}agent")
    terminal.say(f"  be the operator   {console_url}   ", (f"token: {token}", "dim"))
    terminal.say()
    terminal.say("End it with Ctrl-C.")


def _database_url(wanted: Wanted, folder: Path) -> str:
    given = wanted.database
    if not given:
        return f"sqlite:///{wanted.state}.db" if wanted.state else f"sqlite:///{folder}/sandbox.db"
    return given if "://" in given else f"sqlite:///{given}"


def _as_option(problem: str) -> str:
    """A problem of a setting, told of the option that gave it."""
    name, colon, rest = problem.partition(":")
    given = {"FLOWS": "--flows", "OPENING_FLOW": "--opening-flow", "CLOSING_FLOW": "--closing-flow"}
    return f"{given.get(name, name)}{colon}{rest}"
