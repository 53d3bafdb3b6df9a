"""Replays whole tapes: surveys each, plays its parts in processes, merges the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

from bot.control.modes import DEFAULT_PASS_TO, mode_named
from bot.control.policy import Policy
from bot.flows.catalogue import Catalogue, load_catalogue
from bot.replay.player import Plan, play
from bot.replay.result import Lane, Result
from bot.replay.survey import Part, Survey, survey
from bot.replay.verdict import in_time, lanes_of, problems_of
from bot.sandbox.faults import Faults
from bot.sandbox.switchboard import BOT

WORTH_PROCESSES = 5000
"""Number of events from which starting processes is worthwhile."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of a replay.

    Attributes:
        flows: modules with flows.
        opening, closing: names of flows; empty for none.
        policy: the bot's settings; `me`, `closes` and the mode are set from the rest.
        pass_to: the target of passes in pass mode.
        me: the tape's name or id of the bot's switchboard integration; empty: detect it.
        faults, seed: the faults to inject.
        until_quiet: play until nothing is left to do.
        detail: also keep the history of conversations without problems.
        likely_me: like `me`, but used only if it appears on the tape.
        mode_else: the control mode if none is asked for and the tape shows none.
        catalogue: the flows themselves instead of modules (plays in this process only).
        api: more faults of the API, for tests (plays in this process only).
        within: how long a conversation may stay open after its end; None: no limit.
    """

    flows: tuple[str, ...] = ("bot.flows.triage", "bot.flows.survey")
    opening: str = "triage"
    closing: str = ""
    policy: Policy = field(default_factory=lambda: Policy(me=BOT, app_key=True))
    pass_to: str = DEFAULT_PASS_TO
    me: str = ""
    faults: tuple[str, ...] = ()
    seed: int = 0
    until_quiet: bool = False
    detail: bool = True
    likely_me: str = ""
    mode_else: str = "release"
    catalogue: Catalogue | None = None
    api: Faults | None = None
    within: timedelta | None = None

    @property
    def is_local(self) -> bool:
        """Whether it has parts that can't be sent to another process."""
        return self.catalogue is not None or self.api is not None


def replay(
    paths: Sequence[Path],
    setup: Setup,
    modes: Sequence[str] = (),
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Play tapes.

    Args:
        paths: the tapes.
        setup: the settings.
        modes: the control modes to play each tape in; none: the mode that it shows.
        processes: maximum number of processes.
        progress: called with the number of events done, and their total.

    Raises:
        TapeError: a tape can't be used.
        UnknownFlow: a flow is missing.
    """
    runs = [
        (found, mode)
        for found in [survey(path, setup.me, setup.likely_me) for path in paths]
        for mode in (modes or (found.implied_mode or setup.mode_else,))
    ]
    jobs = [_Job(found.path, mode, found.me, part) for found, mode in runs for part in found.parts]
    total = sum(job.part.events for job in jobs)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    if total < WORTH_PROCESSES or len(jobs) == 1 or setup.is_local:
        processes = 1
    outcomes = iter(_played(jobs, setup, processes, advance))
    return [_result(found, mode, [next(outcomes) for _ in found.parts]) for found, mode in runs]


@dataclass(frozen=True, slots=True)
class _Job:
    """A part of a tape to be played in a mode."""

    path: Path
    mode: str
    me: str
    part: Part


@dataclass(frozen=True, slots=True)
class _Outcome:
    lanes: list[Lane]
    problems: list[str]
    set_aside: list[str]


def _played(
    jobs: list[_Job],
    setup: Setup,
    processes: int,
    advance: Callable[[int], None],
) -> list[_Outcome]:
    if processes == 1:
        return [_play(job, setup, advance) for job in jobs]
    outcomes: dict[int, _Outcome] = {}
    # Spawned, not forked: forking a process with threads (the progress bar) may hang.
    with ProcessPoolExecutor(min(processes, len(jobs)), get_context("spawn")) as pool:
        waiting = {pool.submit(_play, job, setup, None): place for place, job in enumerate(jobs)}
        for finished in as_completed(waiting):
            place = waiting.pop(finished)
            outcomes[place] = finished.result()
            advance(jobs[place].part.events)
    return [outcomes[place] for place in range(len(jobs))]


def _play(job: _Job, setup: Setup, advance: Callable[[int], None] | None) -> _Outcome:
    catalogue = setup.catalogue or load_catalogue(setup.flows, setup.opening, setup.closing)
    policy = replace(catalogue.applied_to(setup.policy), mode=mode_named(job.mode, setup.pass_to))
    plan = Plan(policy, catalogue, job.me, setup.faults, setup.seed, setup.until_quiet, setup.api)
    played = play(job.part.read(job.path), plan, advance)
    lanes = lanes_of(played) if setup.within is None else [in_time(lane, setup.within) for lane in lanes_of(played)]
    lanes = [lane if setup.detail or not lane.ok else _without_detail(lane) for lane in lanes]
    return _Outcome(lanes, problems_of(played), played.set_aside)


def _result(found: Survey, mode: str, outcomes: list[_Outcome]) -> Result:
    lanes = [lane for one in outcomes for lane in one.lanes]
    set_aside = list(dict.fromkeys(key for one in outcomes for key in one.set_aside))
    problems = list(dict.fromkeys(problem for one in outcomes for problem in one.problems))
    return Result(found.path.name, found.note, mode, found.events, lanes, set_aside, problems)


def _without_detail(lane: Lane) -> Lane:
    return replace(lane, events=(), messages=(), holders=(), actions=(), duties=())
