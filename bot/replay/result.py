"""The result of a tape: each conversation, whether it closed, and its history; as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.sandbox.records import iso

FORMAT = 1
"""The version of the JSON; a baseline of another version can't be compared."""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event delivered to the bot: its type, and what it shows in a few words."""

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
    """From `at`, `holder` was active (empty: nobody) due to `cause`; `by`: bot or others."""

    at: datetime
    holder: str
    by: str
    cause: str


@dataclass(frozen=True, slots=True)
class Action:
    """An API call made by the bot.

    Attributes:
        call: its name in the API description, such as `ReleaseControl`.
        what: the message's text, or the target of the pass.
    """

    at: datetime
    conversation_id: str
    call: str
    what: str = ""


@dataclass(frozen=True, slots=True)
class Owed:
    """A duty: proven at `closed_at` by `proof`, or still owed; see `last_answer`."""

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
        ended_at: when the user ended it; None if not ended.
        open_for: how long it then stayed open, until nobody was active for good. None: not
            ended, or still open.
        holder: who is active after everything; empty: nobody.
        proof: the bot's proof that nobody is active; empty if it has none.
        overdue: the bot has owed a control action for too long.
        last_fact: the last event that the bot got.
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
        """Whether the user has ended it, nobody is active, and that is proven."""
        return self.ended_at is not None and not self.holder and bool(self.proof)

    @property
    def ok(self) -> bool:
        """Whether it is closed if ended, nothing is overdue, and the guarantee held."""
        return (self.ended_at is None or self.closed) and not self.overdue and not self.breaches

    @property
    def duty(self) -> Owed | None:
        """The open duty, or else the last one."""
        return next(
            (duty for duty in self.duties if duty.closed_at is None),
            self.duties[-1] if self.duties else None,
        )

    @property
    def why_not(self) -> str:
        """The problem: conversation, duty and last event. Empty if there is none."""
        if self.ok:
            return ""
        parts = list(self.breaches)
        if self.ended_at is not None and not self.closed:
            parts.insert(
                0,
                f"it has ended, but {self.holder or 'nobody'} is active" + ("" if self.proof else ", unproven"),
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
    """The result of a tape in one control mode.

    Attributes:
        tape: the file's name.
        note: the tape's story.
        mode: release or pass.
        events: number of events.
        lanes: the conversations, in order of their beginning.
        set_aside: ids of events that the bot could not parse.
        problems: problems beyond single conversations.
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
        """Whether all ended conversations are closed with proof and nothing is wrong."""
        return not self.problems and all(lane.ok for lane in self.lanes)

    @property
    def open_for(self) -> timedelta:
        """The longest time open after an end; `timedelta.max` if one is still open."""
        ended = [lane for lane in self.lanes if lane.ended_at is not None]
        times = [timedelta.max if lane.open_for is None else lane.open_for for lane in ended]
        return max(times, default=timedelta(0))

    @property
    def actions(self) -> list[Action]:
        """All API calls, in order."""
        return sorted(
            (action for lane in self.lanes for action in lane.actions),
            key=lambda action: action.at,
        )

    @property
    def diverged(self) -> list[tuple[str, Happened]]:
        """The differences from the tape, each with its conversation."""
        return [(lane.id, one) for lane in self.lanes for one in lane.diverged]

    def transcript(self, conversation_id: str) -> str:
        """The messages of a conversation, one per line: `user: Hello`. Raises `KeyError`."""
        lane = next((one for one in self.lanes if one.id == conversation_id), None)
        if lane is None:
            raise KeyError(conversation_id)
        return "\n".join(f"{message.who}: {message.text}" for message in lane.messages)


def to_json(results: Iterable[Result]) -> dict[str, Any]:
    """The results as JSON values; reproducible on any machine."""
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
