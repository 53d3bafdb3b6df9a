"""`replay`: plays tapes against the bot in virtual time, and says whether every ended conversation closes."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bot import terminal
from bot.cli.given import Given
from bot.cli.problems import duration_or_refuse, refuse
from bot.flows.catalogue import UnknownFlowError, load_catalogue, load_flows
from bot.private_files import open_private
from bot.replay import live_post as live
from bot.replay.diff import BaselineError, differences, read_baseline
from bot.replay.faults import FAULTS
from bot.replay.report import report
from bot.replay.result import Result, to_json
from bot.replay.run import Setup, replay
from bot.sandbox.switchboard import BOT
from bot.settings import Settings, SettingsProblem, load_settings
from bot.tape import TapeError, find_tapes

ROWS = 40  # of the table; the rest is counted


class Modes(StrEnum):
    """In which control modes to play."""

    TAPE = "tape"
    RELEASE = "release"
    PASS = "pass"
    BOTH = "both"


def replay_tapes(
    tapes: Annotated[list[Path], typer.Argument(help="Tapes, or folders of tapes.")],
    mode: Annotated[Modes, typer.Option(help="Control mode; `tape`: the one that the tape shows.")] = Modes.TAPE,
    flows: Annotated[str, typer.Option(help="Modules that hold flows, separated by commas (else FLOWS).")] = "",
    opening: Annotated[str | None, typer.Option(help="The opening flow (else OPENING_FLOW).")] = None,
    closing: Annotated[str | None, typer.Option(help="The closing flow (else CLOSING_FLOW).")] = None,
    me: Annotated[
        str,
        typer.Option(help="The bot's switchboard integration on the tape (else SUNSHINE_SWITCHBOARD_INTEGRATION)."),
    ] = "",
    fault: Annotated[str, typer.Option(help=f"What goes wrong, separated by commas: {', '.join(FAULTS)}.")] = "",
    seed: Annotated[int, typer.Option(help="What the faults are drawn from.")] = 0,
    until_quiet: Annotated[
        bool, typer.Option("--until-quiet", help="Play on until the bot has nothing left to do anywhere.")
    ] = False,
    within: Annotated[
        str, typer.Option(help="How long a conversation may stay open after its end (30s); longer is a failure.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page that shows each conversation.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="The --json of an earlier run: show what the bot does differently.")
    ] = None,
    processes: Annotated[int, typer.Option(help="How many to use; 0: one a core.", min=0)] = 0,
    against: Annotated[
        str,
        typer.Option(
            help="Post the tapes to a running service instead: its base URL. "
            "Its secret is read from SUNSHINE_WEBHOOK_SECRET."
        ),
    ] = "",
    speed: Annotated[float, typer.Option(help="For --against: 2 is twice as fast; 0 waits for nothing.", min=0)] = 1.0,
    yes_really: Annotated[
        bool, typer.Option("--yes-really", help="For --against: post to another machine than this one.")
    ] = False,
) -> None:
    """Play tapes. Exit 0: all closed; 1: something stays open or the guarantee breaks; 2: they can't be used."""
    began = time.monotonic()
    try:
        paths = find_tapes(tapes)
        if against:
            _post(paths, against, speed, yes_really=yes_really)
            return
        if html and (html.is_dir() or not html.parent.is_dir()):
            refuse([f"--html: {html} can't be written: name a file in a folder that is there"])
        setup = _setup(flows, opening, closing, me, fault, seed)
        limit = duration_or_refuse("--within", within) if within else None
        detail = as_json or html is not None or baseline is not None
        setup = replace(setup, until_quiet=until_quiet, detail=detail, within=limit)
        old = read_baseline(baseline) if baseline else None
        modes = {Modes.TAPE: (), Modes.BOTH: ("release", "pass")}.get(mode, (mode.value,))
        results = _with_progress(paths, setup, modes, processes or os.cpu_count() or 1)
        if html:
            with open_private(html) as file:
                file.write(report(results).encode())
    except (TapeError, UnknownFlowError, BaselineError, live.LivePostError) as error:
        refuse([str(error)])
    except SettingsProblem as error:
        refuse(error.problems)
    except OSError as error:
        refuse([f"{error.filename}: it can't be written: {error.strerror}"])
    shown = to_json(results)
    if as_json:
        terminal.say_json(shown)
    else:
        _show(results, time.monotonic() - began)
    if old is not None:
        lines = differences(old, shown)
        for line in lines or ["The bot does the same as in the baseline."]:
            terminal.say(line, err=as_json)
    if not all(result.closed for result in results):
        raise typer.Exit(1)


def _setup(flows: str, opening: str | None, closing: str | None, me: str, fault: str, seed: int) -> Setup:
    settings, given = _settings(), Given()
    faults = tuple(name.strip() for name in fault.split(",") if name.strip())
    if unknown := [name for name in faults if name not in FAULTS]:
        raise SettingsProblem([f"--fault: there is no fault {unknown[0]!r}; known faults: {', '.join(FAULTS)}"])
    modules = tuple(name.strip() for name in flows.split(",") if name.strip()) or tuple(settings.flows)
    known = load_flows(modules)
    first = settings.opening_flow if opening is None else opening
    if flows and opening is None and first not in known and len(known) == 1:
        first = next(iter(known))
    last = settings.closing_flow if closing is None else closing
    load_catalogue(modules, first, last)  # raises where a name is not known
    policy = replace(settings.policy, me=BOT, integration_key=True, app_key=True)
    mode = given.control_mode if given.control_mode in ("release", "pass") else "release"
    return Setup(
        modules,
        first,
        last,
        policy,
        settings.pass_to,
        me,
        faults,
        seed,
        likely_me=given.sunshine_switchboard_integration,
        mode_else=mode,
    )


def _settings() -> Settings:
    """The settings that matter here: flows and durations. A tape needs no account, and so no keys."""
    unused: dict[str, Any] = {
        "sunshine_base_url": "http://127.0.0.1",
        "sunshine_app_id": "tape",
        "sunshine_key_id": "int_tape",
        "sunshine_key_secret": "tape",
        "sunshine_app_key_id": "app_tape",
        "sunshine_app_key_secret": "tape",
        "sunshine_switchboard_integration": BOT,
        "sunshine_webhook_secret": "secret of the tape",
        "control_mode": "release",
    }
    return load_settings(**unused)


def _with_progress(paths: list[Path], setup: Setup, modes: tuple[str, ...], processes: int) -> list[Result]:
    with terminal.progress("events") as progress:
        return replay(paths, setup, modes, processes=processes, progress=progress)


def _post(paths: list[Path], url: str, speed: float, *, yes_really: bool) -> None:
    given = Given()
    secret, app_id = next(iter(given.webhook_secrets), ""), given.sunshine_app_id
    posted = asyncio.run(live.post_tapes(paths, url, secret, speed, yes_really=yes_really, app_id=app_id))
    terminal.say(f"{posted.deliveries} deliveries posted to {url}; answers: {posted.in_words}")
    if posted.refused:
        raise typer.Exit(1)


def _show(results: list[Result], seconds: float) -> None:
    counts = ("events", "conversations", "ended", "open", "open for", "diverged")
    table = terminal.Table("", "tape", "mode", *counts, right=counts)
    for result in results:
        ended = [lane for lane in result.lanes if lane.ended_at is not None]
        table.row(
            terminal.line(("closed", "green") if result.closed else ("OPEN", "red")),
            result.tape,
            result.mode,
            str(result.events),
            str(len(result.lanes)),
            str(len(ended)),
            str(sum(not lane.ok for lane in result.lanes)),
            _longest_open(result),
            str(len(result.diverged)),
        )
    table.show()
    diverged = [f"{r.tape} ({r.mode}): {key}: {one.what}" for r in results for key, one in r.diverged]
    _show_lines("diverged", diverged)
    aside = [f"{r.tape} ({r.mode}): {key}" for r in results for key in r.set_aside]
    _show_lines("set aside, since it can't be understood", aside)
    wrong = [f"{r.tape} ({r.mode}): {lane.why_not}" for r in results for lane in r.lanes if not lane.ok]
    wrong += [f"{r.tape} ({r.mode}): {problem}" for r in results for problem in r.problems]
    _show_lines("not as it should be", wrong, "red")
    lanes = [lane for result in results for lane in result.lanes]
    over, events = sum(lane.ended_at is not None for lane in lanes), sum(result.events for result in results)
    verdict = f"{len(wrong)} not as it should be" if wrong else "all closed, with proof" if over else "none to close"
    rate = f"{events} events in {seconds:.1f} s, {events / max(seconds, 0.001):.0f} a second"
    terminal.say(f"conversations: {len(lanes)}, ended: {over}, {verdict} ({rate})")


def _longest_open(result: Result) -> str:
    """The longest time for which an ended conversation stayed open; empty if none has ended, or one is still open."""
    ended = any(lane.ended_at is not None for lane in result.lanes)
    return f"{result.open_for.total_seconds():.1f} s" if ended and result.open_for < timedelta.max else ""


def _show_lines(title: str, lines: list[str], style: str = "") -> None:
    for line in lines[:ROWS]:
        terminal.say((title, style), f": {line}")
    if len(lines) > ROWS:
        terminal.say((title, style), f": {len(lines) - ROWS} more; --json has them all")
