"""The interface of a PostgreSQL connection, and work for both engines on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from bot.store.asking import Ask, Each, for_postgres

T = TypeVar("T")


class Connection(Protocol):
    """The part of asyncpg's connection that operations use."""

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        """Return the rows of a statement."""

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """Return the first value of the first row; None if there is none."""

    async def executemany(self, statement: str, values: Sequence[Sequence[Any]]) -> None:
        """Run a statement once per list of values."""

    async def execute(self, statement: str, *values: Any) -> str:
        """Run a statement (several, if without values). Return the last one's status, like `UPDATE 3`."""


async def answered(ask: Ask[T], connection: Connection) -> T:
    """Run work for both engines, and return its result."""
    asking = ask()
    try:
        statement, values = next(asking)
        while True:
            if isinstance(values, Each):
                each = [for_postgres(statement, one) for one in values.values]
                await connection.executemany(each[0][0], [given for _, given in each])
                rows = []
            else:
                text, given = for_postgres(statement, values)
                rows = await connection.fetch(text, *given)
            statement, values = asking.send(rows)
    except StopIteration as over:
        result: T = over.value
        return result
