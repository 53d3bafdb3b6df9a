"""Functions given to `chat.call` and `chat.on_end`: runs them, and finds clean-up functions again by their address.

An address comes out of the database, so it is data: whoever can write there must not choose what runs here. Only
functions that the modules of FLOWS hold are found, and nothing is imported to look for one.
"""

from __future__ import annotations

import contextvars
import inspect
import sys
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from bot.flows.authoring import FlowMisuse
from bot.flows.threads import Threads

_threads = Threads()

_NEVER_IMPORTED = sys.stdlib_module_names | {"bot", "webhooks"}
"""Packages whose functions don't become callable because a flow's module happens to import them by name."""

_SHOWN = 200  # characters of an address in a message


class NotFound(LookupError):
    """No module of FLOWS holds a function of this address."""


class Functions:
    """The clean-up functions that may be called: those that the modules of FLOWS define, or import by name.

    Functions of the standard library and of the bot itself don't count as imported: `from os import system` in a
    module of flows doesn't make `os:system` callable from the database.

    Args:
        modules: names of imported modules.
    """

    def __init__(self, modules: Iterable[str] = ()) -> None:
        self._modules = frozenset(modules)

    def find(self, address: str) -> Callable[..., Any]:
        """Return the function of a `module:name`. Raises `NotFound`."""
        module, _, name = address.partition(":")
        root, *parts = name.split(".")
        for held in self._held():
            if _address(held) == f"{module}:{root}" and self._may_call(module):
                for part in parts:
                    held = vars(held).get(part) if isinstance(held, type) else None
                    held = held.__func__ if isinstance(held, staticmethod) else held
                if callable(held) and _address(held) == address:
                    return held
        raise NotFound(f"no module of FLOWS has a function {address[:_SHOWN]!r}")

    def address_of(self, function: Callable[..., Any]) -> str:
        """Return the `module:name` by which another process finds the function. Raises `FlowMisuse` if none would."""
        address = f"{getattr(function, '__module__', '')}:{name_of(function)}"
        try:
            found = self.find(address)
        except NotFound:
            found = None
        if found is not function:
            raise FlowMisuse(
                f"{name_of(function)} can't be found again after a restart: give a function that a module of FLOWS"
                " defines or imports by name (not one of the standard library), and what it needs as arguments"
            )
        return address

    def _held(self) -> Iterator[object]:
        for module in self._modules & sys.modules.keys():
            yield from list(vars(sys.modules[module]).values())

    def _may_call(self, module: str) -> bool:
        return module in self._modules or module.partition(".")[0] not in _NEVER_IMPORTED


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


def defined_in(function: Callable[..., Any]) -> str | None:
    """Return the module that defines a flow's function; None for one of the standard library, such as a `partial`."""
    module = getattr(function, "__module__", None)
    known = isinstance(module, str) and module.partition(".")[0] not in sys.stdlib_module_names
    return module if known else None


def is_authored(function: Callable[..., Any]) -> bool:
    """Was a function defined by a team, and not by the standard library or the bot?"""
    module: object = function.__module__
    return isinstance(module, str) and module.partition(".")[0] not in _NEVER_IMPORTED


def _address(held: object) -> str | None:
    """Return where an object says that it was defined; None for what is no function or class, or won't say."""
    try:
        module, name = (
            getattr(held, "__module__", None),
            getattr(held, "__qualname__", None),
        )
    except Exception:  # noqa: BLE001 - a module may hold any object, and some raise on every access
        return None
    return f"{module}:{name}" if callable(held) and isinstance(module, str) and isinstance(name, str) else None


def _plainly(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run a plain function. No future takes a StopIteration (a `next()` that finds nothing): its flow would hang."""
    try:
        return function(*args, **kwargs)
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error
