"""The two tiers of tests: what runs by default, and long forms (marker `long`), which `.ci/run` runs as well.

A long form repeats what a test by default shows for other values: the other control mode, the other database, more
seeds. Each kind of test keeps at least one form in the default tier.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some(values: Iterable[Any], count: int = 1, *, every: int = 0) -> list[Any]:
    """Mark values of a parameter as long.

    Args:
        values: all values.
        count: how many of them, from the first, stay in the default tier.
        every: if given, one value in so many stays there instead.
    """
    return [
        value if (place % every == 0 if every else place < count) else pytest.param(value, marks=pytest.mark.long)
        for place, value in enumerate(values)
    ]


def combined(*rows: tuple[Any, ...], count: int = 1) -> list[Any]:
    """Mark rows of parameters as long, except for the first `count`."""
    return [row if place < count else pytest.param(*row, marks=pytest.mark.long) for place, row in enumerate(rows)]


sqlite_first = pytest.mark.parametrize("engine", some(["sqlite", "postgres"]), indirect=True)
"""By default on SQLite, and on PostgreSQL in the long tier."""

postgres_first = pytest.mark.parametrize("engine", some(["postgres", "sqlite"]), indirect=True)
"""By default on PostgreSQL, and on SQLite in the long tier."""
