"""Checks of the numbers, durations and error types passed to a flow's steps."""

from __future__ import annotations

import re
from datetime import timedelta

from bot.flows.authoring import FlowMisuse

Errors = type[BaseException] | tuple[type[BaseException], ...]

SIGNAL_NAME = re.compile(r"[a-z](_?[a-z0-9]){0,63}")
"""Pattern for names of signals and log events: short, in snake_case."""

WAIT_LIMIT = timedelta(days=7)  # the bot holds control while a flow waits
REMINDER_LIMIT = timedelta(days=30)
NO_TIME = timedelta(0)
LARGEST_DATA = 4096  # bytes of JSON passed with a signal or to a new flow


def check_attempts(attempts: object) -> None:
    """Raise `FlowMisuse` unless this is a positive whole number."""
    if not isinstance(attempts, int) or attempts < 1:
        raise FlowMisuse("attempts must be a whole number, at least 1")


def check_errors(what: str, given: object) -> None:
    """Raise `FlowMisuse` unless this is an exception type, or a tuple of them."""
    kinds = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise FlowMisuse(f"{what} must be an exception type, or a tuple of them")


def check_time(
    what: str,
    duration: object,
    limit: timedelta,
    *,
    above: timedelta = timedelta.min,
    least: timedelta = timedelta.min,
) -> None:
    """Raise `FlowMisuse` unless this is a duration within the limits."""
    if not isinstance(duration, timedelta):
        raise FlowMisuse(f"{what} must be a timedelta, not {type(duration).__name__}")
    if duration > limit or duration <= above or duration < least:
        raise FlowMisuse(f"{what} must be {_range(limit, above, least)}")


def _range(limit: timedelta, above: timedelta, least: timedelta) -> str:
    if above >= NO_TIME:
        return f"positive and at most {limit}"
    return f"at least {least} and at most {limit}" if least >= NO_TIME else f"at most {limit}"


def no_more_than_a_week(what: str, duration: object) -> None:
    """Raise `FlowMisuse` unless this is a positive duration of at most `WAIT_LIMIT`."""
    check_time(what, duration, WAIT_LIMIT, above=NO_TIME)
