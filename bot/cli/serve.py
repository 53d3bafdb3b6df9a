"""`serve`, `web`, `worker`: run the bot, or a part of it, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from contextlib import suppress

from bot.app import Parts, running
from bot.cli.problems import refuse, refuse_database, settings_or_refuse
from bot.observability import configure_logs, log_from
from bot.settings import Settings, SettingsProblem
from bot.store import StoreError, migrate

_GARBAGE = (50_000, 20, 100)  # new objects before each look for garbage, and looks before those at older objects


def serve() -> None:
    """Run the bot: takes webhooks and works on conversations, in one process."""
    _run(Parts(web=True, worker=True))


def web() -> None:
    """Take webhooks only; a worker process works on the conversations."""
    _run(Parts(web=True, worker=False))


def worker() -> None:
    """Work on conversations only; a web process takes the webhooks."""
    _run(Parts(web=False, worker=True))


def _run(parts: Parts) -> None:
    settings = settings_or_refuse()
    configure_logs(settings.log_format.value, settings.log_level.value)
    try:
        if settings.database_url.startswith("sqlite"):
            migrate(settings.database_url)
        asyncio.run(_until_told(settings, parts))
    except SettingsProblem as error:
        refuse(error.problems)
    except (StoreError, ValueError) as error:
        refuse_database(error)
    except OSError as error:
        refuse([f"HOST, PORT: can't listen on {settings.host}:{settings.port}: {error.strerror}"])


async def _until_told(settings: Settings, parts: Parts) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    async with running(settings, parts, hooks=(log_from(settings.log_level.value),)):
        _look_for_garbage_rarely()
        await told.wait()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)  # all of the bot has ended in good order; a flow that catches its cancellation would never end


def _look_for_garbage_rarely() -> None:
    """What is dropped is freed at once, mostly; to look for the rest at Python's usual pace costs a third of a turn."""
    gc.collect()
    gc.freeze()  # modules and classes: they stay
    gc.set_threshold(*_GARBAGE)
