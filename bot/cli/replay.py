"""`replay`: play tapes against the bot in virtual time, and check that every end is closed."""

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
from bot.cli.partial_settings import PartialSettings
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
from bot.settings import Settings, SettingsError, load_settings
from bot.tape import TapeError, find_tapes

MAX_LINES = 40  # per list of details


class Modes(StrEnum):
    """The control modes to replay in."""

    TAPE = "tape"
    RELEASE = "release"
    PASS = "pass"
    BOTH = "both"


def replay_tapes(
    tapes: Annotated[list[Path], typer.Argument(help="Tapes, or folders of tapes.")],
    mode: Annotated[
        Modes,
        typer.Option(help="Control mode; `tape` uses the mode of the recording."),
    ] = Modes.TAPE,
    flows: Annotated[
        str,
        typer.Option(help="Flow modules, separated by commas (default: FLOWS)."),
    ] = "",
    opening: Annotated[
        str | None,
        typer.Option(help="The opening flow (default: OPENING_FLOW)."),
    ] = None,
    closing: Annotated[
        str | None,
        typer.Option(help="The closing flow (default: CLOSING_FLOW)."),
    ] = None,
    me: Annotated[
        str,
        typer.Option(help="The bot's switchboard integration on the tape (default: SUNSHINE_SWITCHBOARD_INTEGRATION)."),
    ] = "",
    fault: Annotated[
        str,
        typer.Option(help=f"Faults to inject, separated by commas: {', '.join(FAULTS)}."),
    ] = "",
    seed: Annotated[int, typer.Option(help="Random seed of the faults.")] = 0,
    until_quiet: Annotated[
        bool,
        typer.Option("--until-quiet", help="Play on until the bot has nothing left to do."),
    ] = False,
    within: Annotated[
        str,
        typer.Option(help="Fail if a conversation stays open for longer after its end (30s)."),
    ] = "",
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print only the result, as JSON."),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Write an HTML report of each conversation."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="The --json of an earlier run: show differences in behaviour."),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(help="Number of processes; 0 means one per core.", min=0),
    ] = 0,
    against: Annotated[
        str,
        typer.Option(
            help="Post the tapes to a running service instead: its base URL. "
            "Its secret is read from SUNSHINE_WEBHOOK_SECRET."
        ),
    ] = "",
    speed: Annotated[
        float,
        typer.Option(help="For --against: 2 is twice as fast; 0 does not wait.", min=0),
    ] = 1.0,
    yes_really: Annotated[
        bool,
        typer.Option("--yes-really", help="For --against: allow posting to another machine."),
    ] = False,
) -> None:
    """Replay tapes against the bot in virtual time.

    Exit 0: all closed; 1: a conversation stays open or the guarantee breaks; 2: invalid input.
    """
    began = time.monotonic()
    try:
        paths = find_tapes(tapes)
        if against:
            _post(paths, against, speed, yes_really=yes_really)
            return
        if html and (html.is_dir() or not html.parent.is_dir()):
            refuse([f"--html: {html} can't be written: name a file in an existing folder"])
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
    except SettingsError as error:
        refuse(error.problems)
    except OSError as error:
        refuse([f"{error.filename} can't be written: {error.strerror}"])
    shown = to_json(results)
    if as_json:
        terminal.say_json(shown)
    else:
        _show(results, time.monotonic() - began)
    if old is not None:
        lines = differences(old, shown)
        for line in lines or ["The bot behaves as in the baseline."]:
            terminal.say(line, err=as_json)
    if not all(result.closed for result in results):
        raise typer.Exit(1)


def _setup(
    flows: str,
    opening: str | None,
    closing: str | None,
    me: str,
    fault: str,
    seed: int,
) -> Setup:
    settings, partial_settings = _settings(), PartialSettings()
    faults = tuple(name.strip() for name in fault.split(",") if name.strip())
    if unknown := [name for name in faults if name not in FAULTS]:
        names = ", ".join(FAULTS)
        raise SettingsError([f"--fault: unknown fault {unknown[0]!r}; known faults: {names}"])
    named = tuple(name.strip() for name in flows.split(",") if name.strip())
    modules = named or tuple(settings.flows)
    known = load_flows(modules)
    first = settings.opening_flow if opening is None else opening
    if flows and opening is None and first not in known and len(known) == 1:
        first = next(iter(known))
    last = settings.closing_flow if closing is None else closing
    load_catalogue(modules, first, last)  # raises for an unknown name
    policy = replace(settings.policy, me=BOT, integration_key=True, app_key=True)
    mode = partial_settings.control_mode
    mode = mode if mode in ("release", "pass") else "release"
    return Setup(
        modules,
        first,
        last,
        policy,
        settings.pass_to,
        me,
        faults,
        seed,
        likely_me=partial_settings.sunshine_switchboard_integration,
        mode_else=mode,
    )


def _settings() -> Settings:
    """Load the settings, with placeholders for the account: a replay needs none."""
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


def _with_progress(
    paths: list[Path],
    setup: Setup,
    modes: tuple[str, ...],
    processes: int,
) -> list[Result]:
    with terminal.progress("events") as progress:
        return replay(paths, setup, modes, processes=processes, progress=progress)


def _post(paths: list[Path], url: str, speed: float, *, yes_really: bool) -> None:
    settings = PartialSettings()
    secret, app_id = next(iter(settings.webhook_secrets), ""), settings.sunshine_app_id
    work = live.post_tapes(paths, url, secret, speed, yes_really=yes_really, app_id=app_id)
    posted = asyncio.run(work)
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
    diverged, aside, failed = [], [], []
    for result in results:
        tape = f"{result.tape} ({result.mode})"
        diverged += [f"{tape}: {key}: {one.what}" for key, one in result.diverged]
        aside += [f"{tape}: {key}" for key in result.set_aside]
        failed += [f"{tape}: {lane.why_not}" for lane in result.lanes if not lane.ok]
    for result in results:
        failed += [f"{result.tape} ({result.mode}): {problem}" for problem in result.problems]
    _show_lines("diverged", diverged)
    _show_lines("set aside as invalid", aside)
    _show_lines("failed", failed, "red")
    lanes = [lane for result in results for lane in result.lanes]
    over = sum(lane.ended_at is not None for lane in lanes)
    events = sum(result.events for result in results)
    proven = "all closed, with proof" if over else "none to close"
    verdict = f"{len(failed)} failed" if failed else proven
    rate = f"{events} events in {seconds:.1f} s, {events / max(seconds, 0.001):.0f} per second"
    terminal.say(f"conversations: {len(lanes)}, ended: {over}, {verdict} ({rate})")


def _longest_open(result: Result) -> str:
    """Return the longest time from an end to its close; empty if none ended or one is open."""
    ended = any(lane.ended_at is not None for lane in result.lanes)
    is_known = ended and result.open_for < timedelta.max
    return f"{result.open_for.total_seconds():.1f} s" if is_known else ""


def _show_lines(title: str, lines: list[str], style: str = "") -> None:
    for line in lines[:MAX_LINES]:
        terminal.say((title, style), f": {line}")
    if len(lines) > MAX_LINES:
        terminal.say((title, style), f": {len(lines) - MAX_LINES} more; --json shows all")
