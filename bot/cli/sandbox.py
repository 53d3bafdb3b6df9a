"""`sandbox`: run a stand-in for the platform and the bot, with pages for end user and agent."""

from __future__ import annotations

import asyncio
import os
import pdb  # noqa: T100 - for breakpoints in flows
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
from bot.cli.sandbox_account import SALT, AccountOptions, run_account
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
from bot.settings import ControlMode, SettingsError
from bot.store import StoreError, migrate

RETRY_TIME_SCALE = 0.02  # the platform's 15 minutes of webhook retries take 18 seconds
SHUTDOWN_TIMEOUT = 1.5  # seconds
TOUR = "bot.sandbox.tour_flows"


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options."""

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
    mode: Annotated[
        ControlMode,
        typer.Option(help="The initial Conversation control setting."),
    ] = ControlMode.PASS,
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port of the pages; 0 picks a free one."),
    ] = 8090,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    anyone: Annotated[
        bool,
        typer.Option("--anyone", help="Allow a --host reachable by others. Pages need no sign-in."),
    ] = False,
    database: Annotated[
        str,
        typer.Option(help="File or URL of the bot's database (default: a temporary one)."),
    ] = "",
    flows: Annotated[
        str,
        typer.Option(help="Modules with your flows, instead of the tea shop's."),
    ] = "",
    opening_flow: Annotated[str, typer.Option(help="Name of the opening flow.")] = "",
    closing_flow: Annotated[
        str,
        typer.Option(help="Name of the closing flow (default: none)."),
    ] = "",
    open_: Annotated[
        bool,
        typer.Option("--open", help="Open the chat page in the browser."),
    ] = False,
    account: Annotated[
        bool,
        typer.Option(
            "--account",
            help="Run only the platform, as an account for setup, doctor and serve; print a .env.",
        ),
    ] = False,
    untouched: Annotated[
        bool,
        typer.Option("--untouched", help="With --account: start without any set-up for the bot."),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Keep conversations in this file across restarts, the bot's database next to it, and the same ports."
        ),
    ] = None,
) -> None:
    """Be the end user and the agent of a bot on this machine. Stop with Ctrl-C.

    With --account, the API listens on --port and the pages on the next port. The keys are the
    same at each start.
    """
    if not anyone and not is_loopback(host):
        refuse([f"--host: other machines can reach {host}; add --anyone to allow this"])
    refuse_password("--database", database, "PGPASSWORD")
    if account:
        names = ("--database", "--flows", "--opening-flow", "--closing-flow", "--open")
        values = (database, flows, opening_flow, closing_flow, open_)
        if given := [name for name, value in zip(names, values, strict=True) if value]:
            refuse([f"{', '.join(given)}: not allowed with --account, which runs no bot"])
        run_account(AccountOptions(mode, host, port, untouched, state))
        return
    if untouched:
        refuse(["--untouched: requires --account"])
    configure_logs("console", "WARNING")
    if not flows:
        flows = TOUR
        opening_flow, closing_flow = opening_flow or "tour", closing_flow or "farewell"
    options = Options(
        mode,
        host,
        port,
        database,
        flows,
        opening_flow,
        closing_flow,
        open_,
        state,
    )
    try:
        asyncio.run(_run_until_signal(options))
    except StateFileError as error:
        refuse([f"--state: {error}"])
    except SettingsError as error:
        refuse([_as_option(problem) for problem in error.problems])
    except (StoreError, ValueError) as error:
        refuse_database(error)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        where = f"{host}:{port}{' and the next two ports' if state and port else ''}"
        hint = "Choose another port; 0 picks a free one"
        refuse([f"--host, --port: can't listen on {where}: {why}. {hint}"])


async def _run_until_signal(options: Options) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        await _run(options, Path(folder), stopped)
    with suppress(OSError):
        terminal.flush()
    os._exit(0)  # as in `serve`: a flow that swallows its cancellation would never end


async def _run(options: Options, folder: Path, stopped: asyncio.Event) -> None:
    clock = SystemClock()
    switches = Switches(mode="pass" if options.mode is ControlMode.PASS else "release")
    ids = Ids(SALT if options.state else int(clock.now().timestamp()))
    is_fixed = options.state and options.port
    bot_port, api_port = (options.port + 1, options.port + 2) if is_fixed else (0, 0)
    platform = Sandbox(
        switches=switches,
        time_scale=RETRY_TIME_SCALE,
        clock=clock,
        ids=ids,
        port=api_port,
    )
    # Restore the platform before it starts, so that it serves the stored conversations.
    state_file = _restored_state(options, platform, ids)
    await platform.start()
    token = secrets.token_urlsafe(12)
    settings = settings_beside(
        platform,
        database_url=_database_url(options, folder),
        host=options.host,
        port=bot_port,
        flows=options.flows,
        opening_flow=options.opening_flow,
        closing_flow=options.closing_flow,
        console_token=token,
        release_grace="5s",
        closing_timeout="2m",
        flow_mismatch="restart",  # authors want to see the new code
    )
    migrate(settings.database_url)
    bot = SandboxBot(
        platform,
        settings,
        clock,
        lambda: pages.changed(),
        signs_in=is_loopback(options.host),
    )
    pages = Pages(platform, bot, options.host, options.port)
    await pages.start()
    if options.flows != TOUR:
        sys.dont_write_bytecode = True  # else two saves within a second look the same
        if "PYTHONBREAKPOINT" not in os.environ:
            sys.breakpointhook = _breakpoint
    await bot.start()
    url = f"http://{address(options.host)}:{pages.port}/"
    _print_urls(url, bot.console_url, token)
    if options.opens_browser:
        webbrowser.open(url)
    saving = asyncio.create_task(
        state_file.keep() if state_file else stopped.wait(),
        name="save the platform",
    )
    reloading = asyncio.create_task(Reloader(bot, settings).run(), name="reload flows")
    stop = asyncio.create_task(stopped.wait(), name="wait for a signal")
    await asyncio.wait((saving, stop), return_when=asyncio.FIRST_COMPLETED)
    # Stop in this order: nobody acts any more, then the bot, then the platform it calls.
    reloading.cancel()
    with suppress(TimeoutError):
        async with asyncio.timeout(SHUTDOWN_TIMEOUT):
            await pages.stop()
            await bot.stop()
            await platform.stop()
    # Save last, so that the file has the final state.
    if not saving.done():
        saving.cancel()
    with suppress(asyncio.CancelledError):
        await saving


def _restored_state(options: Options, platform: Sandbox, ids: Ids) -> StateFile | None:
    """Restore the platform from the state file, if there is one, and return the file."""
    if options.state is None:
        return None
    file = StateFile(options.state, platform, ids)
    file.restore()
    ids.salt = int(platform.clock.now().timestamp())  # never reuse ids of earlier runs
    file.write()  # fail before printing anything
    return file


def _breakpoint() -> None:
    """Enter the debugger, without letting pdb take over Ctrl-C for good."""
    pdb.Pdb(nosigint=True).set_trace(sys._getframe(1))  # noqa: SLF001 - as `breakpoint` does


def _print_urls(url: str, console_url: str, token: str) -> None:
    terminal.say(
        ("switchboard-bot sandbox", "bold"),
        ": a stand-in for the platform and the bot, on this machine",
    )
    terminal.say()
    terminal.say(f"  be the end user   {url}")
    terminal.say(f"  be the agent      {url}agent")
    terminal.say(f"  be the operator   {console_url}   ", (f"token: {token}", "dim"))
    terminal.say()
    terminal.say("Stop with Ctrl-C.")


def _database_url(options: Options, folder: Path) -> str:
    given = options.database
    if given:
        return given if "://" in given else f"sqlite:///{given}"
    return f"sqlite:///{options.state}.db" if options.state else f"sqlite:///{folder}/sandbox.db"


_OPTION_OF = {
    "FLOWS": "--flows",
    "OPENING_FLOW": "--opening-flow",
    "CLOSING_FLOW": "--closing-flow",
}


def _as_option(problem: str) -> str:
    """Rewrite a problem with a setting to name its option."""
    name, colon, rest = problem.partition(":")
    return f"{_OPTION_OF.get(name, name)}{colon}{rest}"
