"""One turn of a flow over its journal: what has been done is answered from it, what is new is collected.

No I/O happens here. Whoever runs the turn (`bot.engine`) takes the new entries and messages with `take`, stores them
together, and reads `outcome` when the turn is over; `notify` is called whenever there is something to take.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Never

from bot.clock import Clock
from bot.control.facts import (
    FlowFailed,
    FlowHandedOver,
    FlowMismatched,
    FlowReleased,
    FlowReminded,
    FlowReturned,
    FlowWaits,
)
from bot.flows.answer import Answer
from bot.flows.authoring import (
    Began,
    CallFailed,
    Flow,
    FlowMisuse,
    JournalMismatch,
    NoAnswer,
)
from bot.flows.changes import changes_in
from bot.flows.content import Choice, listed, offered
from bot.flows.defuse import undefused
from bot.flows.functions import Functions
from bot.flows.handlers import Anywhere, Handlers
from bot.flows.json_form import json_form
from bot.flows.labels import typed_choice
from bot.flows.outcome import When
from bot.flows.results import Unreadable
from bot.flows.steps import (
    LONGEST_SHOWN,
    Step,
    described,
    is_written,
    named_step,
    place_in_code,
    told_apart_by,
)
from bot.signals import Level, Observe, Signal, silent
from bot.store.interface import JournalEntry

TurnOutcome = FlowWaits | FlowReturned | FlowFailed | FlowMismatched | FlowReleased | FlowHandedOver | FlowReminded

ENTRIES_LIMIT = 1000  # of one run; a flow that goes on and on is a flow that hangs
JOURNAL_BYTES_LIMIT = 1_000_000
MESSAGES_LIMIT = 500  # of one run; a release waits until they are said
CLEAN_UPS_LIMIT = 20
REFUSALS_LIMIT = 100  # steps that a flow may try to take after it was cut off, before it is left to stand still
UNANSWERED_LIMIT = 10  # questions in a row; who asks on and on, although nobody is there, keeps control for ever
BEGAN = "began"
CALL = "call"
GATHER, GATHERED = "gather", "gathered"
SIGNAL, SIGNALLED = "signal", "signalled"
TOLD = "told"
FIRST_TOLD = 1_000_000  # index of a run's first signal: beyond those of its steps
SIGNALS_LIMIT = 100
PART = "flow"
ASIDE = "anywhere"
RAISED = "raised"
ON_END = "on_end"
WITHDRAWN = "on_end_withdrawn"
CHANGED = "changed"
MISMATCH = f"{JournalMismatch.__name__}: "  # how the problem begins where code and journal differ


_USES_INPUT = frozenset({"ask", "answer"})


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
    when: When

    @property
    def data(self) -> dict[str, Any]:
        """As the journal keeps it."""
        calling = {"args": self.args, "kwargs": self.kwargs}
        return {
            **calling,
            "attempts": self.attempts,
            "timeout": self.timeout,
            "when": self.when,
        }


@dataclass(slots=True)
class Context:
    """What a turn is told from outside.

    Attributes:
        conversation_id: the platform's id.
        run_id: number of the run.
        began: what began the flow, and with whom.
        journal: the run's entries so far, the first of which says what began it.
        answers: user input by event id, oldest first. The journal tells which of it the run has used already.
        idle: how long an `ask` without a time-out waits.
        history: reads the newest messages.
        ended: has the user ended the conversation by now? Then nobody can answer any more.
        functions: those that may be called when the run is over.
        called: is told of each attempt of `chat.call`: the function's name, which attempt, and the error; None if it
            worked.
        observe: is told what the flow logs.
        raised: is told what the flow raises.
        handlers: the team's, for all flows.
        resources: what the team's lifespan has opened; None without one.
        find: the flow of a name in a version, if it is registered.
        flows: names of the flows that can begin.
    """

    conversation_id: str
    run_id: int
    began: Began
    journal: Sequence[JournalEntry]
    answers: Mapping[str, Answer]
    clock: Clock
    idle: timedelta
    history: Callable[[], Awaitable[list[dict[str, Any]]]]
    functions: Functions = field(default_factory=Functions)
    ended: Callable[[], bool] = lambda: False
    called: Callable[[str, int, Exception | None], None] = lambda _, __, ___: None
    observe: Observe = silent
    raised: Callable[[BaseException], None] = lambda _: None
    handlers: Handlers = field(default_factory=Handlers)
    resources: Any = None
    find: Callable[[str, int], Flow | None] = lambda _, __: None
    flows: Collection[str] = ()


@dataclass(slots=True)
class Called:
    """A function that a flow calls.

    Attributes:
        name: the function's.
        key: as the author has given it; empty for none.
        tried: runs it, with all its attempts, and returns the JSON form of its result. Adds to its argument the type of
            each error. Raises `CallFailed`.
        read: makes of the JSON form what the function returns. Raises `Unreadable`.
    """

    name: str
    key: str
    tried: Callable[[list[str]], Awaitable[Any]]
    read: Callable[[Any], Any]


@dataclass(slots=True)
class Turn:
    """The journal of a run while its code runs once more from its first line.

    Attributes:
        notify: is called whenever there is something to take.
        outcome: how the turn went, once it is over.
        only_replays: the turn is over where the journal ends. No step is new, and so nothing has an effect.
    """

    flow: Flow
    context: Context
    notify: Callable[[], None]
    only_replays: bool = False
    outcome: TurnOutcome | None = None
    failure: str = ""  # what the flow raised, where a handler has taken over
    _entries: list[JournalEntry] = field(default_factory=list)
    _at: int = 1  # the first entry says what began the run
    _bytes: int = 0
    _used: set[str] = field(default_factory=set)  # inputs that have answered, or that a fresh question ignores
    _new_entries: list[JournalEntry] = field(default_factory=list)
    _new_said: list[Said] = field(default_factory=list)
    _busy: str | None = None
    _shown: list[Said] = field(default_factory=list)  # all that the run has said so far
    _unstored: list[asyncio.Future[None]] = field(default_factory=list)
    _taken: list[asyncio.Future[None]] = field(default_factory=list)
    _end: asyncio.Event = field(default_factory=asyncio.Event)  # set when it is cut off
    _refusals: int = 0
    _changes: dict[str, bool] = field(default_factory=dict)
    _told: list[JournalEntry] = field(default_factory=list)  # signals, in the order in which they came
    _aside: list[str] = field(default_factory=list)  # handlers of words that are at work

    def __post_init__(self) -> None:
        for entry in self.context.journal:
            if entry.kind == TOLD:
                self._told.append(entry)
                continue
            self._entries.append(entry)
            self._bytes += entry.size
            if entry.kind in _USES_INPUT:
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

    def over(self, outcome: TurnOutcome) -> None:
        """The turn is over; the first outcome counts. Code that ends before its journal does no longer fits it."""
        if self.outcome is None and (left := self._left()) and not isinstance(outcome, FlowWaits):
            wants = f"to fail ({outcome.error})" if isinstance(outcome, FlowFailed) else "to end"
            outcome = self._mismatch(wants, left)
        self.outcome = self.outcome or outcome
        self.notify()

    def misused(self, what: str) -> FlowMisuse:
        """The error for a flow that does what can't be done. It ends the run, even if the flow catches it or waits."""
        if self.outcome is None or isinstance(self.outcome, FlowWaits):
            self.outcome = FlowFailed(self.context.run_id, f"FlowMisuse: {what}")
        self.notify()
        return FlowMisuse(what)

    async def say(self, contents: Sequence[Said], step: Step) -> None:
        """Say messages, as one step."""
        with _Alone(self, "say"):
            await self._unless_over()
            self._show(contents)
            if self._replayed_step(step) is None:
                self._record(step.kind, step.stored, _shown_of(step) or None)
                self._new_said.extend(contents)

    async def ask(
        self,
        contents: Sequence[Said],
        timeout: timedelta | None,
        step: Step,
        *,
        fresh: bool,
    ) -> Answer:
        """Say messages and wait for the user. Raises `NoAnswer`: after an end at once, and nothing is said."""
        with _Alone(self, "ask"):
            await self._unless_over()
            self._show(contents)
            asked = self._replayed_step(step)
            is_new = asked is None
            if asked is None:
                in_vain = self.context.ended()
                until = self.context.clock.now() + (self.context.idle if timeout is None else timeout)
                unused = [given for given in self.context.answers if given not in self._used]
                ignored = {"ignored": unused} if fresh or in_vain else {}
                known = {
                    "until": until.isoformat(),
                    **ignored,
                    "place": place_in_code(),
                    **_shown_of(step),
                }
                asked = self._record("ask", step.stored, known)
                self._new_said.extend(() if in_vain else contents)
            if (given := self._replayed("answer")) is None:
                until = datetime.fromisoformat(asked.data["until"])
                given = await self._answer(until, contents, fresh=fresh and is_new)
            if given.data is None:
                raise NoAnswer("nobody answered: the time is over, or the user has ended the conversation")
            said, chosen = given.data, given.data.get("choice")
            return Answer(
                said["text"],
                said["payload"],
                said["message"],
                Choice(**chosen) if chosen else None,
            )

    def _show(self, contents: Sequence[Said]) -> None:
        self._shown += contents
        if len(self._shown) > MESSAGES_LIMIT:
            raise self.misused(f"a run says at most {MESSAGES_LIMIT} messages")

    def _label_of(self, payload: str | None) -> str:
        """The label of this run's newest choice or button with that payload; empty where there is none."""
        choices = (choice for said in reversed(self._shown) for choice in reversed(offered(said.content)))
        return next((choice.text for choice in choices if choice.payload == payload), "")

    async def _answer(self, until: datetime, asked: Sequence[Said], *, fresh: bool) -> JournalEntry:
        given = next((given for given in self.context.answers if given not in self._used), None)
        if given is not None:
            answer = self.context.answers[given]
            payload = None if answer.payload is None else undefused(answer.payload)
            words = answer.text if payload is None else undefused(answer.text)  # of a tap they are ours
            text = words or self._label_of(payload)
            chosen = _chosen(asked, payload, text)
            data = {
                "event": given,
                "text": text,
                "payload": payload,
                "message": dict(answer.message),
            }
            shown = {"choice": {"text": chosen.text, "payload": chosen.payload}} if chosen else {}
            return self._record("answer", data={**data, **shown})
        if self.context.clock.now() < until and not self.context.ended():
            await self._wait(until, wants_input=True, fresh=fresh)
        answers = [entry.data for entry in self._entries if entry.kind == "answer"][-UNANSWERED_LIMIT:]
        if answers.count(None) == UNANSWERED_LIMIT:
            raise self.misused(f"{UNANSWERED_LIMIT} questions in a row had no answer: this was one too many")
        return self._record("answer", data=None)

    async def sleep(self, duration: timedelta, key: str = "") -> None:
        """Go on later, on whichever worker."""
        with _Alone(self, "sleep"):
            await self._unless_over()
            step, now = Step("sleep", key=key), self.context.clock.now()
            if (entry := self._replayed_step(step)) is None:
                known = {
                    "until": (now + duration).isoformat(),
                    "place": place_in_code(),
                    **_shown_of(step),
                }
                entry = self._record("sleep", step.stored, known)
            if self._replayed("slept") is not None:
                return
            until = datetime.fromisoformat(entry.data["until"])
            if now < until:
                await self._wait(until, wants_input=False)
            self._record("slept")

    async def signal(self, name: str, timeout: timedelta | None, key: str = "") -> Any:
        """Wait for a signal and return its data. Raises `NoAnswer`: none came in time."""
        with _Alone(self, SIGNAL):
            await self._unless_over()
            asked = self._replayed(SIGNAL, name, key)
            if asked is None:
                until = self.context.clock.now() + (self.context.idle if timeout is None else timeout)
                step = Step(SIGNAL, name, key)
                known_by = {
                    "until": until.isoformat(),
                    "place": place_in_code(),
                    **_shown_of(step),
                }
                asked = self._record(SIGNAL, step.stored, known_by)
            if (known := self._replayed(SIGNALLED, name, key)) is None:
                taken = {entry.data["told"] for entry in self._entries if entry.kind == SIGNALLED and entry.data}
                unused = (told for told in self._told if told.key == name and told.index not in taken)
                told = next(unused, None)
                until = datetime.fromisoformat(asked.data["until"])
                if told is None and self.context.clock.now() < until:
                    await self._wait(until, wants_input=False)
                data = {"told": told.index, "data": told.data} if told else None
                known = self._record(SIGNALLED, Step(SIGNALLED, name, key).stored, data)
            if known.data is None:
                raise NoAnswer(f"the signal {name} did not come in time")
            return known.data["data"]

    def hear(self, told: JournalEntry) -> None:
        """A signal has come while the turn is under way."""
        self._told.append(told)

    async def call(self, called: Called) -> Any:
        """Run a function and return its result, as it is read from the journal: on the first run as on every later one.

        It runs at least once, and never again once its result is stored. Raises `CallFailed` and `JournalMismatch`.
        """
        with _Alone(self, CALL):
            await self._unless_over()
            step = named_step(CALL, called.name, called.key)
            known = self._replayed_step(step)
            if known is None:
                data, failed = await self._made(called, _shown_of(step))
                known = self._record(CALL, step.stored, data)
                if failed:
                    raise failed
            made = self._read(called, step, known)
            if isinstance(made, CallFailed):
                raise made
            return made

    async def gather(self, calls: Sequence[Called], key: str = "") -> list[Any]:
        """Run functions at once, as one step. Each result is stored when it is there, with its place in the list.

        Returns:
            For each its result, or its `CallFailed`.
        """
        with _Alone(self, GATHER):
            await self._unless_over()
            parts = tuple(Step(GATHERED, called.name, called.key) for called in calls)
            step = Step(
                GATHER,
                ", ".join(part.name for part in parts)[:LONGEST_SHOWN],
                key,
                parts=parts,
            )
            if self._replayed_step(step) is None:
                self._record(
                    GATHER,
                    step.stored,
                    {"of": [part.stored for part in parts], **_shown_of(step)},
                )
            known: dict[int, JournalEntry] = {}
            failed: dict[int, CallFailed] = {}  # in this turn, with their causes
            while len(known) < len(parts) and (entry := self._next()):
                place = entry.data["number"] if entry.kind == GATHERED else -1
                missing = next(place for place in range(len(parts)) if place not in known)
                if place in known or not 0 <= place < len(parts) or not parts[place].fits(entry):
                    raise self._mismatched(str(parts[missing]), entry)
                known[place] = entry
                self._at += 1
            shown = [_shown_of(part) for part in parts]
            left = [place for place in range(len(parts)) if place not in known]
            tasks = [asyncio.ensure_future(self._gathered(place, calls[place], shown[place])) for place in left]
            try:
                for place, (entry, error) in zip(left, await asyncio.gather(*tasks), strict=True):
                    known[place] = entry
                    if error:
                        failed[place] = error
            finally:
                for task in tasks:
                    task.cancel()
            return [failed.get(at) or self._read(called, parts[at], known[at]) for at, called in enumerate(calls)]

    async def _gathered(
        self, place: int, called: Called, shown: Mapping[str, str]
    ) -> tuple[JournalEntry, CallFailed | None]:
        data, failed = await self._made(called, shown)
        key = Step(GATHERED, called.name, called.key).stored
        return self._record(GATHERED, key, {"number": place, **data}), failed

    async def _made(self, called: Called, shown: Mapping[str, str]) -> tuple[dict[str, Any], CallFailed | None]:
        """Run a function and tell how it went; return what the journal is to keep, and how it failed."""
        began, failures, failed = self.context.clock.now(), list[str](), None
        try:
            made = {"result": await called.tried(failures)}
        except CallFailed as error:
            failed, made = error, {"error": error.error}
        await self._unless_over()
        return {
            **made,
            **self._told_of_call(called.name, began, failures, failed),
            **shown,
        }, failed

    def _read(self, called: Called, step: Step, entry: JournalEntry) -> Any:
        """The result of a call that the journal keeps, or its `CallFailed`. Raises `JournalMismatch`."""
        if "error" in entry.data:
            return CallFailed(called.name, entry.data["error"], entry.data.get("attempts", 1))
        try:
            return called.read(entry.data["result"])
        except Unreadable as error:
            wants = f"{step} to return {error.wanted}"
            raise self._mismatched(wants, entry, f"a result that does not fit ({error.reason})") from None

    def _told_of_call(
        self, name: str, began: datetime, failures: Sequence[str], failed: CallFailed | None
    ) -> dict[str, Any]:
        """Tell how a call went, and return what the journal is to keep of that: no messages, no values."""
        seconds = (self.context.clock.now() - began).total_seconds()
        attempts = failed.attempts if failed else len(failures) + 1
        fields = {
            "function": name,
            "outcome": "failed" if failed else "done",
            "attempts": attempts,
            "seconds": seconds,
        }
        self.context.observe(Signal("call_over", Level.DEBUG, self.context.conversation_id, fields))
        last = {"failure": failures[-1]} if failures else {}
        return {"attempts": attempts, "seconds": round(seconds, 3), **last}

    async def on_end(self, function: str, call: CleanUpCall) -> int:
        """Note a function that is to be called when the run is over. What comes after it waits until that is stored.

        Returns:
            The index of its journal entry, by which it can be withdrawn.
        """
        with _Alone(self, ON_END):
            await self._unless_over()
            if (known := self._replayed(ON_END, function)) is not None:
                return known.index
            kinds = [entry.kind for entry in self._entries]
            if kinds.count(ON_END) - kinds.count(WITHDRAWN) >= CLEAN_UPS_LIMIT:
                raise self.misused(f"a run has at most {CLEAN_UPS_LIMIT} functions to call at its end")
            data = self._kept(f"what {function} is to be called with", call.data)
            return (await self._stored(ON_END, function, data)).index

    async def withdraw(self, index: int) -> None:
        """Take back the `on_end` of that journal entry. What comes after it waits until that is stored."""
        with _Alone(self, "cancel"):
            await self._unless_over()
            if self._replayed(WITHDRAWN, str(index)) is None:
                await self._stored(WITHDRAWN, str(index))

    def _way(self, kind: str, wanted: Callable[[], str | None], data: Any = None) -> JournalEntry | None:
        """Say which way the run goes here: as the journal has it, if it goes on, else as the code at hand wants it.

        It is a step only if a way is taken. Returns its entry; None: it goes straight on.
        """
        at = self._beyond_marks()
        if at < len(self._entries):
            entry = self._entries[at]
            if entry.kind != kind:
                return None
            self._at = at + 1
            return entry
        way = wanted()
        if way is None:
            return None
        self._at = at
        self._at_the_end()
        return self._record(kind, way, data)

    async def enter(self, flow: Flow) -> Flow:
        """Begin a flow as a part of this one; return it in the version in which the run has begun it.

        A journal of an earlier version of the bot does not mention it.
        """
        await self._unless_over()
        entry = self._way(PART, lambda: flow.name, {"version": flow.version})
        if entry is None:
            return flow
        version = entry.data["version"]
        begun = flow if flow.version == version else self.context.find(flow.name, version)
        if entry.key != flow.name:
            raise self._mismatched(f"{PART} {flow.name}", entry)
        if begun is None:
            wants = f"{PART} {flow.name} version {flow.version}"
            raise self._mismatched(wants, entry, f"{described(entry)} version {version}")
        return begun

    def turned_aside(self, answer: Answer) -> Anywhere | None:
        """The handler that an answer calls, if it is one of the words that work anywhere."""
        handlers = self.context.handlers

        def wanted() -> str | None:
            name = handlers.wanted(answer)
            return None if name in self._aside else name

        entry = self._way(ASIDE, wanted)
        if entry is None:
            return None
        handler = handlers.named(entry.key)
        if handler is None:
            raise self._mismatched("no such word", entry)
        return handler

    @contextmanager
    def aside(self, handler: Anywhere) -> Iterator[None]:
        """While a handler is at work, its own words are answers like any others."""
        self._aside.append(handler.name)
        try:
            yield
        finally:
            self._aside.pop()

    def failed(self, error: Exception, words: str) -> None:
        """Note that the flow raised, and that a handler goes on. It is told when it is noted.

        Args:
            error: what was raised.
            words: the same, without what anybody has said.

        Raises:
            JournalMismatch: the flow has not raised that, or not here, in an earlier turn.
        """
        step, entry = Step(RAISED, type(error).__name__), self._next()
        if entry is None:
            self._record(step.kind, step.stored)
            self.context.raised(error)
        elif step.fits(entry):
            self._at += 1
        else:
            raise self._mismatched(f"to fail ({words})", entry)
        self.failure = words

    async def _stored(self, kind: str, key: str, data: Any = None) -> JournalEntry:
        """Record a step, and wait until it is stored."""
        self._unstored.append(stored := asyncio.get_running_loop().create_future())
        entry = self._record(kind, key, data)
        await stored
        await self._unless_over()
        return entry

    async def log(self, signal: Signal) -> None:
        """Tell a signal, unless an earlier turn has told it."""
        with _Alone(self, "log"):
            await self._unless_over()
            if self._replayed("log", signal.event) is None:
                self._record("log", signal.event)
                self.context.observe(signal)

    def changed(self, what: str) -> bool:
        """Did the run begin with this change of the code?

        The run's first entry has the changes that its code had then. Of a change that is not found in the code that
        runs now (its name is no literal, say), the run takes the new way unless it was beyond that place before.
        """
        if self._busy:
            raise self.misused(f"changed() while {self._busy} is under way: await one step after the other")
        if self.outcome is not None:
            return False
        if what not in self._changes:
            self._changes[what] = self._takes_change(what)
        return self._changes[what]

    def _takes_change(self, what: str) -> bool:
        began = (self._entries[0].data or {}) if self._entries else {}
        if what in began.get("changes", ()):
            return True
        if "changes" not in began or what in changes_in(self.flow, self.context.handlers):
            return False  # earlier versions of the bot knew no changes at all
        marks = [entry.key for entry in takewhile(_is_mark, self._entries[self._at :])]
        if what in marks:
            return True
        if self._at + len(marks) < len(self._entries):
            return False
        self._at += len(marks)
        self._at_the_end()
        self._record(CHANGED, what)
        return True

    async def end(self, outcome: FlowReleased | FlowHandedOver | FlowReminded) -> Never:
        """End the flow here and now."""
        with _Alone(self, "the end of the flow"):
            await self._unless_over()
            if self.failure:  # a failed flow is told, also where its handler chooses another end
                told = {
                    "detail": self.failure,
                    "flow": self.flow.name,
                    "version": self.flow.version,
                }
                self.context.observe(Signal("flow_failed", Level.WARNING, self.context.conversation_id, told))
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

    def _replayed(self, kind: str, name: str = "", key: str = "") -> JournalEntry | None:
        """The journal's next entry, as in `_replayed_step`."""
        return self._replayed_step(named_step(kind, name, key))

    def _replayed_step(self, step: Step) -> JournalEntry | None:
        """The journal's next entry, which must be that step; None where the journal ends, and the step is new."""
        entry = self._next()
        if entry is None:
            return None
        if not step.fits(entry):
            raise self._mismatched(str(step), entry)
        self._at += 1
        return entry

    def _next(self) -> JournalEntry | None:
        """The journal's next entry that is a step; None where the journal ends, and the next step is new.

        Marks of changes are passed over: the code may have forgotten them by now.
        """
        while self._at < len(self._entries):
            entry = self._entries[self._at]
            if entry.kind != CHANGED:
                return entry
            self._at += 1
        self._at_the_end()
        return None

    def _beyond_marks(self) -> int:
        at = self._at
        while at < len(self._entries) and self._entries[at].kind == CHANGED:
            at += 1
        return at

    def _at_the_end(self) -> None:
        """The next step is new: where the turn only replays, it ends here."""
        if self.only_replays:
            self.outcome = FlowWaits(self.context.run_id, wants_input=False, until=None)
            self.notify()
            raise asyncio.CancelledError("the journal ends here")

    def _left(self) -> JournalEntry | None:
        """The next entry of the journal that the code has not come to; None if there is none."""
        return next((entry for entry in self._entries[self._at :] if not _is_mark(entry)), None)

    def _mismatched(self, wants: str, entry: JournalEntry, has: str = "") -> JournalMismatch:
        """The error where code and journal first differ. It ends the run, even if the flow catches it."""
        found = self._mismatch(wants, entry, f" at {place_in_code()}", has)
        self.outcome = self.outcome or found
        self.notify()
        return JournalMismatch(found.problem.removeprefix(MISMATCH))

    def _mismatch(self, wants: str, entry: JournalEntry, place: str = "", has: str = "") -> FlowMismatched:
        where, has = f"flow {self.flow.title}, step {entry.index}", has or described(entry)
        differs = (
            f"{wants}, the journal has {has}"
            if wants != has
            else f"{wants} with another {told_apart_by(entry)} than the journal has"
        )
        return FlowMismatched(self.context.run_id, f"{MISMATCH}{where}: the code{place} wants {differs}")

    def _record(self, kind: str, key: str = "", data: Any = None) -> JournalEntry:
        size = len(str(data))
        self._bytes += size
        if self._at >= ENTRIES_LIMIT or self._bytes > JOURNAL_BYTES_LIMIT:
            raise self.misused(f"a run has at most {ENTRIES_LIMIT} steps, and {JOURNAL_BYTES_LIMIT} bytes of results")
        entry = JournalEntry(self.context.run_id, self._at, kind, key, data, size, self.context.clock.now())
        self._entries.append(entry)
        self._used.update(_used_by(entry))
        self._new_entries.append(entry)
        self._at += 1
        self.notify()
        return entry


def _is_mark(entry: JournalEntry) -> bool:
    return entry.kind == CHANGED


def _shown_of(step: Step) -> dict[str, str]:
    """What the journal keeps of a step for operators: text and key, if they stand in the flow's code, and function."""
    given = {"says": step.text, "named": step.key}
    shown = {name: text[:LONGEST_SHOWN] for name, text in given.items() if text and is_written(text)}
    return {**shown, "function": step.name} if step.key and step.is_named else shown


def _used_by(entry: JournalEntry) -> Sequence[str]:
    """Event ids of the input that a step has used up: which answered it, or which it was to ignore."""
    data = entry.data or {}
    if entry.kind == "answer" and "event" in data:
        return (data["event"],)
    return data.get("ignored", ()) if entry.kind == "ask" else ()


def _chosen(asked: Sequence[Said], payload: str | None, text: str) -> Choice | None:
    """The choice that was tapped or typed."""
    choices = [choice for said in asked for choice in offered(said.content)]
    if payload is not None:
        return next((choice for choice in choices if choice.payload == payload), None)
    return typed_choice(choices, listed(asked[-1].content) if asked else [], text)


class _Alone:
    """Steps are taken one after the other: the journal has an order, and so must the flow."""

    def __init__(self, turn: Turn, step: str) -> None:
        self._turn, self._step = turn, step

    def __enter__(self) -> None:
        if self._turn._busy:  # noqa: SLF001 - the turn's own guard
            busy = self._turn._busy  # noqa: SLF001
            several = "; several calls at once: chat.gather" if self._step == busy == "call" else ""
            raise self._turn.misused(f"{self._step} while {busy} is under way: await one step after the other{several}")
        self._turn._busy = self._step  # noqa: SLF001

    def __exit__(self, *_: object) -> None:
        self._turn._busy = None  # noqa: SLF001


@types.coroutine
def _stopped_for_good() -> Generator[None, None, None]:
    """Suspends where no event loop runs any more: a flow that catches even the end of the program must not go on."""
    yield
