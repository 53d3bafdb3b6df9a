"""Database work for both engines: generators that yield statements and receive their rows.

An engine runs them: SQLite as one operation on its thread, PostgreSQL statement by statement on a connection.

The words: places for values are `?` or `:name`. A value that is a list goes where `IN (SELECT value FROM json_each(?))`
stands. `INDEXED BY` is for SQLite alone, `FOR UPDATE SKIP LOCKED` for PostgreSQL alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Row: TypeAlias = Sequence[Any]
Values: TypeAlias = Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Each:
    """A statement to run once per mapping of values. It returns no rows."""

    values: Sequence[Mapping[str, Any]]


Statement: TypeAlias = tuple[str, Values | Each]
Asking: TypeAlias = Generator[Statement, list[Row], T]
Ask: TypeAlias = Callable[[], Asking[T]]
"""Begins the work; once more, where it has to be tried again."""

_INDEXED = re.compile(r"\s+INDEXED BY \w+")
_LOCKING = re.compile(r"\s+FOR UPDATE SKIP LOCKED")
_LIST = re.compile(r"\bIN \(SELECT value FROM json_each\((\?|:[a-z_]+)\)\)")
_PLACE = re.compile(r"\?|(?<![:\w]):(?P<name>[a-z_]+)")


def one(statement: str, values: Values = ()) -> Asking[list[Row]]:
    """Ask for the rows of a single statement."""
    return (yield statement, values)


@cache
def for_sqlite(statement: str) -> str:
    """Translate a statement to SQLite's dialect."""
    return _LOCKING.sub("", statement)


@cache
def numbered(statement: str) -> tuple[str, tuple[str, ...]]:
    """Translate a statement to PostgreSQL's dialect. Return it, and the names of its parameters in order.

    `?` and `:name` become `$1`, `$2`…
    """
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        name = found["name"] or f"?{len(names)}"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    plain = _LIST.sub(r"= ANY (\1)", _INDEXED.sub("", statement))
    return _PLACE.sub(place, plain), tuple(names)


def for_postgres(statement: str, values: Values) -> tuple[str, list[Any]]:
    """Translate a statement to PostgreSQL's dialect, with its values in order.

    A value named `limit` is written out: one plan serves all calls, and it would not count on the limit otherwise.
    """
    if not isinstance(values, Mapping):
        return numbered(statement)[0], list(values)
    if "limit" in values:
        statement = statement.replace(":limit", str(int(values["limit"])))
    text, names = numbered(statement)
    return text, [values[name] for name in names]
