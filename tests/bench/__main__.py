"""`python -m tests.bench [NAME…]`: measure, print the table, write `results.json` and `results.svg` beside this."""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import end_to_release, growth, intake, recovery, report, scale_out, turns
from .databases import databases
from .figures import Figure
from .load import BenchError
from .setting import Setting

Measure = Callable[[Setting], Coroutine[Any, Any, list[Figure]]]

BENCHMARKS: Mapping[str, Measure] = {
    "intake": intake.measure,
    "end_to_release": end_to_release.measure,
    "turns": turns.measure,
    "recovery": recovery.measure,
    "growth": growth.measure,
    "scale_out": scale_out.measure,
}
ROUNDS = 5
LONGEST = 600  # seconds for one benchmark
AIOGRAM = "aiogram==3.31.0"  # in a virtual environment of its own: it wants an older pydantic than the bot


def main() -> int:
    """Run what is asked for; 1 if something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="only see that everything works: SQLite, short rounds")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often everything is measured, in turns")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the results")
    options = parser.parse_args()
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))  # all that was started ends too
    figures, failed = _measured(options.names or list(BENCHMARKS), options.rounds, quick=options.quick)
    _say("", report.table(figures))
    if figures:
        report.write(figures, options.rounds, options.out)
    return 1 if failed else 0


def _measured(names: Sequence[str], rounds: int, *, quick: bool) -> tuple[list[Figure], bool]:
    figures: list[Figure] = []
    failed = False
    with (
        tempfile.TemporaryDirectory(prefix="switchboard-bench-") as folder,
        databases(Path(folder), postgres=not quick) as found,
    ):
        setting = Setting(Path(folder), found, 1 if quick else rounds, quick, "" if quick else _aiogram())
        for name in names:
            began = time.monotonic()
            _say(f"{name} …")
            try:
                found_now = asyncio.run(asyncio.wait_for(BENCHMARKS[name](setting), LONGEST))
                figures += found_now
                _say(report.table(found_now))
            except (BenchError, TimeoutError) as error:
                failed = True
                why = str(error) or f"not done within {LONGEST} s"
                _say(f"{name} failed: {why}")
            _say(f"{name}: {time.monotonic() - began:.0f} s")
    return figures, failed


def _aiogram() -> str:
    """The interpreter that has aiogram; made once, in the bot's own virtual environment. Empty: it can't be made."""
    folder = Path(sys.prefix) / "bench-aiogram"
    python = folder / "bin" / "python"
    if not python.exists():
        try:
            venv.create(folder, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "-q", AIOGRAM], check=True, timeout=300)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            _say(f"aiogram is left out: {error}")
            return ""
    return str(python)


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
