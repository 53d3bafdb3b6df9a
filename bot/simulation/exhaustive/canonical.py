"""The canonical form of a moment: two moments have the same exactly if they differ only in names and in the date.

Times are counted from the present moment, in microseconds; ids are numbered in the order in which they appear; what
can't matter any more is left out. The form is a tuple of numbers, so that it is quickly written as bytes, and a world
can be made from it again.
"""

from __future__ import annotations

import marshal
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from bot.control.facts import Answer
from bot.control.holders import A_READ
from bot.control.state import (
    Action,
    Conversation,
    Duty,
    Ended,
    Handed,
    Holder,
    Input,
    Key,
    Kind,
    Opening,
    OpeningKind,
    Pending,
    Proof,
    Purpose,
    Run,
    RunStatus,
    Stage,
    Start,
    Unsent,
    What,
    Who,
)
from bot.simulation.exhaustive import memory
from bot.simulation.exhaustive.setup import INTEGRATIONS, Setup
from bot.simulation.exhaustive.told import Told, event_id, message_id
from bot.simulation.exhaustive.world import NOON, Flight, LastRead, Listed, ReadResult, World

Form = tuple[Any, ...]

MOST_WATCHES = 7
"""From the eighth on, the reads of what others hold come at the longest interval."""
MOST_CHECKS = 10
"""The same for the reads after an end."""
ORDERED = Opening(OpeningKind.OUTSIDE, flow="ordered")
"""What begins a flow that another system has asked for."""

_WHO, _PURPOSE, _OPENING, _STATUS = tuple(Who), tuple(Purpose), tuple(OpeningKind), tuple(RunStatus)
_ACTION, _STAGE, _KEY, _WHAT, _ANSWER = tuple(Action), tuple(Stage), tuple(Key), tuple(What), tuple(Answer)
_NUMBERS = {
    id(member): place
    for members in (_WHO, _PURPOSE, _OPENING, _STATUS, _ACTION, _STAGE, _KEY, _WHAT, _ANSWER)
    for place, member in enumerate(members)
}
_PLACES = {one.id: place for place, one in enumerate(INTEGRATIONS) if one}
_REASONS = (None, "ticketClosed", "transferToEmail")


def form_of(world: World) -> Form:
    """The canonical form of a moment."""
    return _Writer(world).form()


def bytes_of(form: Form) -> bytes:
    """The form as bytes; two forms that are equal have the same."""
    return marshal.dumps(form, 2)  # a version that writes a value in one way only


def digest_of(written: bytes) -> int:
    """128 bits that stand for a form."""
    return int.from_bytes(blake2b(written, digest_size=16).digest())


def form_in(written: bytes) -> Form:
    """The form that was written."""
    form: Form = marshal.loads(written)  # noqa: S302 - written by this process
    return form


def world_of(form: Form, setup: Setup) -> World:
    """A world of that form; its present moment is called `NOON`."""
    return _reader(form, setup)


class _Writer:
    __slots__ = ("_made", "_now", "_numbers", "_serials", "_world")

    def __init__(self, world: World) -> None:
        self._world = world
        self._now = world.now
        self._numbers: dict[int, int] = {}
        self._serials: dict[int, int] = {}

    def form(self) -> Form:
        world, time = self._world, self._time
        state = self._state(world.state)
        end = world.end and (self._number(world.end[0]), time(world.end[1]))
        wire = tuple(
            (t.kind, time(t.at), t.shown, self._number(t.number), t.foreign, t.again, t.reason, t.fresh)
            for t in world.wire
        )
        flight = world.flight and self._flight(world.flight)
        serials, under_way = self._serials, {t.number for t in world.wire}
        read = world.read
        return (
            state,
            world.active,
            world.ended,
            end,
            time(world.spoke_at),
            world.word_is_last,
            wire,
            flight,
            tuple(sorted(serials[n] for n in map(_serial, world.posted) if n in serials)),
            world.at_work,
            world.known,
            world.told_of_loss,
            world.told_of_end,
            world.told_of_return,
            read and (read.active, read.ended, time(read.began), _microseconds(read.took)),
            world.was,
            world.was_nobody,
            self._numbers.get(world.closed_for, 0),
            world.closing_answered,
            world.handed,
            tuple(sorted({self._number(n) for n in world.opened if n in under_way or n in self._numbers})),
            world.unclear,
            world.order,
            world.order and world.order_read,
            tuple(sorted(serials[n] for n in world.closers if n in serials)),
            world.waited_for,
            tuple(self._number(int(one[1:])) for one in world.state.heard if int(one[1:]) in under_way),
            len(self._numbers),
            len(serials),
        )

    def _time(self, time: datetime | None) -> int | None:
        if time is None:
            return None
        ahead = time - self._now
        return (ahead.days * 86_400 + ahead.seconds) * 1_000_000 + ahead.microseconds

    def _number(self, number: int) -> int:
        """The new number of a message; 0 stays."""
        return self._numbers.setdefault(number, len(self._numbers) + 1) if number else 0

    def _event(self, name: str | None) -> int | None:
        """The id of an event, as a number."""
        if name is None:
            return None
        again = name.endswith("b")
        return self._number(int(name[1:-1] if again else name[1:])) * 4 + (name[0] == "x") * 2 + again

    def _message(self, name: str | None) -> int | None:
        return None if name is None else self._number(int(name[1:]))

    def _renamed(self, serial: int | None) -> int | None:
        """The new number of a run or an effect."""
        return None if serial is None else self._serials.setdefault(serial, len(self._serials) + 1)

    def _effect(self, name: str | None) -> int | None:
        return None if name is None else self._renamed(_serial(name))

    def _holder(self, holder: Holder | None) -> Form | None:
        if holder is None:
            return None
        integration = _PLACES[holder.integration.id] if holder.integration else 0
        read = holder.how == A_READ
        return _NUMBERS[id(holder.who)], integration, self._time(holder.since), holder.certain, read

    def _state(self, state: Conversation) -> Form:
        time = self._time
        return (
            self._holder(state.holder),
            state.run and self._run(state.run),
            tuple(self._input(given) for given in state.inputs),
            state.ended and self._ended(state.ended),
            state.duty and self._duty(state.duty),
            tuple(self._unsent(unsent) for unsent in state.unsent),
            state.pending and self._pending(state.pending),
            time(state.idle_at),
            time(state.watch_at),
            min(state.watches, MOST_WATCHES),
            time(state.read_at),
            time(state.spoke_at),
            state.in_doubt,
            self._renamed(state.closing_run),
            state.mismatch_reported,
            state.no_app_key_reported,
            self._holder(state.former),
            time(state.elsewhere_at),
            time(state.handback_at),
            None if state.handed is None else _REASONS.index(state.handed.reason),
            state.start and self._start(state.start),
            state.gone,
        )

    def _start(self, start: Start) -> Form:
        return self._time(start.until), self._holder(start.known), start.asked

    def _run(self, run: Run) -> Form:
        time = self._time
        return (
            self._renamed(run.id),
            _NUMBERS[id(run.purpose)],
            _NUMBERS[id(run.opening.kind)],
            self._event(run.opening.event_id),
            time(run.began),
            _NUMBERS[id(run.status)],
            time(run.since),
            time(run.deadline),
            run.wants_input,
            time(run.until),
            run.contact,
            run.restarted,
            bool(run.opening.flow),
        )

    def _input(self, given: Input) -> Form:
        said = None if given.said_id is None else self._message(given.said_id)
        return self._event(given.event_id), self._time(given.at), _NUMBERS[id(given.kind)], said

    def _ended(self, ended: Ended) -> Form:
        return (
            self._time(ended.at),
            self._time(ended.check_at),
            self._message(ended.message_id),
            min(ended.checks, MOST_CHECKS),
            ended.handed_back,
            ended.held_after_grace,
            ended.proof is not None,
            ended.was_proven,
        )

    def _duty(self, duty: Duty) -> Form:
        time = self._time
        return (
            _NUMBERS[id(duty.action)],
            time(duty.since),
            time(duty.next_attempt),
            _NUMBERS[id(duty.stage)],
            _NUMBERS[id(duty.key)],
            _TARGETS.index(duty.target),
            duty.attempts,
            duty.failures,
            duty.refusals,
            time(duty.accepted_at),
            duty.overdue_reports,
            _PLACES[duty.against] if duty.against else 0,
            duty.stale,
        )

    def _unsent(self, unsent: Unsent) -> Form:
        return (
            self._effect(unsent.id),
            self._renamed(unsent.run_id),
            self._time(unsent.since),
            self._time(unsent.next_attempt),
            unsent.attempts,
            unsent.maybe_done,
        )

    def _pending(self, pending: Pending) -> Form:
        time = self._time
        return (
            self._effect(pending.effect_id),
            _NUMBERS[id(pending.what)],
            time(pending.known_until),
            time(pending.spoke_at),
            self._event(pending.heard),
            self._message(pending.end),
            time(pending.since),
            time(pending.before),
            pending.messages,
            self._effect(pending.behind),
            pending.maybe_done,
        )

    def _flight(self, flight: Flight) -> Form:
        listed = flight.listed
        late: Form | int | None = None
        if isinstance(flight.late, ReadResult):
            late = self._result(flight.late)
        elif flight.late is not None:
            late = _NUMBERS[id(flight.late)]
        return (
            self._effect(flight.effect_id),
            flight.what,
            self._time(flight.sent_at),
            flight.app_key,
            flight.target,
            flight.messages,
            flight.maybe_done,
            self._renamed(flight.run_id) if flight.run_id else 0,
            flight.knew,
            listed and (self._end(listed.end), self._time(listed.spoke_at), listed.word_is_last, self._time(listed.at)),
            late,
        )

    def _end(self, end: tuple[int, datetime] | None) -> Form | None:
        return end and (self._number(end[0]), self._time(end[1]))

    def _result(self, result: ReadResult) -> Form:
        return (
            self._time(result.at),
            result.active,
            self._end(result.end),
            self._time(result.spoke_at),
            None if result.void_end is None else self._number(result.void_end),
            self._time(result.began),
            result.fresh,
        )


_TARGETS = (None, "zd-agentWorkspace", "zd:agentWorkspace", "sw-bot")


def _serial(effect_id: str) -> int:
    return int(effect_id[2:])


def _microseconds(time: timedelta) -> int:
    return (time.days * 86_400 + time.seconds) * 1_000_000 + time.microseconds


# -- back ------------------------------------------------------------------------------------------------------------


def _time(ahead: int | None) -> Any:
    return None if ahead is None else NOON + timedelta(microseconds=ahead)


def _event(name: int | None) -> str | None:
    return None if name is None else event_id(name >> 2, bool(name & 2), bool(name & 1))


def _message(number: int | None) -> str | None:
    return None if number is None else message_id(number)


def _effect(serial: int | None) -> str | None:
    return None if serial is None else f"c.{serial}"


def _end(form: Form | None) -> tuple[int, datetime] | None:
    return form and (form[0], _time(form[1]))


def _reader(form: Form, setup: Setup) -> World:
    world = World(setup)
    (
        state,
        world.active,
        world.ended,
        end,
        spoke_at,
        world.word_is_last,
        wire,
        flight,
        posted,
        world.at_work,
        world.known,
        world.told_of_loss,
        world.told_of_end,
        world.told_of_return,
        read,
        world.was,
        world.was_nobody,
        world.closed_for,
        world.closing_answered,
        world.handed,
        world.opened,
        world.unclear,
        world.order,
        order_read,
        world.closers,
        world.waited_for,
        heard,
        world.made,
        serial,
    ) = form
    world.order_read = bool(order_read)
    world.end, world.spoke_at = _end(end), _time(spoke_at)
    world.wire = tuple(Told(one[0], _time(one[1]), *one[2:]) for one in wire)
    world.flight = flight and _read_flight(flight)
    world.posted = tuple(f"c.{one}" for one in posted)
    world.read = read and LastRead(read[0], read[1], _time(read[2]), timedelta(microseconds=read[3]))
    world.state = memory.one_of(
        (state, heard, serial), lambda: _read_state(state, tuple(message_id(one) for one in heard), serial)
    )
    return world


def _read_holder(form: Form | None) -> Any:
    if form is None:
        return None
    who, place, since, certain, read = form
    return Holder(_WHO[who], INTEGRATIONS[place], _time(since), certain, A_READ if read else "")


def _read_state(form: Form, heard: tuple[str, ...], serial: int) -> Conversation:
    (
        holder,
        run,
        inputs,
        ended,
        duty,
        unsent,
        pending,
        idle_at,
        watch_at,
        watches,
        read_at,
        spoke_at,
        in_doubt,
        closing_run,
        mismatch_reported,
        no_app_key_reported,
        former,
        elsewhere_at,
        handback_at,
        handed,
        start,
        gone,
    ) = form
    return Conversation(
        "c",
        holder=_read_holder(holder),
        run=run and _read_run(run),
        inputs=tuple(Input(_event(one[0]) or "", _time(one[1]), _OPENING[one[2]], _message(one[3])) for one in inputs),
        ended=ended and _read_ended(ended),
        duty=duty and _read_duty(duty),
        pending=pending and _read_pending(pending),
        unsent=tuple(
            Unsent(f"c.{one[0]}", Kind.SAY, one[1], _time(one[2]), _time(one[3]), one[4], one[5]) for one in unsent
        ),
        idle_at=_time(idle_at),
        watch_at=_time(watch_at),
        watches=watches,
        read_at=_time(read_at),
        spoke_at=_time(spoke_at),
        heard=heard,
        in_doubt=in_doubt,
        closing_run=closing_run,
        mismatch_reported=mismatch_reported,
        no_app_key_reported=no_app_key_reported,
        former=_read_holder(former),
        elsewhere_at=_time(elsewhere_at),
        handback_at=_time(handback_at),
        handed=None if handed is None else Handed(_REASONS[handed]),
        start=start and Start(ORDERED, _time(start[0]), _read_holder(start[1]), start[2]),
        gone=gone,
        serial=serial,
    )


def _read_run(form: Form) -> Run:
    id_, purpose, kind, event, began, status, since, deadline, wants_input, until, contact, restarted, named = form
    return Run(
        id_,
        _PURPOSE[purpose],
        ORDERED if named else Opening(_OPENING[kind], _event(event)),
        _time(began),
        _STATUS[status],
        _time(since),
        _time(deadline),
        wants_input,
        _time(until),
        contact,
        restarted=restarted,
    )


def _read_ended(form: Form) -> Ended:
    at, check_at, message, checks, handed_back, held_after_grace, proven, was_proven = form
    proof = Proof("", NOON) if proven else None
    return Ended(
        _time(at), _time(check_at), _message(message), checks, handed_back, held_after_grace, proof, was_proven
    )


def _read_duty(form: Form) -> Duty:
    action, since, due, stage, key, target, attempts, failures, refusals, accepted, overdue, against, stale = form
    one = INTEGRATIONS[against]
    return Duty(
        0,
        _ACTION[action],
        "",
        _time(since),
        _time(due),
        _STAGE[stage],
        _KEY[key],
        _TARGETS[target],
        {},
        attempts,
        failures,
        refusals,
        _time(accepted),
        None,
        overdue,
        one.id if one else None,
        stale,
    )


def _read_pending(form: Form) -> Pending:
    effect, what, known_until, spoke_at, heard, end, since, before, messages, behind, maybe_done = form
    return Pending(
        f"c.{effect}",
        _WHAT[what],
        _time(known_until),
        _time(spoke_at),
        _event(heard),
        _message(end),
        _time(since),
        _time(before),
        messages,
        _effect(behind),
        maybe_done,
    )


def _read_flight(form: Form) -> Flight:
    effect, what, sent_at, app_key, target, messages, maybe_done, run_id, knew, listed, late = form
    shown = listed and Listed(_end(listed[0]), _time(listed[1]), listed[2], _time(listed[3]))
    answer: Any = late
    if isinstance(late, tuple):
        at, active, end, spoke_at, void_end, began, fresh = late
        answer = ReadResult(_time(at), active, _end(end), _time(spoke_at), void_end, _time(began), fresh)
    elif late is not None:
        answer = _ANSWER[late]
    return Flight(
        f"c.{effect}", what, _time(sent_at), app_key, target, messages, maybe_done, run_id, knew, shown, answer
    )
