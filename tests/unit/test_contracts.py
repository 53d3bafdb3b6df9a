"""Which packages may import which: the contracts of pyproject.toml, and those that import-linter can't express."""

from __future__ import annotations

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
EVENT_TYPES = {"webhooks.events", "webhooks.messages", "webhooks.payloads"}
ALLOWED_CYCLES = {
    # For types only: a flow is a function of a `Chat`, and a chat runs flows as parts of others.
    ("bot.flows.authoring", "bot.flows.chat"),
    ("bot.flows.handlers", "bot.flows.chat"),
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Who imports whom, for types too."""
    return grimp.build_graph("bot", "webhooks", include_external_packages=True, cache_dir=None)


def test_contracts() -> None:
    """The contracts of pyproject.toml are kept.

    In a process of its own: the linter disables all loggers.
    """
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    command = [sys.executable, "-c", code]
    linter = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert linter.returncode == 0, linter.stdout + linter.stderr


def test_the_guarantee_is_pure(graph: grimp.ImportGraph) -> None:
    """`bot.control` imports the types of events and what comes with Python, and neither I/O nor a clock."""
    control = {name for name in graph.modules if name.startswith("bot.control")}
    imported = {other for name in control for other in graph.find_modules_directly_imported_by(name)} - control
    assert imported & EVENT_TYPES
    assert {name for name in imported - EVENT_TYPES if name not in sys.stdlib_module_names} == set()
    assert imported & {"asyncio", "io", "os", "pathlib", "random", "socket", "sqlite3", "threading", "time"} == set()


def test_no_circle(graph: grimp.ImportGraph) -> None:
    """No module imports, through whatever others, itself."""
    imports = {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}
    for importer, imported in ALLOWED_CYCLES:
        imports[importer].remove(imported)
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")
