"""Which changes a flow's code asks for by `chat.changed("…")`: what a run knows that begins with this code."""

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
_FUNCTIONS_LIMIT = 1000  # that are looked through for one flow


def changes_of(function: Callable[..., Any]) -> frozenset[str]:
    """The names of the changes in a flow's function, and in the functions and flows that it calls by their names.

    A name that is no literal, or that stands elsewhere, is not found.
    """
    known = inspect.unwrap(function)
    return _changes_of(known) if type(known) is FunctionType else frozenset()


def changes_in(flow: Flow, handlers: Handlers) -> frozenset[str]:
    """The names of the changes that a run of a flow may come to: the flow's own, and those of the handlers."""
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
    """The team's own functions that some code names, in so far as they are global."""
    for name in code.co_names:
        known = module.get(name)
        if type(known) is Flow:
            known = inspect.unwrap(known.function)
        if type(known) is FunctionType and is_authored(known):
            yield known


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of those within it."""
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
