"""Structured logs with stable event names (`names.py`), without secrets or users' words."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from bot.log_sampling import Occurrences, count_to_log
from bot.signals import Level, Observe, Signal
from bot.terminal import printable

T = TypeVar("T")


def configure_logs(log_format: str, level: str) -> None:
    """Set up logs on standard error, as JSON or coloured text, with libraries' warnings."""
    number = logging.getLevelNamesMapping()[level]
    render: list[structlog.types.Processor] = [structlog.processors.JSONRenderer()]
    if log_format == "console":
        render = [_harmless, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    foreign = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _without_words],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(foreign)
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _without_words(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Reduce a library's exception to its type and place: its message may quote a user."""
    error = event.pop("exc_info", None)
    error = error[1] if isinstance(error, tuple) else error
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        event["at"] = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    return event


def _harmless(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Escape control characters in values. JSON output does so by itself."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def log_signal(signal: Signal) -> None:
    """Write a signal to the log."""
    fields = dict(signal.fields)
    if signal.conversation_id:
        fields["conversation_id"] = signal.conversation_id
    getattr(structlog.get_logger(), signal.level.value)(signal.event, **fields)


def log_from(level: str) -> Observe:
    """Return `log_signal` restricted to a level and above, to skip rendering other lines."""
    numbers = logging.getLevelNamesMapping()
    logged = {known for known in Level if numbers[known.upper()] >= numbers[level]}
    return lambda signal: log_signal(signal) if signal.level in logged else None


def loop_error_handler(
    observe: Observe,
) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return an exception handler for the event loop: it reports failures of orphaned tasks.

    Reports only type and place: messages and arguments may quote the user. Reports the same
    problem the 1st, 2nd, 4th, 8th, … time.
    """
    told = Occurrences()

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        frames = traceback.extract_tb(error.__traceback__) if error else []
        fields: dict[str, object] = {
            "problem": str(context.get("message")).partition("(")[0],
            "error": type(error).__name__ if error else "",
            "place": f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "",
        }
        if times := count_to_log(told, tuple(fields.values())):
            observe(Signal("task_failed", Level.ERROR, fields={**fields, "times": times}))

    return handle


def both(*hooks: Callable[[T], None]) -> Callable[[T], None]:
    """Combine hooks into one. A failing hook does not affect the others or the caller."""

    def observe(told: T) -> None:
        for hook in hooks:
            with suppress(Exception):
                hook(told)

    return observe
