"""How the modules of the store depend on each other."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import bot.store

FOLDER = Path(bot.store.__file__).parent


def _name(file: Path) -> str:
    return ".".join(("bot.store", *file.relative_to(FOLDER).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {_name(file): file for file in FOLDER.rglob("*.py")}


def _imported(file: Path) -> set[str]:
    """Every module that is imported anywhere in a file: also within functions, and for the type checker alone."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found


def test_there_are_no_cycles() -> None:
    """Each module can be read after those that it uses."""
    graph = {name: (_imported(file) & MODULES.keys()) - {name} for name, file in MODULES.items()}
    assert sum(map(len, graph.values())) > 100
    TopologicalSorter(graph).prepare()


def test_drivers_stay_in_their_packages() -> None:
    """Where SQLite is used, asyncpg need not be there."""
    users = {name for name, file in MODULES.items() if any(each.split(".")[0] == "asyncpg" for each in _imported(file))}
    assert users
    assert all(name.startswith("bot.store.postgres.") for name in users)
