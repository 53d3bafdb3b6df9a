"""The outcome of a run, as passed to its clean-up functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from bot.control.state import Outcome

When = Literal["always", "failed"]
"""When to call a clean-up function: always, or only if the flow failed or was interrupted."""


def outcome_named(stored: str) -> Outcome:
    """Return the outcome for a stored value; UNKNOWN if another version wrote it."""
    return Outcome.__members__.get(stored.upper(), Outcome.UNKNOWN)


def with_offered(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    offered: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the keyword arguments for a clean-up function.

    Adds each offered value for which the function has a parameter, unless the flow has
    already given that parameter a value.
    """
    try:
        signature = inspect.signature(function)
        given = signature.bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):  # the call itself will fail, and report it
        return dict(kwargs)
    named = {
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name not in given
    }
    return {**kwargs, **{name: value for name, value in offered.items() if name in named}}
