"""Finds flows that can't work, before a user does; suggests a fix for each."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from bot.flows.authoring import Flow
from bot.flows.catalogue import (
    Catalogue,
    UnknownFlowError,
    import_module,
    load_catalogue,
    load_flows,
    load_router,
)
from bot.flows.chat import Chat
from bot.flows.handlers import handler_problems

_STEPS = frozenset(name for name, value in inspect.getmembers(Chat) if inspect.iscoroutinefunction(value)) | {"call"}


def inspected(
    modules: Iterable[str],
    opening: str,
    closing: str,
    chosen: frozenset[str] = frozenset(),
) -> tuple[Catalogue, list[str]]:
    """Return the catalogue of the settings, and its problems.

    If a module can't be imported or a flow is missing, the catalogue is empty.

    Args:
        modules: as in FLOWS.
        opening: as in OPENING_FLOW.
        closing: as in CLOSING_FLOW.
        chosen: names of explicitly set settings, in lower case; others have defaults.
    """
    names = list(modules)
    problems = [problem for name in names for problem in _problems_in(name)]
    if problems:
        return Catalogue(), list(dict.fromkeys(problems))
    try:
        catalogue = _settled(names, opening, closing, chosen)
    except UnknownFlowError as error:
        return Catalogue(), [str(error)]
    problems = [problem for found in catalogue.all for problem in _problems_of_flow(found)]
    problems += handler_problems(catalogue.handlers)
    if catalogue.router:
        named = (("OPENING_FLOW", opening), ("CLOSING_FLOW", closing))
        idle = [setting for setting, name in named if name and setting.lower() in chosen]
        problems += [f"{setting}: the router of FLOWS overrides it. Remove one of them." for setting in idle]
    elif "flows" in chosen and not (opening or closing):
        known = ", ".join(sorted(catalogue.flows)) or "none"
        problems.append(
            f"OPENING_FLOW: is not set, so no flow of FLOWS would ever run. Set it to one of: {known}",
        )
    return catalogue, problems


def _settled(names: list[str], opening: str, closing: str, chosen: frozenset[str]) -> Catalogue:
    """Load the catalogue. A default flow overridden by a router may be missing."""
    if load_router(names):
        opening = opening if "opening_flow" in chosen else ""
        closing = closing if "closing_flow" in chosen else ""
    return load_catalogue(names, opening, closing)


def _problems_in(name: str) -> Iterator[str]:
    try:
        module = import_module(name)
        load_flows([name])
    except UnknownFlowError as error:
        yield str(error)
        return
    yield from steps_not_awaited(module)


def _problems_of_flow(found: Flow) -> Iterator[str]:
    function: Callable[..., Any] = inspect.unwrap(found.function)
    place = f"FLOWS: flow {found.name!r} ({_place(function)})"
    if inspect.isasyncgenfunction(function):
        yield f"{place} has a `yield`, but a flow can't be a generator: use `await chat.say(…)`"
    elif inspect.isfunction(function) and not inspect.iscoroutinefunction(function):
        yield f"{place} is not async: write `async def {function.__name__}(chat)`"
    try:
        inspect.signature(found.function).bind(object())
    except TypeError:
        name = getattr(function, "__name__", "flow")
        yield f"{place} must take one argument, the chat: write `async def {name}(chat)`"
    except ValueError:  # the object has no signature
        pass


def steps_not_awaited(module: ModuleType) -> Iterator[str]:
    """Yield a line for each step of a chat, such as `chat.say(…)`, without `await`."""
    try:
        file = Path(getattr(module, "__file__", None) or "")  # unset for modules made at run time
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # not made from source code
        return
    except SystemError:  # CPython's parser fails if a garbage collection runs meanwhile (gh-106905)
        return
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            chats = {one.arg for one in function.args.args if one.arg == "chat" or _is_chat(one.annotation)}
            for statement in ast.walk(function):
                match statement:
                    case ast.Expr(
                        ast.Call(ast.Attribute(ast.Name(chat), step))
                        | ast.Call(ast.Call(ast.Attribute(ast.Name(chat), "call_with" as step)))
                    ) if chat in chats and (step in _STEPS or step == "call_with"):
                        yield (
                            f"FLOWS: {file.name}:{statement.lineno}: {chat}.{step}(…) does nothing without await: "
                            f"write `await {chat}.{step}(…)`"
                        )


def _is_chat(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation).strip("'\"").rpartition(".")[2] == "Chat"


def _place(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else type(function).__name__
