"""The functions that a flow gives to `chat.call` and `chat.on_end`: how they run, and how they are found again."""

from __future__ import annotations

import contextvars
import importlib
import inspect
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bot.flows.authoring import FlowMisuse
from bot.flows.threads import Threads

_threads = Threads()


class NotFound(LookupError):
    """A function that is not there any more under its name."""


async def run(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run a coroutine function here, and any other in a thread, with the caller's context variables."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    in_context = partial(contextvars.copy_context().run, _plainly, function, args, kwargs)
    result = await get_running_loop().run_in_executor(_threads, in_context)
    return await result if isinstance(result, Awaitable) else result


def name_of(function: Callable[..., Any]) -> str:
    """The function's name as the journal has it."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def address_of(function: Callable[..., Any]) -> str:
    """`module:name` of a function that another process can find as well. Raises `FlowMisuse` for any other."""
    address = f"{getattr(function, '__module__', '')}:{name_of(function)}"
    try:
        found = find(address)
    except NotFound:
        found = None
    if found is not function:
        raise FlowMisuse(
            f"{name_of(function)} can't be found again after a restart: give a function of a module, and what it needs"
            " as arguments"
        )
    return address


def find(address: str) -> Callable[..., Any]:
    """The function of a module. Raises `NotFound`."""
    module, _, name = address.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        raise NotFound(f"there is no function {address} any more") from error
    if not callable(found):
        raise NotFound(f"{address} is no function any more")
    function: Callable[..., Any] = found
    return function


def _plainly(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run a plain function. No future takes a StopIteration (a `next()` that finds nothing): its flow would hang."""
    try:
        return function(*args, **kwargs)
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error
