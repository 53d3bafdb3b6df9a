"""`simulate`: play random worlds, or every small world, against the bot; check the guarantee."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Annotated

import typer

from bot import terminal
from bot.cli.simulate_exhaustive import retell, search_all
from bot.simulation.checks import violations
from bot.simulation.play import play
from bot.simulation.scenario import Scenario, draw
from bot.simulation.shrink import shrink

CHUNK = 20


def simulate(
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 100,
    first: Annotated[int, typer.Option(help="The first seed.", min=0)] = 0,
    jobs: Annotated[
        int | None,
        typer.Option(help="Number of processes.", show_default="all cores", min=1),
    ] = None,
    first_failure: Annotated[
        bool,
        typer.Option("--first-failure", help="Stop at the first failure."),
    ] = False,
    log: Annotated[
        bool,
        typer.Option(help="Print the event log of the first seed, without checks."),
    ] = False,
    exhaustive: Annotated[
        int | None,
        typer.Option(help="Instead of seeds, search all stories of up to this many acts.", min=1),
    ] = None,
    story: Annotated[
        str | None,
        typer.Option(help="Play one story, as printed by the search."),
    ] = None,
    only: Annotated[
        str,
        typer.Option(help="Search only setups whose name contains this, such as 'mode pass'."),
    ] = "",
    seconds: Annotated[
        float | None,
        typer.Option(help="Maximum seconds to search each setup.", min=1),
    ] = None,
) -> None:
    """Play random worlds with faults and crashes against the bot.

    With --exhaustive, plays every story of up to that many acts on the rules alone, and checks
    each moment. Exit 1: the guarantee breaks; prints the seed and the smallest scenario.
    """
    if story is not None:
        raise typer.Exit(retell(story))
    if exhaustive is not None:
        code = search_all(
            exhaustive,
            jobs or _cores(),
            only=only,
            seconds=seconds,
            only_first=first_failure,
        )
        raise typer.Exit(code)
    if log:
        for entry in play(draw(first)).log:
            terminal.say(entry)
        return
    began = time.monotonic()
    failed: list[tuple[int, list[str]]] = []
    done = 0
    with terminal.progress("seeds") as progress:
        for played, failures in _played(range(first, first + seeds), jobs or _cores()):
            done += played
            progress(done, seeds)
            failed += failures
            for seed, breaches in failures:
                terminal.say((f"seed {seed}", "red"), f": {breaches[0]}", err=True)
            if failed and first_failure:
                seed, breaches = failed[0]
                terminal.say(f"seed {seed} ({seed - first + 1} played): {breaches[0]}")
                raise typer.Exit(1)
    seconds = time.monotonic() - began
    terminal.say(f"{done} seeds from {first}: {len(failed)} failed")
    terminal.say(f"in {seconds:.1f} s ({done / seconds:.1f} per second)", err=True)
    if failed:
        _explain(*failed[0])
        raise typer.Exit(1)


def breaches_of(scenario: Scenario) -> list[str]:
    """Play a scenario and return its breaches. An exception in the harness counts as one."""
    try:
        return violations(play(scenario))
    except Exception as error:  # noqa: BLE001 - any error must be reported with its seed
        return [f"harness: {type(error).__name__}: {error}"]


def _cores() -> int:
    """Return the number of cores available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _played(seeds: range, jobs: int) -> Iterator[tuple[int, list[tuple[int, list[str]]]]]:
    """Play the seeds. Yields failures in the order of the seeds, whatever the number of jobs."""
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    if jobs == 1:
        yield from map(_play_chunk, chunks)
        return
    pool = ProcessPoolExecutor(min(jobs, len(chunks)))
    try:
        yield from pool.map(_play_chunk, chunks)
    finally:
        pool.shutdown(cancel_futures=True)


def _play_chunk(seeds: range) -> tuple[int, list[tuple[int, list[str]]]]:
    with _quiet():
        found = [(seed, breaches_of(draw(seed))) for seed in seeds]
    return len(seeds), [(seed, breaches) for seed, breaches in found if breaches]


@contextmanager
def _quiet() -> Iterator[None]:
    """Disable logging: these worlds are full of faults."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)


def _explain(seed: int, breaches: list[str]) -> None:
    """Print the smallest scenario with the same breach."""
    kind = breaches[0].split(" (")[0]

    def fails(scenario: Scenario) -> bool:
        return any(kind in breach for breach in breaches_of(scenario))

    with _quiet():
        small = shrink(draw(seed), fails)
    terminal.say()
    terminal.say(f"seed {seed} breaks the guarantee:")
    for breach in breaches_of(small):
        terminal.say(f"  {breach}")
    terminal.say("the smallest scenario that shows it:")
    terminal.say_json(small.to_json())
