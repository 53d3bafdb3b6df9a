"""The benchmarks still measure something. What they measure is not judged here: the machine may be busy."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from .figures import Figure, Goal
from .report import table

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_quick_run_measures_everything(tmp_path: Path) -> None:
    """Every benchmark that SQLite alone can have gives figures."""
    command = [sys.executable, "-m", "tests.bench", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "results.json").read_text())["figures"]
    assert {figure["benchmark"] for figure in figures} == {"intake", "end to release", "turns", "recovery", "growth"}
    assert all(figure["ratio"] > 0 for figure in figures)
    assert (tmp_path / "results.svg").read_text().startswith("<svg")


def figure_of(stored: Mapping[str, Any]) -> Figure:
    """A figure as `results.json` keeps it."""
    sign, bound = (stored["goal"] or "≥ 0").split()
    goal = Goal(float(bound), at_least=sign == "≥") if stored["goal"] else None
    return Figure(**{name: value for name, value in stored.items() if name not in ("goal", "verdict")}, goal=goal)


def test_the_page_tells_what_was_measured() -> None:
    """docs/performance.md has each figure of `results.json`, as the benchmarks print it."""
    stored = json.loads(Path(__file__).with_name("results.json").read_text())["figures"]
    _, _, *lines = table([figure_of(one) for one in stored]).splitlines()
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    told = [line for line in page.splitlines() if re.search(r"\| \*\*[\d.]+\*\* \(", line)]
    assert sorted(told) == sorted(lines)
