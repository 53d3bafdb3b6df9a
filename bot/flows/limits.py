"""Checks of the numbers, durations and error types that a flow gives to its steps."""

from __future__ import annotations

import re
from datetime import timedelta

from bot.flows.authoring import FlowMisuse

Errors = type[BaseException] | tuple[type[BaseException], ...]

SIGNAL_NAME = re.compile(r"[a-z](_?[a-z0-9]){0,63}")
"""Of a signal, and of a line in the log: short, in snake_case."""

WAIT_LIMIT = timedelta(days=7)  # the bot holds control as long as a flow waits
REMINDER_LIMIT = timedelta(days=30)
NO_TIME = timedelta(0)
LARGEST_DATA = 4096  # bytes of what a signal, or a flow that begins, is given, as JSON


def check_attempts(attempts: object) -> None:
    """Raise `FlowMisuse` for what is no number of attempts."""
    if not isinstance(attempts, int) or attempts < 1:
        raise FlowMisuse("attempts is a whole number, and at least 1")


def check_errors(what: str, given: object) -> None:
    """Raise `FlowMisuse` for what is no type of an exception, and no tuple of them."""
    kinds = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise FlowMisuse(f"{what} is an exception's type, or a tuple of them")


def check_time(
    what: str,
    duration: object,
    limit: timedelta,
    *,
    above: timedelta = timedelta.min,
    least: timedelta = timedelta.min,
) -> None:
    """Raise `FlowMisuse` for what is no duration, or one that is too long or too short."""
    if not isinstance(duration, timedelta):
        raise FlowMisuse(f"{what} is a timedelta, and not {type(duration).__name__}")
    if duration > limit or duration <= above or duration < least:
        raise FlowMisuse(f"{what} is too long or too short: at most {limit}")


def no_more_than_a_week(what: str, duration: object) -> None:
    """Raise `FlowMisuse` for a duration that is not above zero, or longer than a flow may wait."""
    check_time(what, duration, WAIT_LIMIT, above=NO_TIME)
