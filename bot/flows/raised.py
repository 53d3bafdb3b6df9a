"""Describes an exception raised by a flow: its place and type; its text only on demand."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType

from bot.signals import Level, Signal

_RUNNERS = (  # frames that call every flow
    "bot/engine/flow_task.py",
    "bot/engine/flow_runner.py",
    "bot/flows/authoring.py",
)
_LOOP = "asyncio/events.py"  # the frame that calls everything on an event loop

LONGEST_CHAIN = 10
"""Maximum number of causes, and of calls per error, in a report."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception that ended a flow.

    Attributes:
        flow: the flow's name.
        conversation_id: the platform's id.
        run_id: the run that it ended.
        error: the exception. Its text may quote the user.
        version: the flow's version.
    """

    flow: str
    conversation_id: str
    run_id: int
    error: BaseException
    version: int = 1

    @property
    def calls(self) -> list[str]:
        """The call stack, newest last: `orders.py:12 in price`. Contains no values."""
        return _calls(self.error.__traceback__)

    @property
    def causes(self) -> list[str]:
        """Its causes, nearest first: `KeyError at orders.py:30 in find`."""
        _, *causes = _chain(self.error)
        return [" at ".join([type(cause).__name__, *_calls(cause.__traceback__)[-1:]]) for cause in causes]

    @property
    def whole(self) -> str:
        """The full traceback, with causes and messages."""
        return "".join(traceback.format_exception(self.error))


def told_of(raised: Raised, *, is_full: bool) -> Signal:
    """Build the signal: types and places; messages only if `is_full`."""
    fields: dict[str, object] = {
        "flow": raised.flow,
        "version": raised.version,
        "run": raised.run_id,
        "error": type(raised.error).__name__,
        "calls": raised.calls,
    }
    if raised.causes:
        fields["causes"] = raised.causes
    if is_full:
        fields["exception"] = raised.whole
    return Signal("flow_raised", Level.WARNING, raised.conversation_id, fields)


def error_in_words(error: BaseException, *, is_full: bool) -> str:
    """An error's type and place; its message, which may hold secrets, only if `is_full`."""
    place = "".join(f" at {call}" for call in _calls(error.__traceback__)[-1:])
    return f"{type(error).__name__}{f': {error}' if is_full else ''}{place}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    known: BaseException | None = error
    for _ in range(LONGEST_CHAIN):
        if known is None:
            return
        yield known
        known = known.__cause__ or (None if known.__suppress_context__ else known.__context__)


def _calls(began: TracebackType | None) -> list[str]:
    frames = [frame for frame in traceback.extract_tb(began) if not frame.filename.endswith(_RUNNERS)]
    return [_call(frame.filename, frame.lineno, frame.name) for frame in frames][-LONGEST_CHAIN:]


def calls_of(stack: Iterable[tuple[str, int, str]]) -> list[str]:
    """Return the calls in a stack that belong to a flow or other user code, newest last.

    Args:
        stack: file, line and function of each call, newest last.
    """
    calls: list[str] = []
    for file, line, function in stack:
        if file.endswith((*_RUNNERS, _LOOP)):
            calls.clear()
        else:
            calls.append(_call(file, line, function))
    return calls


def _call(file: str, line: int | None, function: str) -> str:
    return f"{file}:{line} in {function}"
