"""Show by which shortest story the exhaustive search finds each planted bug that needs no engine.

Run it as `python tests/simulation/exhaustive_mutants.py`.

Each bug of `planted.py` that shows without the engine is planted in a process of its own, which searches with one act
more at a time until a story breaks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from planted import BUGS
from rich.console import Console
from rich.table import Table

from bot.simulation.exhaustive.search import search
from bot.simulation.exhaustive.setup import Setup

ROOT = Path(__file__).resolve().parents[2]
MOST_ACTS = 3
TIMEOUT = 1800.0
NO_BUG = "none"

SETUPS = (
    Setup("release", "int"),
    Setup("pass", "both"),
    Setup("pass", "app"),
    Setup("release", "both", "undated"),
    Setup("pass", "int", "undated"),
    Setup("pass", "int", "instant"),
    Setup("release", "app", "instant"),
)
"""Each mode, each set of keys, each kind of time."""

FOUND = (
    "ignore the end that a business author tells",
    "ignore a system message without its activity",
    "ignore what only a read can tell",
    "let an older fact move the holder",
    "act again without a read after an unclear answer",
    "treat a 200 as proof",
    "use the app key without a read",
    "take what others hold without an operator's confirmation",
    "take by hand without a read",
    "never look again at what others hold",
    "close a conversation twice",
    "forget to look after an end",
    "drop what was said before a failure",
    "speak whoever holds control",
    "deliver the newest effect first",
    "let a closing flow go on for ever",
    "hold control without a flow for ever",
    "ignore that the user wrote after the end",
    "lose the reason of an explained holder",
    "read no messages before a pass",
)
"""The bugs that stories of a few acts show."""


@dataclass(frozen=True)
class Found:
    """What became of a hunt. `story` is empty where the bug is still alive.

    Attributes:
        acts: what the acts of the shortest story count.
        states: how many moments were visited until then.
    """

    name: str
    seconds: float
    states: int
    acts: int = 0
    story: str = ""
    breach: str = ""


def hunt(name: str, most: int = MOST_ACTS) -> Found:
    """Search with a bug planted, in a process of its own. Raises `RuntimeError` if the search itself fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, "--play", name, "--acts", str(most)]
    done = subprocess.run(  # noqa: S603 - our own program
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name}: the search itself failed: {done.stderr.strip()[-300:]}")
    return Found(**json.loads(done.stdout))


def _play(name: str, most: int) -> Found:
    """Plant a bug here, and search all setups with one act more at a time."""
    if name != NO_BUG:
        BUGS[name]()
    began, states = time.process_time(), 0
    for acts in range(1, most + 1):
        for setup in SETUPS:
            found = search(setup, acts, only_first=True)
            states += found.states
            if found.stories:
                story = found.stories[0]
                return Found(name, time.process_time() - began, states, acts, str(story), story.breach)
    return Found(name, time.process_time() - began, states)


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt the bugs, or those whose name holds a word; exit 1 if one lives."""
    parser = argparse.ArgumentParser(description="Show by which shortest story the search finds a planted bug.")
    parser.add_argument("--acts", type=int, default=MOST_ACTS, help="most acts of a story")
    parser.add_argument("--only", default="", help="only the bugs whose name holds this")
    parser.add_argument("--jobs", type=int, default=1, help="bugs hunted at the same time")
    parser.add_argument("--every", action="store_true", help="also bugs that are not known to show in a small story")
    parser.add_argument("--play", choices=[*BUGS, NO_BUG], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.play:
        print(json.dumps(asdict(_play(options.play, options.acts))))  # noqa: T201
        return 0
    names = [name for name in (BUGS if options.every else FOUND) if options.only in name]
    table = Table("bug", "acts", "moments", "seconds", "breach, and the story", box=None, pad_edge=False)
    console, alive = Console(highlight=False, markup=False, soft_wrap=True), 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for one in pool.map(lambda name: hunt(name, options.acts), names):
            alive += not one.story
            what = f"{one.breach}: {one.story}" if one.story else "alive"
            console.print(f"{one.name} | {one.acts} | {one.states} | {one.seconds:.1f} | {what}")
            table.add_row(one.name, str(one.acts), str(one.states), f"{one.seconds:.1f}", what)
    console.print(table)
    return 1 if alive else 0


if __name__ == "__main__":
    raise SystemExit(main())
