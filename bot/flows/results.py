"""Call results: stored as JSON, read back as the type in the function's annotation."""

from __future__ import annotations

import functools
import types
import typing
from asyncio import Future, Task
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from bot.flows.authoring import FlowMisuse
from bot.flows.functions import name_of
from bot.flows.json_form import json_form

_CONTAINERS = (list, tuple, set, frozenset, dict, deque)
_PLAIN = (str, bool, list, dict)
_AWAITABLES = (Awaitable, Coroutine, Future, Task)
_HINT = "annotate the function's return type, or return texts, numbers, lists and dicts"


class UnreadableResult(ValueError):
    """A stored result doesn't fit the annotated type, because the type has changed.

    Attributes:
        wanted: the annotated type.
        reason: the problem, without any values from the result.
    """

    def __init__(self, wanted: str, reason: str) -> None:
        super().__init__(f"can't be read as {wanted} ({reason})")
        self.wanted = wanted
        self.reason = reason


class ResultCodec:
    """Stores and reads the results of one function.

    Without an annotation (or with `Any`) the flow gets the JSON form. With one it gets the
    annotated type: a dataclass, a pydantic model, an enum, a datetime, a list of these,
    and so on.

    Args:
        function: the called function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = name_of(function)
        self._returned, self._adapter = _known_of(function)

    @property
    def type_name(self) -> str:
        """The annotated type, for error texts."""
        return "an unknown type" if self._returned is _UNRESOLVED else _shown(self._returned)

    def stored(self, result: Any) -> Any:
        """Return the JSON form of a result.

        Raises:
            FlowMisuse: it has none, or would not be the same when read back.
        """
        form = json_form(f"the result of {self._name}", result)
        if self._returned is _ANYTHING:
            return form
        if self._adapter is None:
            if type(form) is type(result) and form == result:
                return form
            why = "its annotation can't be resolved at run time" if self._returned is _UNRESOLVED else self.type_name
            raise FlowMisuse(
                f"the result of {self._name} can't come back from the journal ({why}): {_HINT}",
            )
        try:
            back = self.read(form)
        except UnreadableResult as error:
            raise FlowMisuse(
                f"the result of {self._name} is {type(result).__name__}, and {error}: {_HINT}",
            ) from None
        if not _is_same(back, result, form):
            raise FlowMisuse(
                f"the result of {self._name} is {type(result).__name__}, but would come back from the journal as "
                f"another {type(back).__name__}: {_HINT}"
            )
        return form

    def read(self, stored: Any) -> Any:
        """Convert a stored result to the function's return type. Raises `UnreadableResult`."""
        if self._adapter is None or (self._returned in _PLAIN and isinstance(stored, self._returned)):
            return stored
        try:
            return self._adapter.validate_json(to_json(stored))
        except PydanticSerializationError:
            raise UnreadableResult(self.type_name, "not Unicode") from None
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False, include_input=False)[0]
            # Other names are keys of dicts, which may quote a user.
            fields = frozenset(_fields_in(self._adapter.core_schema))
            names = [str(part) if isinstance(part, int) or part in fields else "…" for part in wrong["loc"]]
            place = f", at {'.'.join(names)}" if names else ""
            raise UnreadableResult(self.type_name, f"{wrong['type']}{place}") from None


def _fields_in(schema: Any) -> Iterator[str]:
    """Yield the field names in a pydantic schema."""
    if isinstance(schema, Mapping):
        fields = schema.get("fields")
        if isinstance(fields, Mapping):
            yield from fields
        elif isinstance(fields, list):
            yield from (field if isinstance(field, str) else str(field["name"]) for field in fields)
        alias = schema.get("validation_alias")
        if isinstance(alias, str):
            yield alias
        for part in schema.values():
            yield from _fields_in(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _fields_in(part)


class _Sentinel:
    """Marks an annotation that is missing or unusable."""


_ANYTHING, _UNRESOLVED = _Sentinel(), _Sentinel()


_known: WeakKeyDictionary[Any, tuple[Any, TypeAdapter[Any] | None]] = WeakKeyDictionary()
"""Cache of result types: each turn of a flow needs them again."""


def _known_of(function: Callable[..., Any]) -> tuple[Any, TypeAdapter[Any] | None]:
    """Return a function's result type and reader; no reader for JSON or unknown types."""
    while isinstance(function, functools.partial):
        function = function.func
    key = getattr(function, "__func__", function)
    try:
        return _known[key]
    except KeyError:
        known = _known[key] = _look_at(function)
        return known
    except TypeError:  # not hashable, or no weak references
        return _look_at(function)


def _look_at(function: Callable[..., Any]) -> tuple[Any, TypeAdapter[Any] | None]:
    returned = _returned_by(function)
    return returned, None if returned in (_ANYTHING, _UNRESOLVED) else _adapter_of(returned)


def _returned_by(function: Callable[..., Any]) -> Any:
    """Return the annotated type; `_ANYTHING` if missing, `_UNRESOLVED` if a name is."""
    if isinstance(function, type):
        return function
    annotated = function if _annotations_of(function) else getattr(type(function), "__call__", function)  # noqa: B004
    annotation = _annotations_of(annotated).get("return", _ANYTHING)
    try:
        resolved = _resolved(annotation, annotated)
    except Exception:  # noqa: BLE001 - an annotation may run any code of the author's module
        return _UNRESOLVED
    if isinstance(resolved, TypeVar) or resolved in (Any, object):
        return _ANYTHING
    return resolved


def _annotations_of(function: Any) -> dict[str, Any]:
    try:
        found = getattr(function, "__annotations__", None)
    except Exception:  # noqa: BLE001 - a lazy annotation may refer to missing names
        return {"return": "…"}
    return found if isinstance(found, dict) else {}


def _resolved(annotation: Any, function: Any) -> Any:
    if annotation is _ANYTHING:
        return annotation
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__

    def probe() -> None: ...

    probe.__annotations__ = {"return": annotation}
    found = typing.get_type_hints(probe, getattr(function, "__globals__", {}), include_extras=True)["return"]
    origin, arguments = typing.get_origin(found), typing.get_args(found)
    return arguments[-1] if origin in _AWAITABLES and arguments else found


def _adapter_of(returned: Any) -> TypeAdapter[Any] | None:
    try:
        return _made_once(returned)
    except TypeError:  # part of the annotation is not hashable
        return _made(returned)


def _made(returned: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(returned)
    except Exception:  # noqa: BLE001 - pydantic raises many types if it has no schema
        return None


_made_once = functools.lru_cache(maxsize=512)(_made)


def _shown(returned: Any) -> str:
    plain = isinstance(returned, type) and not isinstance(returned, types.GenericAlias)
    return returned.__qualname__ if plain else str(returned).replace("typing.", "")


def _is_same(back: Any, result: Any, form: Any) -> bool:
    """Return whether nothing was lost between the result and its stored form."""
    try:
        if type(back) is type(form) and back == form == result:
            return True
        if json_form("what came back", back) != form:
            return False
        if bool(back == result):
            return True
    except Exception:  # noqa: BLE001 - an author's `__eq__` may raise anything
        return False
    if isinstance(result, _CONTAINERS):  # a tuple annotated as Sequence returns as a list
        return True
    own = {name for kind in type(result).__mro__[:-1] for name in vars(kind)}
    return type(back) is type(result) and "__eq__" not in own
