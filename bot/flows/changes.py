"""Finds the names that a flow's code passes to `chat.changed("…")`.

A run stores the names found in the code that it began with.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from bot.flows.authoring import Flow
from bot.flows.functions import is_authored
from bot.flows.handlers import Handlers

METHOD = "changed"
_FUNCTIONS_LIMIT = 1000  # functions searched per flow


def changes_of(function: Callable[..., Any]) -> frozenset[str]:
    """Names of the changes in a flow's function, and in functions and flows it calls.

    Only literal names are found, and only in functions that it calls by global name.
    """
    known = inspect.unwrap(function)
    return _changes_of(known) if type(known) is FunctionType else frozenset()


def changes_in(flow: Flow, handlers: Handlers) -> frozenset[str]:
    """Names of the changes in a flow and in the shared handlers."""
    return changes_of(flow.function).union(*map(changes_of, handlers.functions))


@lru_cache(maxsize=256)
def _changes_of(function: FunctionType) -> frozenset[str]:
    found: set[str] = set()
    seen: set[FunctionType] = set()
    left = [function]
    while left and len(seen) < _FUNCTIONS_LIMIT:
        one = left.pop()
        if one in seen:
            continue
        seen.add(one)
        for code in _codes(one.__code__):
            found.update(_named_in(code))
            left += _called(code, one.__globals__)
    return frozenset(found)


def _called(code: CodeType, module: dict[str, Any]) -> Iterator[FunctionType]:
    """The team's own global functions that the code refers to."""
    for name in code.co_names:
        known = module.get(name)
        if type(known) is Flow:
            known = inspect.unwrap(known.function)
        if type(known) is FunctionType and is_authored(known):
            yield known


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code object, and those nested in it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _named_in(code: CodeType) -> Iterator[str]:
    if METHOD not in code.co_names:
        return
    before = ""
    for instruction in dis.get_instructions(code):
        if before == METHOD and isinstance(instruction.argval, str) and instruction.opname == "LOAD_CONST":
            yield instruction.argval
        before = instruction.argval if isinstance(instruction.argval, str) else ""
