"""A whole tape: looked through once, cut into parts that fit into memory, played part by part, in several processes.

Conversations are independent of each other, and so a part is some of them, from their first event to their last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.control.modes import DEFAULT_PASS_TO, mode_named
from bot.control.policy import Policy
from bot.flows.catalogue import Catalogue, load_catalogue
from bot.replay.facts import Taken, take_apart
from bot.replay.player import Plan, play
from bot.replay.result import Lane, Result
from bot.replay.tape import TapedDelivery, TapeError, read_tape
from bot.replay.verdict import lanes_of, problems_of
from bot.sandbox.faults import Faults
from bot.sandbox.records import CUSTOM
from bot.sandbox.switchboard import BOT
from webhooks import wire
from webhooks.events import ControlPassed, ControlReleased

PART = 10_000
"""Events that are played at once, unless a single conversation has more."""

_AT_ONCE = timedelta(milliseconds=2)


@dataclass(frozen=True, slots=True)
class Setup:
    """The bot that a tape is played against.

    Attributes:
        flows: modules that hold flows.
        opening, closing: names of flows; empty for none.
        policy: its settings; `me`, `closes` and the mode are set from the rest.
        pass_to: who gets control in pass mode.
        me: the name or id of the bot's switchboard integration on the tape; empty: found out.
        faults, seed: what goes wrong.
        until_quiet: play on until nothing is left to do.
        detail: keep what happened in conversations in which all is well, too.
        catalogue: the flows themselves, instead of modules (then everything is played in this process).
        api: what else goes wrong with the API, for tests (the same).
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
    catalogue: Catalogue | None = None
    api: Faults | None = None


@dataclass(slots=True)
class Survey:
    """What a first look at a tape shows.

    Attributes:
        me: the bot's switchboard integration.
        implied_mode: the control mode that the tape shows, if it does.
        parts: the ids of the conversations of each part, and how many events it has.
    """

    note: str = ""
    events: int = 0
    me: str = ""
    implied_mode: str | None = None
    parts: list[tuple[frozenset[str], int]] = field(default_factory=list)


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
        paths: of the tapes.
        setup: the bot.
        modes: the control modes in which to play each; none: the one that the tape shows, else release.
        processes: how many to use.
        progress: is told how many events are done, and how many there are.

    Raises:
        TapeError: a tape can't be used.
        UnknownFlow: a flow is not there.
    """
    surveys = [survey(path, setup.me) for path in paths]
    jobs = [
        _Job(path, number, mode, found.me, ids, count)
        for number, (path, found) in enumerate(zip(paths, surveys, strict=True))
        for mode in (modes or (found.implied_mode or "release",))
        for ids, count in found.parts
    ]
    total = sum(job.events for job in jobs)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    parts = _played(jobs, setup, processes, advance)
    return [
        _result(path, found, mode, [part for job, part in zip(jobs, parts, strict=True) if job.is_of(number, mode)])
        for number, (path, found) in enumerate(zip(paths, surveys, strict=True))
        for mode in (modes or (found.implied_mode or "release",))
    ]


def survey(path: Path, me: str = "") -> Survey:
    """Look a tape through. Raises `TapeError` if it is broken, has no events, or does not show which one is the bot."""
    found = Survey()
    counts: dict[str, int] = {}
    custom: dict[str, None] = {}
    shown: dict[str, None] = {}
    for number, delivery in enumerate(read_tape(path)):
        found.note = found.note or (delivery.note if number == 0 else "")
        found.events += len(delivery.events)
        for event in delivery.events:
            conversation_id = wire.conversation_id(event) if isinstance(event, dict) else None
            if conversation_id is None:
                continue
            counts[conversation_id] = counts.get(conversation_id, 0) + 1
            _note_integration(event, shown, custom)
    if not found.events:
        raise TapeError(path, None, "there is no event on the tape")
    found.me = _which_is_me(path, me, shown, custom)
    found.parts = list(_cut(counts, found.events))
    first = take_apart(_only(read_tape(path), found.parts[0][0]))
    found.implied_mode = implied_mode(first, found.me)
    return found


def implied_mode(taken: Taken, me: str) -> str | None:
    """The control mode that a tape shows: what the platform did when a ticket closed or a user ended; None: neither."""
    for one in taken.happened:
        match one.event:
            case ControlPassed(payload=payload):
                active = payload.conversation.active_switchboard_integration
                ended = any(end <= one.at for end in taken.ends.get(one.conversation_id or "", ()))
                if active and me in (active.id, active.name) and (payload.reason or ended):
                    return "pass"
            case ControlReleased(payload=payload):
                ends = taken.ends.get(one.conversation_id or "", ())
                if payload.reason or any(abs(one.at - end) <= _AT_ONCE for end in ends):
                    return "release"
            case _:
                pass
    return None


@dataclass(frozen=True, slots=True)
class _Job:
    """A part of a tape to be played in a mode."""

    path: Path
    number: int
    mode: str
    me: str
    ids: frozenset[str]
    events: int

    def is_of(self, number: int, mode: str) -> bool:
        return self.number == number and self.mode == mode


@dataclass(frozen=True, slots=True)
class _Part:
    lanes: list[Lane]
    problems: list[str]
    set_aside: list[str]


def _played(jobs: list[_Job], setup: Setup, processes: int, advance: Callable[[int], None]) -> list[_Part]:
    if processes == 1 or len(jobs) == 1 or setup.catalogue or setup.api:
        return [_play(job, setup, advance) for job in jobs]
    parts: dict[int, _Part] = {}
    with ProcessPoolExecutor(min(processes, len(jobs))) as pool:
        waiting = {pool.submit(_play, job, setup, None): place for place, job in enumerate(jobs)}
        for finished in as_completed(waiting):
            place = waiting[finished]
            parts[place] = finished.result()
            advance(jobs[place].events)
    return [parts[place] for place in range(len(jobs))]


def _play(job: _Job, setup: Setup, advance: Callable[[int], None] | None) -> _Part:
    catalogue = setup.catalogue or load_catalogue(setup.flows, setup.opening, setup.closing)
    policy = replace(catalogue.applied_to(setup.policy), mode=mode_named(job.mode, setup.pass_to))
    plan = Plan(policy, catalogue, job.me, setup.faults, setup.seed, setup.until_quiet, setup.api)
    played = play(take_apart(_only(read_tape(job.path), job.ids)), plan, advance)
    lanes = [lane if setup.detail or not lane.ok else _without_detail(lane) for lane in lanes_of(played)]
    return _Part(lanes, problems_of(played), played.set_aside)


def _result(path: Path, found: Survey, mode: str, parts: list[_Part]) -> Result:
    lanes = [lane for part in parts for lane in part.lanes]
    set_aside = list(dict.fromkeys(key for part in parts for key in part.set_aside))
    problems = list(dict.fromkeys(problem for part in parts for problem in part.problems))
    return Result(path.name, found.note, mode, found.events, lanes, set_aside, problems)


def _without_detail(lane: Lane) -> Lane:
    return replace(lane, events=(), messages=(), holders=(), actions=(), duties=())


def _only(deliveries: Iterable[TapedDelivery], ids: frozenset[str]) -> Iterator[TapedDelivery]:
    """The deliveries with the events of these conversations, and with those that belong to no single one."""
    for delivery in deliveries:
        events = [event for event in delivery.events if _conversation_of(event) in ids]
        if events:
            yield replace(delivery, body={**delivery.body, "events": events})


def _conversation_of(event: Any) -> str:
    return (wire.conversation_id(event) if isinstance(event, dict) else None) or ""


def _cut(counts: dict[str, int], events: int) -> Iterator[tuple[frozenset[str], int]]:
    ids: set[str] = {""}  # what belongs to no single conversation goes with every part
    size = events - sum(counts.values())
    for conversation_id, count in counts.items():
        if size and size + count > PART and len(ids) > 1:
            yield frozenset(ids), size
            ids, size = {""}, 0
        ids.add(conversation_id)
        size += count
    yield frozenset(ids), size


def _note_integration(event: dict[str, Any], shown: dict[str, None], custom: dict[str, None]) -> None:
    active = event["payload"]["conversation"].get("activeSwitchboardIntegration")
    if not isinstance(active, dict):
        return
    for key in ("name", "id"):
        if isinstance(name := active.get(key), str):
            shown[name] = None
    if active.get("integrationType") == CUSTOM and (name := active.get("name") or active.get("id")):
        custom[str(name)] = None


def _which_is_me(path: Path, me: str, shown: dict[str, None], custom: dict[str, None]) -> str:
    if me:
        return me
    if BOT in shown or not custom:
        return BOT
    if len(custom) == 1:
        return next(iter(custom))
    raise TapeError(path, None, f"it does not show which one is the bot: say --me with one of {', '.join(custom)}")
