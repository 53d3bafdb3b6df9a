"""How a run is done: how long, how often, on which databases, and where its files go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Database:
    """An engine to measure on. `new(name)` makes an empty database and returns its URL."""

    name: str
    new: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Setting:
    """The run.

    Attributes:
        folder: for databases and logs.
        databases: SQLite, and PostgreSQL where there is one.
        rounds: how often everything is measured, in turns.
        quick: only to see that it works; the figures are worth nothing.
        aiogram_python: an interpreter that has aiogram (it wants an older pydantic than the bot); empty: none.
    """

    folder: Path
    databases: Sequence[Database]
    rounds: int
    quick: bool
    aiogram_python: str = ""

    def sized(self, full: int) -> int:
        """A number of things to do, or a small part of it in a quick run."""
        return max(20, full // 100) if self.quick else full

    def lasting(self, full: float) -> float:
        """A number of seconds, or a part of it in a quick run."""
        return min(1.0, full / 3) if self.quick else full

    def has(self, module: str) -> bool:
        """Is it installed (`pip install -e '.[bench]'`), and is there time for it?"""
        return not self.quick and find_spec(module) is not None
