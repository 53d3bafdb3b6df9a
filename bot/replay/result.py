"""What came of a tape: for each conversation whether it closed, and all that happened in it; and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.sandbox.records import iso

FORMAT = 1
"""The version of the JSON; a baseline of another one can't be compared."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that was told to the bot: an event's type and, in a few words, what it shows."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """A message. `who` is user, bot, agent or platform."""

    at: datetime
    who: str
    text: str


@dataclass(frozen=True, slots=True)
class Held:
    """From `at` on, `holder` was active (empty: nobody), because of `cause`; `by` is bot or others."""

    at: datetime
    holder: str
    by: str
    cause: str


@dataclass(frozen=True, slots=True)
class Action:
    """A call of the API that the bot made.

    Attributes:
        call: its name in the API's description, such as `ReleaseControl`.
        what: the text that was said, or the target that control was passed to.
    """

    at: datetime
    conversation_id: str
    call: str
    what: str = ""


@dataclass(frozen=True, slots=True)
class Owed:
    """A duty: proven at `closed_at` by `proof`, or still owed, with what came of the last try in `last_answer`."""

    since: datetime
    action: str
    reason: str
    attempts: int
    closed_at: datetime | None = None
    proof: str = ""
    last_answer: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One conversation.

    Attributes:
        ended_at: when the user ended it, if so.
        open_for: how long it stayed open after that: until nobody was active for good. None: not ended, or still open.
        holder: who is active when all is over; empty: nobody.
        proof: how the bot knows that nobody is active; empty without.
        overdue: the bot owes a control action for longer than it should.
        last_fact: the last that the bot was told.
    """

    id: str
    ended_at: datetime | None
    holder: str
    proof: str
    overdue: bool
    last_fact: str
    events: Sequence[Happened] = ()
    messages: Sequence[Spoken] = ()
    holders: Sequence[Held] = ()
    actions: Sequence[Action] = ()
    duties: Sequence[Owed] = ()
    breaches: Sequence[str] = ()
    diverged: Sequence[Happened] = ()
    open_for: timedelta | None = None

    @property
    def closed(self) -> bool:
        """Has the user ended it, is nobody active, and is it proven?"""
        return self.ended_at is not None and not self.holder and bool(self.proof)

    @property
    def ok(self) -> bool:
        """Is it as it should be: closed if it has ended, nothing overdue, and no breach of the guarantee?"""
        return (self.ended_at is None or self.closed) and not self.overdue and not self.breaches

    @property
    def duty(self) -> Owed | None:
        """What is still owed, or what was owed last."""
        return next(
            (duty for duty in self.duties if duty.closed_at is None),
            self.duties[-1] if self.duties else None,
        )

    @property
    def why_not(self) -> str:
        """What is wrong: the conversation, what it owes, and the last fact. Empty if nothing is."""
        if self.ok:
            return ""
        parts = list(self.breaches)
        if self.ended_at is not None and not self.closed:
            parts.insert(
                0,
                f"it has ended, and {self.holder or 'nobody'} is active" + ("" if self.proof else ", unproven"),
            )
        elif self.overdue:
            parts.insert(0, f"{self.holder or 'nobody'} is still active")
        duty = self.duty
        owed = "no duty" if duty is None else f"duty: {duty.action} ({duty.reason}), {duty.attempts} tries"
        if duty is not None and duty.last_answer:
            owed += f", last answer: {duty.last_answer}"
        return f"{self.id}: {'; '.join(parts)}; {owed}; last fact: {self.last_fact}"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a tape in one control mode.

    Attributes:
        tape: the file's name.
        note: its story.
        mode: release or pass.
        events: how many it has.
        lanes: the conversations, in the order in which they began.
        set_aside: ids of events that the bot could not understand.
        problems: what is wrong beyond single conversations.
    """

    tape: str
    note: str
    mode: str
    events: int
    lanes: Sequence[Lane]
    set_aside: Sequence[str] = ()
    problems: Sequence[str] = ()

    @property
    def closed(self) -> bool:
        """Is every ended conversation closed with proof, nothing overdue, and the guarantee unbroken?"""
        return not self.problems and all(lane.ok for lane in self.lanes)

    @property
    def open_for(self) -> timedelta:
        """The longest time for which a conversation stayed open after its end; `timedelta.max` if one is still open."""
        ended = [lane for lane in self.lanes if lane.ended_at is not None]
        times = [timedelta.max if lane.open_for is None else lane.open_for for lane in ended]
        return max(times, default=timedelta(0))

    @property
    def actions(self) -> list[Action]:
        """All calls of the API, in their order."""
        return sorted(
            (action for lane in self.lanes for action in lane.actions),
            key=lambda action: action.at,
        )

    @property
    def diverged(self) -> list[tuple[str, Happened]]:
        """What is not as on the tape, with the conversation."""
        return [(lane.id, one) for lane in self.lanes for one in lane.diverged]

    def transcript(self, conversation_id: str) -> str:
        """What was said in a conversation, a line a message: `user: Hello`. Raises `KeyError`."""
        lane = next((one for one in self.lanes if one.id == conversation_id), None)
        if lane is None:
            raise KeyError(conversation_id)
        return "\n".join(f"{message.who}: {message.text}" for message in lane.messages)


def to_json(results: Iterable[Result]) -> dict[str, Any]:
    """The results as JSON values; the same for the same run, whenever and wherever it was made."""
    shown = [_result_json(result) for result in results]
    return {"format": FORMAT, "closed": all(one["closed"] for one in shown), "tapes": shown}


def _result_json(result: Result) -> dict[str, Any]:
    return {
        "tape": result.tape,
        "note": result.note,
        "mode": result.mode,
        "closed": result.closed,
        "events": result.events,
        "setAside": list(result.set_aside),
        "problems": list(result.problems),
        "conversations": [_lane_json(lane) for lane in result.lanes],
    }


def _lane_json(lane: Lane) -> dict[str, Any]:
    return {
        "id": lane.id,
        "ok": lane.ok,
        "endedAt": None if lane.ended_at is None else iso(lane.ended_at),
        "openFor": None if lane.open_for is None else lane.open_for.total_seconds(),
        "closed": lane.closed,
        "holder": lane.holder or None,
        "proof": lane.proof or None,
        "lastFact": lane.last_fact,
        "whyNot": lane.why_not or None,
        "breaches": list(lane.breaches),
        "diverged": [{"at": iso(one.at), "what": one.what} for one in lane.diverged],
        "events": [{"at": iso(one.at), "what": one.what} for one in lane.events],
        "messages": [{"at": iso(one.at), "who": one.who, "text": one.text} for one in lane.messages],
        "holders": [
            {
                "at": iso(one.at),
                "holder": one.holder or None,
                "by": one.by,
                "cause": one.cause,
            }
            for one in lane.holders
        ],
        "actions": [{"at": iso(one.at), "call": one.call, "what": one.what} for one in lane.actions],
        "duties": [
            {
                "since": iso(one.since),
                "action": one.action,
                "reason": one.reason,
                "attempts": one.attempts,
                "closedAt": None if one.closed_at is None else iso(one.closed_at),
                "proof": one.proof or None,
                "lastAnswer": one.last_answer or None,
            }
            for one in lane.duties
        ],
    }
