"""The rules as a whole: none is missing, and each can be read at once."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

import bot.control
from bot.control.facts import Fact
from bot.control.rules import RULES

MOST_WAYS = 12
MODULES = sorted(Path(bot.control.__path__[0]).glob("*.py"))


def test_every_fact_has_its_rule() -> None:
    """And no other."""
    assert set(RULES) == set(get_args(Fact))


def ways(node: ast.AST) -> int:
    """Ways through a function: its cyclomatic complexity, boolean operators included."""
    parts = list(ast.walk(node))
    branches = ast.If | ast.For | ast.While | ast.IfExp | ast.ExceptHandler | ast.Assert | ast.match_case
    operands = sum(len(part.values) - 1 for part in parts if isinstance(part, ast.BoolOp))
    loops = sum(1 + len(part.ifs) for part in parts if isinstance(part, ast.comprehension))
    return 1 + operands + loops + sum(isinstance(part, branches) for part in parts)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_function_has_many_ways(module: Path) -> None:
    """At most twelve."""
    functions = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.FunctionDef)]
    assert {node.name: ways(node) for node in functions if ways(node) > MOST_WAYS} == {}


def test_ways_are_counted() -> None:
    """A branch, a loop, each operand beyond the first, each case."""
    source = "def f(a, b):\n  if a and b or a:\n    for x in b: pass\n  match a:\n    case 1: pass\n    case _: pass\n"
    assert ways(ast.parse(source)) == 1 + 1 + 2 + 1 + 2
