"""`switchboard-bot demo`: it shows that every ended conversation closes, and says so if one does not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from tiers import some

from bot.cli import demo
from bot.cli.demo import MODES, PROOF_TIMEOUT, play_mode
from bot.cli.demo_view import Screen
from bot.sandbox.stories import STORIES

ROOT = Path(__file__).parents[2]

BROKEN = """
from bot.cli import demo, main
from bot.sunshine import SunshineClient

async def nothing(*_, **__):
    pass

SunshineClient.release_control = nothing
demo.PROOF_TIMEOUT = 1.0
demo.STORIES = [story for story in demo.STORIES if story.title in ("ended in mid-flow", "flow hangs")]
main()
"""


WATCHED = """
from bot import terminal
from bot.cli import demo, demo_view, main

terminal.is_watched = lambda: True
demo.LEFT_OPEN_PAUSE = demo_view.MIN_PAUSE = demo_view.MAX_PAUSE = demo_view.VERDICT_PAUSE = 0.05
demo.STORIES = [story for story in demo.STORIES if story.title in ("ended in mid-flow", "flow hangs")]
main()
"""


async def _run(folder: Path, *arguments: str, columns: int = 200) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": str(columns)},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_the_demo_closes_everything(tmp_path: Path) -> None:
    """Sixteen conversations in both modes, each with proof; exit 0, and nothing but JSON on standard output."""
    code, out, err = await _run(tmp_path, "-m", "bot", "demo", "--json")
    rows = json.loads(out)
    assert [row for row in rows if not row["ok"]] == []
    assert len(rows) == 2 * len(STORIES)
    assert {row["mode"] for row in rows} == {"release", "pass"}
    assert all(row["proof"] for row in rows)
    # A survey that asked after the end would keep it open for five minutes; tests in virtual time hold the exact bound.
    assert max(row["seconds"] for row in rows) < PROOF_TIMEOUT
    assert (code, err) == (0, "")
    assert _files(tmp_path) == []


@pytest.mark.parametrize("columns", some([50, 80]))
async def test_the_demo_is_watched(tmp_path: Path, columns: int) -> None:
    """At a terminal: one conversation after another by one clock, the naive bot's first, with the table's numbers."""
    (tmp_path / "watched.py").write_text(WATCHED)
    code, out, err = await _run(tmp_path, "watched.py", "demo", columns=columns)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= columns
    headings = [line for line in lines if re.fullmatch(r" \d  .* \((pass|release) mode\)", line)]
    assert [heading.strip() for heading in headings] == [
        "0  ended in mid-flow (pass mode)",
        "1  ended in mid-flow (pass mode)",
        "2  flow hangs (pass mode)",
        "3  ended in mid-flow (release mode)",
        "4  flow hangs (release mode)",
    ]
    times = [float(found[1]) for line in lines if (found := re.match(r" *(\d+\.\d)s ", line))]
    assert len(times) > 20
    assert times == sorted(times)
    table = lines[lines.index("Every ended conversation, and how it closed") :]
    numbers = [found[1] for line in table if (found := re.match(r" *(\d) ", line))]
    assert numbers == ["1", "2", "3", "4", "0"]
    assert "bot's 4 ended conversations are closed" in " ".join(lines)
    assert "The naive bot's is still open" in " ".join(lines)


async def test_the_demo_at_once(tmp_path: Path) -> None:
    """Without a terminal: the same conversations in the same order, and none waits for a reader."""
    code, out, _ = await _run(tmp_path, "-m", "bot", "demo")
    headings = re.findall(r"^ ?(\d+)  .* \((pass|release) mode\)$", out, re.MULTILINE)
    assert [int(number) for number, _ in headings] == list(range(2 * len(STORIES) + 1))
    assert [mode for _, mode in headings] == ["pass"] * 9 + ["release"] * 8
    assert (code, "is still active" in out) == (0, True)


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
async def test_the_stories_close_on_postgresql(
    mode: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same conversations on a database that is a server's: it has no tables yet, and all of them close."""
    monkeypatch.setattr(demo, "PROOF_TIMEOUT", 60.0)  # the machine may be busy
    url = postgres.new_database(migrated=False)
    rows = await play_mode(mode, url, Screen())
    assert [row for row in rows if not row.ok] == []
    assert len(rows) == len(STORIES)
    postgres.drop_database(url)


async def test_the_demo_tells_what_stays_open(tmp_path: Path) -> None:
    """With a release that does nothing: exit 1, and the ids of the conversations that are open."""
    (tmp_path / "broken.py").write_text(BROKEN)
    code, out, _ = await _run(tmp_path, "broken.py", "demo")
    assert code == 1
    open_ids = [line.split()[2] for line in out.splitlines() if line.startswith("stays open:")]
    assert len(open_ids) == len(set(open_ids)) == 2  # those in pass mode: in release mode the platform releases
    assert "ended conversations are closed" not in out
