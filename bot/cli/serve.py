"""`serve`, `web`, `worker`: run the bot, or a part of it, until a signal arrives."""

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
from bot.settings import Settings, SettingsError, unknown_names
from bot.signals import Level, Observe, Signal
from bot.store import StoreError, migrate

# Thresholds of the three garbage collector generations. A collection stops the event loop:
# about 8 ms to free 5,000 objects, 100 ms for 50,000.
_GC_THRESHOLDS = (5_000, 5, 20)

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h
_MMAP_BYTES = 128 * 1024  # the default of glibc


def serve() -> None:
    """Run the bot: web server and worker in one process."""
    _run(Parts(web=True, worker=True))


def web() -> None:
    """Receive webhooks only; run workers in other processes."""
    _run(Parts(web=True, worker=False))


def worker() -> None:
    """Process conversations only; run a web process for webhooks."""
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
        asyncio.run(_run_until_signal(settings, parts, log, metrics))
    except SettingsError as error:
        refuse(error.problems)
    except (StoreError, ValueError) as error:
        refuse_database(error)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        refuse([f"HOST, PORT: can't listen on {where}: {error.strerror}"])


async def _run_until_signal(
    settings: Settings,
    parts: Parts,
    log: Observe,
    metrics: Metrics,
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    async with running(settings, parts, hooks=(log,), metrics=metrics, checks_account=True):
        _collect_garbage_less_often()
        _unmap_large_blocks()
        await stopped.wait()
    with suppress(OSError):
        terminal.flush()
    # The bot has shut down cleanly. A flow that swallows its cancellation would never end.
    os._exit(0)


def _collect_garbage_less_often() -> None:
    """Run the garbage collector less often: by default it takes a third of a turn.

    Reference counting frees most objects at once.
    """
    gc.collect()
    gc.freeze()  # exempt modules and classes, which stay
    gc.set_threshold(*_GC_THRESHOLDS)


def _unmap_large_blocks() -> None:
    """Make glibc map each large block separately, and unmap it when it is freed.

    By default, glibc raises the threshold to the largest freed block. Bodies of half a
    megabyte then come from the heap and fragment it: 8 MB within 15 minutes of a soak test.
    Other C libraries have no such threshold.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)
