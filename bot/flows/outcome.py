"""How a run of a flow ended, as its clean-up functions are told."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from bot.control.state import Outcome

When = Literal["always", "failed"]
"""When a clean-up function is called: however the flow ends, or only if it did not come to its own end."""


def outcome_named(stored: str) -> Outcome:
    """Return the outcome of a stored value; one that this version doesn't know is unknown."""
    return Outcome.__members__.get(stored.upper(), Outcome.UNKNOWN)


def with_offered(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    offered: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the keyword arguments for a clean-up function: its own, and what is offered and it has a parameter for.

    A parameter that the flow has given a value keeps it.
    """
    try:
        signature = inspect.signature(function)
        given = signature.bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):  # it fails when it is called, which is told
        return dict(kwargs)
    named = {
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name not in given
    }
    return {**kwargs, **{name: value for name, value in offered.items() if name in named}}
