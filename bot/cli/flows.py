"""`flows list`, `flows check`: list waiting flows, and check their journals against the code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from bot import terminal
from bot.cli.database import with_database
from bot.cli.partial_settings import PartialSettings
from bot.cli.problems import refuse
from bot.clock import SystemClock
from bot.console.formatting import age
from bot.engine.journal_check import all_at_work, misfit, waits_at
from bot.flows.authoring import Flow
from bot.flows.catalogue import Catalogue, UnknownFlowError, load_catalogue
from bot.flows.error_report import describe_error
from bot.flows.resources import LifespanError, opened
from bot.store import Database
from bot.store.operators import RunAtWork

app = typer.Typer(
    help="List waiting flows, and check their journals against the code.",
    add_completion=False,
)

EXIT_UNFIT = 1
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Modules = Annotated[str, typer.Option("--flows", metavar="MODULE", help="Overrides FLOWS.")]
_Versions = dict[tuple[str, int], int]


@app.callback(invoke_without_command=True)
def flows(context: typer.Context, as_json: _AsJson = False) -> None:
    """List waiting flows, and check their journals against the code."""
    if context.invoked_subcommand is None:
        list_flows(as_json=as_json)


@app.command("list")
def list_flows(
    modules: _Modules = "",
    limit: Annotated[
        int,
        typer.Option(min=0, max=10_000, help="Maximum number of conversations."),
    ] = 50,
    as_json: _AsJson = False,
) -> None:
    """List flows with their number of waiting conversations, and where these wait."""
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
            terminal.say(f"There are more: use --limit {max(50, limit * 10)}.")
    if problem:
        terminal.say(problem, err=True)


@app.command("check")
def check(modules: _Modules = "", as_json: _AsJson = False) -> None:
    """Replay every waiting journal against the current code, without effects.

    Sends, calls and stores nothing, but opens a @lifespan. Run it before a deploy, with the
    new code and the production database. Exit 1: a journal does not fit.
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
                    id_, journal = one.state.id, one.journal
                    if found := await misfit(catalogue, id_, journal, resources=resources):
                        unfit.append((one, found))
        except LifespanError as error:
            cause = describe_error(error.__cause__ or error, is_full=False)
            refuse([f"FLOWS: the lifespan {error} failed: {cause}"])
        return played, unfit

    played, unfit = with_database(play)
    if as_json:
        rows = [{**_waiting(one, now), "problem": found} for one, found in unfit]
        terminal.say_json({"waiting": played, "unfit": rows})
    else:
        for one, found in unfit:
            where = f"has waited for {_age(one, now)} at {waits_at(one.journal)}"
            terminal.say(f"{one.state.id} {where}: {found}")
        if unfit:
            terminal.say(f"{len(unfit)} of {played} waiting conversations would not fit.")
        elif played:
            terminal.say(f"All {played} waiting conversations fit.")
        else:
            terminal.say("No conversation waits in a flow.")
    if unfit:
        raise typer.Exit(EXIT_UNFIT)


def _loaded(modules: str) -> tuple[Catalogue, str]:
    """Load the flows. Return them, and the error message; empty on success."""
    settings = PartialSettings()
    names = [name.strip() for name in (modules or settings.flows).split(",") if name.strip()]
    try:
        return load_catalogue(names), ""
    except UnknownFlowError as error:
        return Catalogue(), str(error)


def _show(
    versions: _Versions,
    known: dict[tuple[str, int], Flow],
    waiting: Sequence[RunAtWork],
    now: datetime,
) -> None:
    table = terminal.Table("flow", "version", "at work", "")
    for (name, version), number in versions.items():
        note = "" if (name, version) in known else "not in FLOWS"
        table.row(name or "(not recorded)", str(version), str(number), note)
    table.show()
    if waiting:
        terminal.say()
        table = terminal.Table("conversation", "flow", "version", "waits at", "for")
        for one in waiting:
            where = waits_at(one.journal)
            table.row(one.state.id, one.flow, str(one.version), where, _age(one, now))
        table.show()


def _row(
    name: str,
    version: int,
    number: int,
    known: dict[tuple[str, int], Flow],
) -> dict[str, Any]:
    registered = (name, version) in known
    return {"flow": name, "version": version, "at_work": number, "registered": registered}


def _waiting(one: RunAtWork, now: datetime) -> dict[str, Any]:
    run = one.state.run
    seconds = (now - run.since).total_seconds() if run else None
    at = {"waits_at": waits_at(one.journal), "seconds": seconds}
    return {"conversation": one.state.id, "flow": one.flow, "version": one.version, **at}


def _age(one: RunAtWork, now: datetime) -> str:
    return age(now - one.state.run.since) if one.state.run else ""
