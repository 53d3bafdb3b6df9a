"""`serve`, `web`, `worker`: run the bot, or a part of it, until it is told to stop."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
from contextlib import suppress

from bot import terminal
from bot.app import Parts, running
from bot.cli.problems import refuse, refuse_database, settings_or_refuse
from bot.observability import Metrics, both, configure_logs, log_from
from bot.settings import Settings, SettingsProblem, unknown_names
from bot.signals import Level, Observe, Signal
from bot.store import StoreError, migrate

# New objects before each look for garbage, and looks before those at older objects. The event loop stands still
# meanwhile: about 8 ms to free 5,000 objects, 100 ms for 50,000.
_GARBAGE = (5_000, 5, 20)

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h
_LARGE = 128 * 1024  # bytes; what glibc begins with


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
    log, metrics = log_from(settings.log_level.value), Metrics()
    observe = both(log, metrics.on_signal)
    for problem in unknown_names():
        observe(Signal("setting_unknown", Level.WARNING, fields={"problem": problem}))
    try:
        if settings.database_url.startswith("sqlite"):
            migrate(settings.database_url, observe)
        asyncio.run(_until_told(settings, parts, log, metrics))
    except SettingsProblem as error:
        refuse(error.problems)
    except (StoreError, ValueError) as error:
        refuse_database(error)
    except OSError as error:
        refuse([f"HOST, PORT: can't listen on {settings.host}:{settings.port}: {error.strerror}"])


async def _until_told(settings: Settings, parts: Parts, log: Observe, metrics: Metrics) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    async with running(settings, parts, hooks=(log,), metrics=metrics, checks_account=True):
        _look_for_garbage_rarely()
        _give_large_blocks_back()
        await told.wait()
    with suppress(OSError):
        terminal.flush()
    os._exit(0)  # all of the bot has ended in good order; a flow that catches its cancellation would never end


def _look_for_garbage_rarely() -> None:
    """What is dropped is freed at once, mostly; to look for the rest at Python's usual pace costs a third of a turn."""
    gc.collect()
    gc.freeze()  # modules and classes: they stay
    gc.set_threshold(*_GARBAGE)


def _give_large_blocks_back() -> None:
    """Have glibc map each large block by itself, and unmap it when it is freed.

    By default, glibc raises the bound to the largest block that was freed. Bodies of half a megabyte then come from the
    heap and leave holes in it: 8 MB within 15 minutes of a soak. Other C libraries have no such bound.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)
