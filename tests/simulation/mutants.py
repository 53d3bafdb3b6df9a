"""Show that the simulation finds every planted bug: `python tests/simulation/mutants.py`.

Each bug of `planted.py` is planted in a process of its own, which plays worlds until one breaks.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from planted import BUGS
from rich.console import Console
from rich.table import Table

from bot.cli.simulate import breaches_of
from bot.simulation.scenario import draw

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 2000
TIMEOUT = 3600.0
NO_BUG = "none"


@dataclass(frozen=True)
class Found:
    """What became of a hunt. `seed` and `breach` are None where the bug is still alive."""

    name: str
    seconds: float
    seed: int | None = None
    breach: str | None = None


def hunt(name: str, seeds: int = SEEDS, first: int = 0, timeout: float = TIMEOUT) -> Found:
    """Play worlds with a bug planted, in a process of its own.

    Args:
        name: a bug of `BUGS`.
        seeds: how many worlds at most.
        first: the first seed.
        timeout: seconds; the simulation is blind to a bug that it does not find in this time.

    Raises:
        RuntimeError: the simulation did not run, which proves nothing.
    """
    began, end = time.monotonic(), first + seeds
    while first < end:
        try:
            found = _first_of(name, range(first, end), timeout - (time.monotonic() - began))
        except subprocess.TimeoutExpired:
            break
        if found is None:
            break
        seed, breach = found
        if _first_of(NO_BUG, range(seed, seed + 1), TIMEOUT) is None:
            return Found(name, time.monotonic() - began, seed, breach)
        first = seed + 1  # that world breaks without the bug, too: it proves nothing
    return Found(name, time.monotonic() - began)


def _first_of(name: str, seeds: range, timeout: float) -> tuple[int, str] | None:
    """The first of these worlds that breaks with a bug planted, and how; None if none does."""
    numbers = ["--seeds", str(len(seeds)), "--first", str(seeds.start)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    command = [sys.executable, __file__, "--play", name, *numbers]
    done = subprocess.run(  # noqa: S603 - our own program
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=max(timeout, 1.0), check=False
    )
    seed, _, breach = done.stdout.strip().partition(" ")
    if done.returncode == 1 and seed.isdigit():
        return int(seed), breach
    if done.returncode == 0:
        return None
    raise RuntimeError(f"{name}: the simulation itself failed: {done.stderr.strip()[-300:]}")


def _play(name: str, seeds: range) -> int:
    """Plant a bug here, play, and print the first seed that shows it. Exit code 1: found."""
    logging.disable(logging.CRITICAL)
    if name != NO_BUG:
        BUGS[name]()
    for seed in seeds:
        if breaches := breaches_of(draw(seed)):
            print(seed, breaches[0])  # noqa: T201
            return 1
    return 0


def _table(results: Sequence[Found]) -> Table:
    table = Table("bug", "", "seed", "seconds", "breach", box=None, pad_edge=False)
    for result in results:
        alive = result.seed is None
        row = (result.name, "[red]alive[/red]" if alive else "found", "" if alive else str(result.seed))
        table.add_row(*row, f"{result.seconds:.0f}", (result.breach or "").replace("[", "\\["))
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt all bugs, or those whose name holds a word; exit 1 if one lives."""
    parser = argparse.ArgumentParser(description="Show that the simulation finds every planted bug.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="most worlds for each bug")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", default="", help="only the bugs whose name holds this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="bugs hunted at the same time")
    parser.add_argument("--play", choices=[*BUGS, NO_BUG], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.play:
        return _play(options.play, range(options.first, options.first + options.seeds))
    console = Console(highlight=False, soft_wrap=True)
    chosen = [name for name in BUGS if options.only in name]
    began, results = time.monotonic(), []
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(lambda name: hunt(name, options.seeds, options.first), chosen):
            console.print(f"{'alive' if result.seed is None else 'found'}  {result.name} ({result.seconds:.0f} s)")
            results.append(result)
    alive = sum(result.seed is None for result in results)
    console.print(_table(results))
    console.print(f"{len(chosen) - alive} of {len(chosen)} found in {time.monotonic() - began:.0f} s")
    return 1 if alive else 0


if __name__ == "__main__":
    raise SystemExit(main())
