"""Runs the functions of `chat.call` and `chat.on_end`; finds clean-up functions again.

A clean-up function is found by its address, which comes from the database and is
therefore untrusted: write access to the database must not allow running arbitrary code.
Only functions in the modules of FLOWS are found, and nothing is imported to find one.
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
"""Packages whose functions are not callable by address, even if a flow's module imports them."""

_SHOWN = 200  # characters of an address in an error text


class NotFound(LookupError):
    """No module of FLOWS holds a function with this address."""


class Functions:
    """The clean-up functions that may be called.

    These are the functions that the modules of FLOWS define, or import by name.
    Functions of the standard library and of the bot itself are excluded: `from os import
    system` in a module of flows doesn't make `os:system` callable from the database.

    Args:
        modules: names of imported modules.
    """

    def __init__(self, modules: Iterable[str] = ()) -> None:
        self._modules = frozenset(modules)

    def find(self, address: str) -> Callable[..., Any]:
        """Return the function with the address `module:name`. Raises `NotFound`."""
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
        """Return the `module:name` by which another process can find the function.

        Raises:
            FlowMisuse: no other process could.
        """
        address = f"{getattr(function, '__module__', '')}:{name_of(function)}"
        try:
            found = self.find(address)
        except NotFound:
            found = None
        if found is not function:
            raise FlowMisuse(
                f"{name_of(function)} can't be found again after a restart: pass a function that a module of"
                " FLOWS defines or imports by name (not from the standard library), and its input as arguments"
            )
        return address

    def _held(self) -> Iterator[object]:
        for module in self._modules & sys.modules.keys():
            yield from list(vars(sys.modules[module]).values())

    def _may_call(self, module: str) -> bool:
        return module in self._modules or module.partition(".")[0] not in _NEVER_IMPORTED


async def run(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run a coroutine function here, any other in a thread; keeps context variables."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    in_context = partial(contextvars.copy_context().run, _plainly, function, args, kwargs)
    result = await get_running_loop().run_in_executor(_threads, in_context)
    return await result if isinstance(result, Awaitable) else result


def name_of(function: Callable[..., Any]) -> str:
    """The function's name in the journal."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def defined_in(function: Callable[..., Any]) -> str | None:
    """The module that defines a flow's function; None in the standard library (`partial`)."""
    module = getattr(function, "__module__", None)
    known = isinstance(module, str) and module.partition(".")[0] not in sys.stdlib_module_names
    return module if known else None


def is_authored(function: Callable[..., Any]) -> bool:
    """Whether a team defined the function, not the standard library or the bot."""
    module: object = function.__module__
    return isinstance(module, str) and module.partition(".")[0] not in _NEVER_IMPORTED


def _address(held: object) -> str | None:
    """The address where an object was defined; None if it is no function or class."""
    try:
        module, name = (
            getattr(held, "__module__", None),
            getattr(held, "__qualname__", None),
        )
    except Exception:  # noqa: BLE001 - some objects raise on every attribute access
        return None
    return f"{module}:{name}" if callable(held) and isinstance(module, str) and isinstance(name, str) else None


def _plainly(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run a plain function. A future can't hold a StopIteration: the flow would hang."""
    try:
        return function(*args, **kwargs)
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error
