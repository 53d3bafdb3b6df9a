"""Logs: structured, with stable event names (`bot.observability.names`), and never a word of a user or a secret."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from bot.rarely import Told, worth_telling
from bot.signals import Level, Observe, Signal
from bot.terminal import printable

T = TypeVar("T")


def configure_logs(log_format: str, level: str) -> None:
    """Set up structured logs on standard error, JSON or coloured text; other libraries' warnings come along."""
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
    """Of another library's exception only the type and the place: what it says may quote a header or a user."""
    error = event.pop("exc_info", None)
    error = error[1] if isinstance(error, tuple) else error
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        event["at"] = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    return event


def _harmless(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Keep values from steering the terminal and from forging lines; JSON escapes them by itself."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def log_signal(signal: Signal) -> None:
    """Write a signal to the log."""
    fields = dict(signal.fields)
    if signal.conversation_id:
        fields["conversation_id"] = signal.conversation_id
    getattr(structlog.get_logger(), signal.level.value)(signal.event, **fields)


def log_from(level: str) -> Observe:
    """`log_signal` for signals of that level and above: most turns have none, and are spared making a log line."""
    lowest = logging.getLevelNamesMapping()[level]
    told = {known for known in Level if logging.getLevelNamesMapping()[known.upper()] >= lowest}
    return lambda signal: log_signal(signal) if signal.level in told else None


def tell_loop_errors(observe: Observe) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """An exception handler for the event loop, which hears of what nobody awaits: what a flow has left behind, mostly.

    Only type and place are told: what an exception says, and what a callback was called with, may quote the user. The
    same problem is told the 1st, 2nd, 4th, 8th, … time.
    """
    told = Told()

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        frames = traceback.extract_tb(error.__traceback__) if error else []
        fields: dict[str, object] = {
            "problem": str(context.get("message")).partition("(")[0],
            "error": type(error).__name__ if error else "",
            "place": f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "",
        }
        if times := worth_telling(told, tuple(fields.values())):
            observe(Signal("task_failed", Level.ERROR, fields={**fields, "times": times}))

    return handle


def both(*hooks: Callable[[T], None]) -> Callable[[T], None]:
    """Several hooks as one. A log that can't be written stops no work."""

    def observe(told: T) -> None:
        for hook in hooks:
            with suppress(Exception):
                hook(told)

    return observe
