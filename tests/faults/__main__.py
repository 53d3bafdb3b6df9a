"""`python -m tests.faults [--seconds S] [NAME…]`: let things go wrong around `serve`, and print what its log tells."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import time

sys.path.insert(0, str(Path(__file__).parents[1]))

from postgres_server import PostgresServer

from .databases import Database, Postgres
from .faults import CASES, Case, nothing
from .place import Place, placed, seconds_until

SPACING = 4.0  # seconds between the starts of two bots
WELL = 15.0  # seconds in which a bot is well before a fault strikes


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a fault."""

    case: Case
    database: str
    seconds: float | None
    line: str
    lines: int
    ready: str
    detail: str


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of a fault's name; all by default")
    parser.add_argument("--seconds", type=float, default=600.0, help="for which each fault lasts")
    given = parser.parse_args()
    wanted = [case for case in CASES if not given.names or any(name in case.name for name in given.names)]
    results = asyncio.run(_all(wanted, given.seconds))
    _say("| fault | database | seconds | told by | lines | `/readyz` |", "| --- | --- | --- | --- | --- | --- |")
    for result in results:
        seconds = "**never**" if result.seconds is None else f"{result.seconds:.1f}"
        _say(
            f"| {result.case.name} | {result.database} | {seconds} | {result.line} | {result.lines} | {result.ready} |"
        )
    for result in results:
        _say("", f"{result.case.name}, {result.database}: {result.detail}")


async def _all(cases: list[Case], seconds: float) -> list[Result]:
    shared, own = PostgresServer(), PostgresServer()
    try:
        return list(
            await asyncio.gather(
                *(_one(case, place * SPACING, seconds, shared, own) for place, case in enumerate(cases))
            )
        )
    finally:
        shared.remove()
        own.remove()


async def _one(case: Case, wait: float, seconds: float, shared: PostgresServer, own: PostgresServer) -> Result:
    await asyncio.sleep(wait)
    database = Database()
    if case.database != "sqlite":
        database = await asyncio.to_thread(Postgres, own if case.database == "own" else shared)
    async with placed(database, case.settings, case.prepare) as place:
        place.struck = time()
        await place.starts()
        place.ended = time()
        customers = asyncio.create_task(place.customers())
        if case.strike:
            if case.strike is not nothing:
                await asyncio.sleep(WELL)
            place.struck = time()
            await case.strike(place)
        if place.process and place.process.returncode is None:
            await asyncio.sleep(seconds)
        customers.cancel()
        return await _judged(case, place)


async def _judged(case: Case, place: Place) -> Result:
    assert place.process
    if (code := place.process.returncode) is not None:
        lines = place.plain()
        refused = place.ended - place.struck if lines else None
        said = lines[0] if lines else "nothing"
        return Result(case, place.database.name, refused, f"exit {code}", len(lines), "-", said)
    ready = "no answer"
    with suppress(Exception):
        ready = str(await place.readiness())
    told = place.told()
    first = next((f"`{line['event']}` {line.get('what', '')}".strip() for line in told), "")
    counted = Counter(f"{line['event']} {line.get('what', '')} {line['level']}".replace("  ", " ") for line in told)
    detail = "; ".join(f"{name} x{count}" for name, count in counted.items())
    return Result(case, place.database.name, seconds_until(place), first, len(told), ready, detail)


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
