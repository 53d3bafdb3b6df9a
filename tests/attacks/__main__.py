"""`python -m tests.attacks [NAME…] [--root FOLDER] [--database URL]`: attack a bot, and print what it cost."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from .attacks import ATTACKS, api
from .probe import webhooks_beside
from .target import Figures, attacked

LONGEST = 240  # seconds for one attack


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ATTACKS))
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2], help="the code to attack")
    parser.add_argument("--database", default="", help="a migrated or empty database; a new SQLite file otherwise")
    given = parser.parse_args()
    if unknown := set(given.names) - set(ATTACKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    _say(f"{'attack':17}{'p50 s':>8}{'max s':>8}{'failed':>8}{'CPU s':>8}{'log kB':>8}{'MB':>7}  notes")
    for name in given.names or ATTACKS:
        figures = asyncio.run(_measured(name, given.root.resolve(), given.database))
        waits = sorted(figures.waits) or [math.nan]
        _say(
            f"{name:17}{waits[len(waits) // 2]:8.3f}{waits[-1]:8.3f}{figures.failed:8}{figures.cpu:8.1f}"
            f"{figures.log_bytes / 1000:8.1f}{figures.memory / 1e6:7.0f}  {'; '.join(figures.notes)}"
        )


async def _measured(name: str, root: Path, database_url: str) -> Figures:
    plan = ATTACKS[name]()
    async with AsyncExitStack() as stack:
        settings = dict(plan.settings)
        if plan.api is not None:
            settings["SUNSHINE_BASE_URL"] = await stack.enter_async_context(api(plan.api))
        target = await stack.enter_async_context(attacked(root, database_url, settings, plan.descriptors))
        async with webhooks_beside(target):
            await asyncio.sleep(1)
            try:
                async with asyncio.timeout(LONGEST):
                    note = await plan.run(target)
            except TimeoutError:
                note = f"stopped after {LONGEST} s"
            await asyncio.sleep(2)
        if note:
            target.figures.notes.append(note)
    return target.figures


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
