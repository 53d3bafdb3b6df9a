"""`Outcome`: how a run of a flow ended, as its clean-up functions are told."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal

When = Literal["always", "failed"]
"""When a clean-up function is called: however the flow ends, or only if it did not come to its own end."""

_PARAMETER = "outcome"


class Outcome(StrEnum):
    """How a run of a flow ended.

    Attributes:
        COMPLETE: the flow returned.
        RELEASED: the flow called `release()` or `remind()`.
        HANDED_OVER: the flow called `hand_over()`.
        FAILED: the flow raised, was misused, no longer fits its journal, or could not deliver a message.
        TIMED_OUT: the flow took too long.
        ENDED: the user ended the conversation meanwhile.
        INTERRUPTED: somebody else took control, or the conversation was removed.
        UNKNOWN: it was stored by a version of the bot that did not record it.
    """

    COMPLETE = "complete"
    RELEASED = "released"
    HANDED_OVER = "handed_over"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    ENDED = "ended"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"

    @property
    def went_well(self) -> bool:
        """Did the flow come to an end of its own choosing?"""
        return self in (Outcome.COMPLETE, Outcome.RELEASED, Outcome.HANDED_OVER)


def outcome_named(stored: str) -> Outcome:
    """Return the outcome of a stored value; one that this version doesn't know is unknown."""
    return Outcome.__members__.get(stored.upper(), Outcome.UNKNOWN)


def with_outcome(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], outcome: Outcome
) -> dict[str, Any]:
    """Return the keyword arguments for a clean-up function, with `outcome` if it takes one and was given none."""
    try:
        signature = inspect.signature(function)
        given = signature.bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):  # it fails when it is called, which is told
        return dict(kwargs)
    parameter = signature.parameters.get(_PARAMETER)
    named = parameter and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    return {**kwargs, _PARAMETER: outcome} if named and _PARAMETER not in given else dict(kwargs)
