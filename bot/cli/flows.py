"""`flows list`, `flows check`: who waits in which flow, and whose journal would not fit the code at hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from bot import terminal
from bot.cli.database import with_database
from bot.cli.given import Given
from bot.cli.problems import refuse
from bot.clock import SystemClock
from bot.console.words import age
from bot.engine.journal_check import all_at_work, misfit, waits_at
from bot.flows.authoring import Flow
from bot.flows.catalogue import Catalogue, UnknownFlowError, load_catalogue
from bot.flows.error_report import describe_error
from bot.flows.resources import LifespanError, opened
from bot.store import Database
from bot.store.operators import RunAtWork

app = typer.Typer(
    help="Who waits in which flow, and which waiting journals would not fit the code.", add_completion=False
)

UNFIT = 1
_AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
_Modules = Annotated[str, typer.Option("--flows", metavar="MODULE", help="In place of FLOWS.")]
_Versions = dict[tuple[str, int], int]


@app.callback(invoke_without_command=True)
def flows(context: typer.Context, as_json: _AsJson = False) -> None:
    """Who waits in which flow, and which waiting journals would not fit the code."""
    if context.invoked_subcommand is None:
        list_flows(as_json=as_json)


@app.command("list")
def list_flows(
    modules: _Modules = "",
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="Maximum number of conversations.")] = 50,
    as_json: _AsJson = False,
) -> None:
    """List the flows, the number of conversations in each version, and who waits where, and for how long."""
    now = SystemClock().now()
    catalogue, problem = _loaded(modules)

    async def look(store: Database) -> tuple[_Versions, list[RunAtWork]]:
        counts = await store.counts(now)
        return dict(counts.flows), await store.runs_at_work(limit) if limit else []

    counts, waiting = with_database(look)
    known = {(flow.name, flow.version): flow for flow in catalogue.all}
    versions = {version: counts.get(version, 0) for version in sorted({*known, *counts})}
    if as_json:
        rows = [_row(*version, number, known) for version, number in versions.items()]
        terminal.say_json({"flows": rows, "waiting": [_waiting(one, now) for one in waiting]})
    else:
        _show(versions, known, waiting, now)
        if len(waiting) < sum(versions.values()):
            terminal.say(f"There are more: --limit {max(50, limit * 10)} shows them.")
    if problem:
        terminal.say(problem, err=True)


@app.command("check")
def check(modules: _Modules = "", as_json: _AsJson = False) -> None:
    """Play every waiting journal against the code at hand, without effects. Exit 1: not all of them fit.

    Nothing is said, called or stored; a @lifespan is opened. Run it before a deploy, with the new code and the database
    that runs.
    """
    now = SystemClock().now()
    catalogue, problem = _loaded(modules)
    if problem:
        refuse([problem])

    async def play(store: Database) -> tuple[int, list[tuple[RunAtWork, str]]]:
        played, unfit = 0, []
        try:
            async with opened(catalogue.handlers.lifespan, lambda _: None) as resources:
                async for one in all_at_work(store):
                    played += 1
                    if found := await misfit(catalogue, one.state.id, one.journal, resources=resources):
                        unfit.append((one, found))
        except LifespanError as error:
            refuse([f"FLOWS: the lifespan {error} failed: {describe_error(error.__cause__ or error, is_full=False)}"])
        return played, unfit

    played, unfit = with_database(play)
    if as_json:
        terminal.say_json(
            {"waiting": played, "unfit": [{**_waiting(one, now), "problem": found} for one, found in unfit]}
        )
    else:
        for one, found in unfit:
            terminal.say(f"{one.state.id} waits for {_age(one, now)} at {waits_at(one.journal)}: {found}")
        fit = f"All {played} waiting conversations fit." if played else "No conversation waits in a flow."
        terminal.say(f"{len(unfit)} of {played} waiting conversations would not fit." if unfit else fit)
    if unfit:
        raise typer.Exit(UNFIT)


def _loaded(modules: str) -> tuple[Catalogue, str]:
    """The flows at hand, and why they can't be loaded; empty if they can."""
    given = Given()
    names = [name.strip() for name in (modules or given.flows).split(",") if name.strip()]
    try:
        return load_catalogue(names), ""
    except UnknownFlowError as error:
        return Catalogue(), str(error)


def _show(versions: _Versions, known: dict[tuple[str, int], Flow], waiting: Sequence[RunAtWork], now: datetime) -> None:
    table = terminal.Table("flow", "version", "at work", "")
    for (name, version), number in versions.items():
        note = "" if (name, version) in known else "not in FLOWS"
        table.row(name or "(not recorded)", str(version), str(number), note)
    table.show()
    if waiting:
        terminal.say()
        table = terminal.Table("conversation", "flow", "version", "waits at", "for")
        for one in waiting:
            table.row(one.state.id, one.flow, str(one.version), waits_at(one.journal), _age(one, now))
        table.show()


def _row(name: str, version: int, number: int, known: dict[tuple[str, int], Flow]) -> dict[str, Any]:
    return {"flow": name, "version": version, "at_work": number, "registered": (name, version) in known}


def _waiting(one: RunAtWork, now: datetime) -> dict[str, Any]:
    run = one.state.run
    seconds = (now - run.since).total_seconds() if run else None
    at = {"waits_at": waits_at(one.journal), "seconds": seconds}
    return {"conversation": one.state.id, "flow": one.flow, "version": one.version, **at}


def _age(one: RunAtWork, now: datetime) -> str:
    return age(now - one.state.run.since) if one.state.run else ""
