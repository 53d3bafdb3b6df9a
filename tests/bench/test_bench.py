"""The benchmarks still measure something. What they measure is not judged here: the machine may be busy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
