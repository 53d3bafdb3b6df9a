"""`simulate`: worlds drawn from seeds, played against the bot, and checked for breaches of the guarantee."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from bot.simulation.checks import violations
from bot.simulation.play import play
from bot.simulation.scenario import Scenario, draw
from bot.simulation.shrink import shrink

CHUNK = 20


def simulate(
    seeds: Annotated[int, typer.Option(help="How many seeds to play.", min=1)] = 100,
    first: Annotated[int, typer.Option(help="The first seed.", min=0)] = 0,
    processes: Annotated[int, typer.Option(help="How many to play at the same time.", min=1)] = 2,
    first_failure: Annotated[bool, typer.Option("--first-failure", help="Stop at the first seed that fails.")] = False,
    log: Annotated[bool, typer.Option(help="Print the event log of the first seed, and check nothing.")] = False,
) -> None:
    """Play random worlds with faults and crashes against the bot. Exit 1 if the guarantee breaks, with the seed."""
    if log:
        typer.echo("\n".join(play(draw(first)).log))
        return
    console = Console(stderr=True, highlight=False)
    began = time.monotonic()
    failed: list[tuple[int, list[str]]] = []
    done = 0
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("seeds", total=seeds)
        for played, failures in _played(range(first, first + seeds), processes):
            done += played
            progress.update(task, advance=played)
            failed += failures
            for seed, breaches in failures:
                progress.print(f"[red]seed {seed}[/red]: {breaches[0]}")
            if failed and first_failure:
                typer.echo(f"seed {failed[0][0]} ({done} played): {failed[0][1][0]}")
                raise typer.Exit(1)
    seconds = time.monotonic() - began
    typer.echo(f"{done} seeds from {first}: {len(failed)} failed, in {seconds:.1f} s ({done / seconds:.1f} a second)")
    if failed:
        _explain(*failed[0])
        raise typer.Exit(1)


def breaches_of(scenario: Scenario) -> list[str]:
    """Play a scenario and check it. An exception of the harness counts as a breach."""
    try:
        return violations(play(scenario))
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed must be known
        return [f"harness: {type(error).__name__}: {error}"]


def _played(seeds: range, processes: int) -> Iterator[tuple[int, list[tuple[int, list[str]]]]]:
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    if processes == 1:
        yield from map(_play_chunk, chunks)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_play_chunk, chunks)


def _play_chunk(seeds: range) -> tuple[int, list[tuple[int, list[str]]]]:
    logging.disable(logging.CRITICAL)  # faults are what these worlds are made of
    found = [(seed, breaches_of(draw(seed))) for seed in seeds]
    return len(seeds), [(seed, breaches) for seed, breaches in found if breaches]


def _explain(seed: int, breaches: list[str]) -> None:
    """Print the smallest scenario that fails in the same way."""
    kind = breaches[0].split(" (")[0]
    small = shrink(draw(seed), lambda scenario: any(kind in breach for breach in breaches_of(scenario)))
    typer.echo(f"\nseed {seed} breaks the guarantee:")
    for breach in breaches_of(small):
        typer.echo(f"  {breach}")
    typer.echo("the smallest scenario that shows it:")
    typer.echo(json.dumps(small.to_json(), indent=2))
