"""One turn of a flow over its journal: what has been done is answered from it, what is new is collected.

No I/O happens here. Whoever runs the turn (`bot.engine`) takes the new entries and messages with `take`, stores them
together, and reads `outcome` when the turn is over; `notify` is called whenever there is something to take.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Never

from bot.clock import Clock
from bot.control.facts import FlowFailed, FlowHandedOver, FlowReleased, FlowReturned, FlowWaits
from bot.flows.answer import Answer
from bot.flows.authoring import (
    Began,
    CallFailed,
    Flow,
    FlowMisuse,
    JournalMismatch,
    NoAnswer,
    User,
)
from bot.flows.content import Choice, offered
from bot.flows.json_form import json_form
from bot.store.interface import JournalEntry

Outcome = FlowWaits | FlowReturned | FlowFailed | FlowReleased | FlowHandedOver

ENTRIES_LIMIT = 1000  # of one run; a flow that goes on and on is a flow that hangs
JOURNAL_BYTES_LIMIT = 1_000_000
MESSAGES_LIMIT = 500  # of one run; a release waits until they are said
CLEAN_UPS_LIMIT = 20
REFUSALS_LIMIT = 100  # steps that a flow may try to take after it was cut off, before it is left to stand still
UNANSWERED_LIMIT = 10  # questions in a row; who asks on and on, although nobody is there, keeps control for ever
ON_END = "on_end"


@dataclass(frozen=True, slots=True)
class Said:
    """A message that the flow has said in this turn: the API's message content, and the flow's metadata."""

    content: dict[str, Any]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CleanUpCall:
    """What the journal keeps of an `on_end`, beside the function. `timeout` in seconds."""

    args: list[Any]
    kwargs: dict[str, Any]
    attempts: int
    timeout: float

    @property
    def data(self) -> dict[str, Any]:
        """As the journal keeps it."""
        return {"args": self.args, "kwargs": self.kwargs, "attempts": self.attempts, "timeout": self.timeout}


@dataclass(slots=True)
class Context:
    """What a turn is told from outside.

    Attributes:
        conversation_id: the platform's id.
        run_id: number of the run.
        began: what began the flow.
        user: the end user.
        journal: the run's entries so far, the first of which says what began it.
        answers: user input by event id, oldest first. The journal tells which of it the run has used already.
        idle: how long an `ask` without a time-out waits.
        history: reads the newest messages.
    """

    conversation_id: str
    run_id: int
    began: Began
    user: User
    journal: Sequence[JournalEntry]
    answers: Mapping[str, Answer]
    clock: Clock
    idle: timedelta
    history: Callable[[], Awaitable[list[dict[str, Any]]]]


@dataclass(slots=True)
class Turn:
    """The journal of a run while its code runs once more from its first line."""

    flow: Flow
    context: Context
    notify: Callable[[], None]
    outcome: Outcome | None = None
    _entries: list[JournalEntry] = field(default_factory=list)
    _at: int = 1  # the first entry says what began the run
    _bytes: int = 0
    _messages: int = 0
    _used: set[str] = field(default_factory=set)  # inputs that have answered, or that a fresh question ignores
    _new_entries: list[JournalEntry] = field(default_factory=list)
    _new_said: list[Said] = field(default_factory=list)
    _busy: str | None = None
    _offered: dict[str, str] = field(default_factory=dict)  # labels of this run's choices and buttons, by payload
    _unstored: list[asyncio.Future[None]] = field(default_factory=list)
    _taken: list[asyncio.Future[None]] = field(default_factory=list)
    _end: asyncio.Event = field(default_factory=asyncio.Event)  # set when it is cut off
    _refusals: int = 0

    def __post_init__(self) -> None:
        self._entries = list(self.context.journal)
        self._bytes = sum(entry.size for entry in self._entries)
        for entry in self._entries:
            self._used.update(_used_by(entry))

    def take(self) -> tuple[list[JournalEntry], list[Said]]:
        """What is new since the last time; it is to be stored in one transaction."""
        taken = (self._new_entries, self._new_said)
        self._new_entries, self._new_said = [], []
        self._taken, self._unstored = [*self._taken, *self._unstored], []
        return taken

    def stored(self) -> None:
        """What was taken is stored: a step that waits for that goes on."""
        for waiting in self._taken:
            if not waiting.done():
                waiting.set_result(None)
        self._taken = []

    def cut_off(self) -> None:
        """The turn is over, and nobody waits for it: every step that its code still tries to take is cancelled."""
        self.outcome = self.outcome or FlowFailed(self.context.run_id, "stopped")
        self._end.set()
        for waiting in (*self._taken, *self._unstored):
            waiting.cancel()

    def over(self, outcome: Outcome) -> None:
        """The turn is over; the first outcome counts."""
        self.outcome = self.outcome or outcome
        self.notify()

    def misused(self, what: str) -> FlowMisuse:
        """The error for a flow that does what can't be done. It ends the run, even if the flow catches it or waits."""
        if self.outcome is None or isinstance(self.outcome, FlowWaits):
            self.outcome = FlowFailed(self.context.run_id, f"FlowMisuse: {what}")
        self.notify()
        return FlowMisuse(what)

    async def say(self, contents: Sequence[Said]) -> None:
        """Say messages, as one step."""
        with _Alone(self, "say"):
            await self._unless_over()
            self._offer(contents)
            if self._replayed("say") is None:
                self._record("say")
                self._new_said.extend(contents)

    async def ask(self, contents: Sequence[Said], timeout: timedelta | None, *, fresh: bool) -> Answer:
        """Say messages and wait for the user. Raises `NoAnswer`."""
        with _Alone(self, "ask"):
            await self._unless_over()
            choices = self._offer(contents)
            asked = self._replayed("ask")
            is_new = asked is None
            if asked is None:
                until = self.context.clock.now() + (self.context.idle if timeout is None else timeout)
                ignored = {"ignored": [given for given in self.context.answers if given not in self._used]}
                asked = self._record("ask", data={"until": until.isoformat(), **(ignored if fresh else {})})
                self._new_said.extend(contents)
            if (known := self._replayed("answer")) is None:
                until = datetime.fromisoformat(asked.data["until"])
                known = await self._answer(until, choices, fresh=fresh and is_new)
            if known.data is None:
                raise NoAnswer("the user did not answer in time")
            said, chosen = known.data, known.data.get("choice")
            return Answer(said["text"], said["payload"], said["message"], Choice(**chosen) if chosen else None)

    def _offer(self, contents: Sequence[Said]) -> list[Choice]:
        self._messages += len(contents)
        if self._messages > MESSAGES_LIMIT:
            raise self.misused(f"a run says at most {MESSAGES_LIMIT} messages")
        choices = [choice for said in contents for choice in offered(said.content)]
        self._offered |= {choice.payload: choice.text for choice in choices}
        return choices

    async def _answer(self, until: datetime, choices: list[Choice], *, fresh: bool) -> JournalEntry:
        given = next((given for given in self.context.answers if given not in self._used), None)
        if given is not None:
            answer = self.context.answers[given]
            text = answer.text or self._offered.get(answer.payload or "", "")
            chosen = _chosen(choices, answer.payload, text)
            data = {"event": given, "text": text, "payload": answer.payload, "message": dict(answer.message)}
            shown = {"choice": {"text": chosen.text, "payload": chosen.payload}} if chosen else {}
            return self._record("answer", data={**data, **shown})
        if self.context.clock.now() < until:
            await self._wait(until, wants_input=True, fresh=fresh)
        answers = [entry.data for entry in self._entries if entry.kind == "answer"][-UNANSWERED_LIMIT:]
        if answers.count(None) == UNANSWERED_LIMIT:
            raise self.misused(f"{UNANSWERED_LIMIT} questions in a row had no answer: this was one too many")
        return self._record("answer", data=None)

    async def sleep(self, duration: timedelta) -> None:
        """Go on later, on whichever worker."""
        with _Alone(self, "sleep"):
            await self._unless_over()
            now = self.context.clock.now()
            entry = self._replayed("sleep") or self._record("sleep", data={"until": (now + duration).isoformat()})
            if self._replayed("slept") is not None:
                return
            until = datetime.fromisoformat(entry.data["until"])
            if now < until:
                await self._wait(until, wants_input=False)
            self._record("slept")

    async def call(self, name: str, function: Callable[[], Awaitable[Any]]) -> Any:
        """Run a function and keep its result: it runs at least once, and never again once its result is stored.

        The result comes back as its JSON form, on the first run as on every later one.
        """
        with _Alone(self, "call"):
            await self._unless_over()
            known = self._replayed("call", name)
            if known is None:
                try:
                    result, error = await function(), None
                except CallFailed as failed:
                    result, error = None, failed.error
                await self._unless_over()
                data = {"result": self._kept(f"the result of {name}", result)} if error is None else {"error": error}
                known = self._record("call", name, data)
            if "error" in known.data:
                raise CallFailed(name, known.data["error"])
            return known.data["result"]

    async def on_end(self, function: str, call: CleanUpCall) -> None:
        """Note a function that is to be called when the run is over. What comes after it waits until that is stored."""
        with _Alone(self, ON_END):
            await self._unless_over()
            if self._replayed(ON_END, function) is not None:
                return
            if sum(entry.kind == ON_END for entry in self._entries) >= CLEAN_UPS_LIMIT:
                raise self.misused(f"a run has at most {CLEAN_UPS_LIMIT} functions to call at its end")
            data = self._kept(f"what {function} is to be called with", call.data)
            self._unstored.append(stored := asyncio.get_running_loop().create_future())
            self._record(ON_END, function, data)
            await stored
            await self._unless_over()

    async def end(self, outcome: FlowReleased | FlowHandedOver) -> None:
        """End the flow here and now."""
        with _Alone(self, "the end of the flow"):
            await self._unless_over()
            self.over(outcome)
            await self._forever()

    async def _wait(self, until: datetime, *, wants_input: bool, fresh: bool = False) -> Never:
        taken = tuple(given for given in self.context.answers if given in self._used)
        self.over(FlowWaits(self.context.run_id, wants_input, until, taken, fresh))
        await self._forever()

    async def _unless_over(self) -> None:
        """A turn that is over takes no more steps, whatever the flow's code catches."""
        if self.outcome is not None:
            await self._forever()

    async def _forever(self) -> Never:
        """Wait to be cut off, and end the step. A flow that catches that again and again is left to stand still."""
        while True:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                await _stopped_for_good()
                continue
            await self._end.wait()
            if self._refusals < REFUSALS_LIMIT:
                self._refusals += 1
                raise asyncio.CancelledError("the flow was cut off")
            await loop.create_future()

    def _kept(self, what: str, value: Any) -> Any:
        """The JSON form of what the journal is to keep. What has none ends the run: a step can't be taken back."""
        try:
            return json_form(what, value)
        except FlowMisuse as error:
            raise self.misused(str(error)) from None

    def _replayed(self, kind: str, key: str = "") -> JournalEntry | None:
        """The journal's next entry, which must fit; None where the journal ends, and the step is new."""
        if self._at >= len(self._entries):
            return None
        entry = self._entries[self._at]
        if (entry.kind, entry.key) != (kind, key):
            expected, found = f"{kind} {key}".strip(), f"{entry.kind} {entry.key}".strip()
            raise JournalMismatch(self.flow.name, self._at, expected, found)
        self._at += 1
        return entry

    def _record(self, kind: str, key: str = "", data: Any = None) -> JournalEntry:
        size = len(str(data))
        self._bytes += size
        if self._at >= ENTRIES_LIMIT or self._bytes > JOURNAL_BYTES_LIMIT:
            raise self.misused(f"a run has at most {ENTRIES_LIMIT} steps, and {JOURNAL_BYTES_LIMIT} bytes of results")
        entry = JournalEntry(self.context.run_id, self._at, kind, key, data, size)
        self._entries.append(entry)
        self._used.update(_used_by(entry))
        self._new_entries.append(entry)
        self._at += 1
        self.notify()
        return entry


def _used_by(entry: JournalEntry) -> Sequence[str]:
    """Event ids of the input that a step has used up: which answered it, or which it was to ignore."""
    match entry:
        case JournalEntry(kind="answer", data={"event": str(given)}):
            return (given,)
        case JournalEntry(kind="ask", data={"ignored": [*ignored]}):
            return ignored
        case _:
            return ()


def _chosen(choices: list[Choice], payload: str | None, text: str) -> Choice | None:
    """The choice that was tapped, or of which the label was typed."""
    if payload is not None:
        return next((choice for choice in choices if choice.payload == payload), None)
    typed = text.strip().casefold()
    return next((choice for choice in choices if choice.text.strip().casefold() == typed), None)


class _Alone:
    """Steps are taken one after the other: the journal has an order, and so must the flow."""

    def __init__(self, turn: Turn, step: str) -> None:
        self._turn, self._step = turn, step

    def __enter__(self) -> None:
        if self._turn._busy:  # noqa: SLF001 - the turn's own guard
            raise self._turn.misused(
                f"{self._step} while {self._turn._busy} is under way: await one step after the other"  # noqa: SLF001
            )
        self._turn._busy = self._step  # noqa: SLF001

    def __exit__(self, *_: object) -> None:
        self._turn._busy = None  # noqa: SLF001


@types.coroutine
def _stopped_for_good() -> Generator[None, None, None]:
    """Suspends where no event loop runs any more: a flow that catches even the end of the program must not go on."""
    yield
