"""docs/replay.md: what it tells to type does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "replay.md").read_text(encoding="utf-8")


def _snippets(language: str) -> list[str]:
    """Those about tapes. What follows them on the page takes hours, and has tests of its own."""
    chapters = PAGE[: PAGE.index("\n## Simulate\n")]
    return re.findall(rf"^```{language}\n(.*?)^```", chapters, re.MULTILINE | re.DOTALL)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_commands_do_what_they_say(tmp_path: Path) -> None:
    """In a folder with the tapes: a report, no conversation open, a difference, a scrubbed tape."""
    shutil.copytree(ROOT / "tests" / "tapes", tmp_path / "tests" / "tapes", ignore=shutil.ignore_patterns("*.py"))
    script = "\n".join(_snippets("sh")).replace(".venv/bin/switchboard-bot", f"{sys.executable} -m bot")

    done = subprocess.run(  # noqa: S603 - our own page
        ["/bin/sh", "-e", "-c", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "All closed" in (tmp_path / "report.html").read_text()
    assert "- PostMessage Hello! I am the assistant." in done.stdout
    assert "+ PostMessage How did we do?" in done.stdout
    assert (tmp_path / "scrubbed.jsonl").exists()


def test_the_test_passes(tmp_path: Path) -> None:
    """Where the tapes lie beside it; no other plugin is needed."""
    (snippet,) = _snippets("python")
    (tmp_path / "test_incident.py").write_text(snippet)
    shutil.copytree(ROOT / "tests" / "tapes", tmp_path / "tapes", ignore=shutil.ignore_patterns("*.py"))
    plugins = ["-p", "bot.replay.plugin", "-p", "no:cacheprovider"]

    done = subprocess.run(  # noqa: S603 - our own page
        [sys.executable, "-m", "pytest", "-q", *plugins, "test_incident.py"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_screenshot_is_there() -> None:
    """Where the page shows it from."""
    (path,) = re.findall(r'<img src="([^"]*report[^"]*)"', PAGE)

    assert (ROOT / "docs" / path).read_bytes().startswith(b"\x89PNG")
