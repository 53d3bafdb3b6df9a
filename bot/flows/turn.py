"""One turn of a flow: past steps are answered from the journal, new ones are collected.

No I/O happens here. The caller (`bot.engine`) collects new entries and messages with
`take`, stores them together, and reads `outcome` after the turn. `notify` is called
whenever there is something to take.
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
from bot.flows.results import UnreadableResult
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

ENTRIES_LIMIT = 1000  # per run; a flow with more is in an endless loop
JOURNAL_BYTES_LIMIT = 1_000_000
MESSAGES_LIMIT = 500  # per run; a release waits until all are sent
CLEAN_UPS_LIMIT = 20
REFUSALS_LIMIT = 100  # steps refused after a cut-off, before the flow is suspended for good
UNANSWERED_LIMIT = 10  # questions in a row; without it, an unanswered loop would hold control forever
BEGAN = "began"
CALL = "call"
GATHER, GATHERED = "gather", "gathered"
SIGNAL, SIGNALLED = "signal", "signalled"
TOLD = "told"
FIRST_TOLD = 1_000_000  # index of a run's first signal, above the indexes of its steps
SIGNALS_LIMIT = 100
PART = "flow"
ASIDE = "anywhere"
RAISED = "raised"
ON_END = "on_end"
WITHDRAWN = "on_end_withdrawn"
CHANGED = "changed"
MISMATCH = f"{JournalMismatch.__name__}: "  # prefix of a mismatch's problem text


_USES_INPUT = frozenset({"ask", "answer"})


@dataclass(frozen=True, slots=True)
class Said:
    """A message said in this turn: the API's message content, and the flow's metadata."""

    content: dict[str, Any]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CleanUpCall:
    """The journal's record of an `on_end`, except its function. `timeout` is in seconds."""

    args: list[Any]
    kwargs: dict[str, Any]
    attempts: int
    timeout: float
    when: When

    @property
    def data(self) -> dict[str, Any]:
        """The form stored in the journal."""
        calling = {"args": self.args, "kwargs": self.kwargs}
        return {
            **calling,
            "attempts": self.attempts,
            "timeout": self.timeout,
            "when": self.when,
        }


@dataclass(slots=True)
class TurnContext:
    """The input of a turn.

    Attributes:
        conversation_id: the platform's id.
        run_id: number of the run.
        began: the origin of the run, with its user.
        journal: the run's entries so far; the first one records the origin.
        answers: user input by event id, oldest first. The journal tells which of it the
            run has already used.
        idle: how long an `ask` without a timeout waits.
        history: reads the newest messages.
        ended: whether the user has ended the conversation, so that nobody can answer.
        functions: the functions that may be called after the run.
        called: called after each attempt of `chat.call` with the function's name, the
            attempt's number, and the error (None on success).
        observe: called with each log event of the flow.
        raised: called with each exception of the flow.
        handlers: the team's shared handlers.
        resources: opened by the team's lifespan; None without one.
        find: looks up a flow by name and version.
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
    """A function call made by a flow.

    Attributes:
        name: the function's name.
        key: the author's key; empty if none.
        tried: runs it with all attempts and returns its result as JSON. Appends the type
            of each error to its argument. Raises `CallFailed`.
        read: converts the JSON to the function's result. Raises `UnreadableResult`.
    """

    name: str
    key: str
    tried: Callable[[list[str]], Awaitable[Any]]
    read: Callable[[Any], Any]


@dataclass(slots=True)
class Turn:
    """The journal of a run, while the flow's code runs again from its first line.

    Attributes:
        notify: called whenever there is something to take.
        outcome: the result of the turn, once it is over.
        only_replays: end the turn where the journal ends, before any new step or effect.
    """

    flow: Flow
    context: TurnContext
    notify: Callable[[], None]
    only_replays: bool = False
    outcome: TurnOutcome | None = None
    failure: str = ""  # the exception of the flow, after a handler has taken over
    _entries: list[JournalEntry] = field(default_factory=list)
    _at: int = 1  # entry 0 records the origin of the run
    _bytes: int = 0
    _used: set[str] = field(default_factory=set)  # event ids of used or ignored input
    _new_entries: list[JournalEntry] = field(default_factory=list)
    _new_said: list[Said] = field(default_factory=list)
    _busy: str | None = None
    _shown: list[Said] = field(default_factory=list)  # all messages of the run so far
    _unstored: list[asyncio.Future[None]] = field(default_factory=list)
    _taken: list[asyncio.Future[None]] = field(default_factory=list)
    _end: asyncio.Event = field(default_factory=asyncio.Event)  # set by `cut_off`
    _refusals: int = 0
    _changes: dict[str, bool] = field(default_factory=dict)
    _told: list[JournalEntry] = field(default_factory=list)  # signals, in order of arrival
    _aside: list[str] = field(default_factory=list)  # active `@anywhere` handlers

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
        """Return the entries and messages since the last call, for one transaction."""
        taken = (self._new_entries, self._new_said)
        self._new_entries, self._new_said = [], []
        self._taken, self._unstored = [*self._taken, *self._unstored], []
        return taken

    def stored(self) -> None:
        """Resume the steps that waited until the taken entries are stored."""
        for waiting in self._taken:
            if not waiting.done():
                waiting.set_result(None)
        self._taken = []

    def cut_off(self) -> None:
        """End the turn now: any further step of its code is cancelled."""
        self.outcome = self.outcome or FlowFailed(self.context.run_id, "stopped")
        self._end.set()
        for waiting in (*self._taken, *self._unstored):
            waiting.cancel()

    def over(self, outcome: TurnOutcome) -> None:
        """End the turn; the first outcome counts. Unplayed entries are a mismatch."""
        if self.outcome is None and (left := self._left()) and not isinstance(outcome, FlowWaits):
            wants = f"to fail ({outcome.error})" if isinstance(outcome, FlowFailed) else "to end"
            outcome = self._mismatch(wants, left)
        self.outcome = self.outcome or outcome
        self.notify()

    def misused(self, what: str) -> FlowMisuse:
        """Return the error for an invalid request, and end the run even if it is caught."""
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
        """Say messages and wait for the user.

        Raises `NoAnswer`; after the user's end at once, without saying anything.
        """
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
                raise NoAnswer(
                    "no answer: the timeout expired, or the user has ended the conversation",
                )
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
        """The label of the newest choice or button with this payload, or empty."""
        choices = (choice for said in reversed(self._shown) for choice in reversed(offered(said.content)))
        return next((choice.text for choice in choices if choice.payload == payload), "")

    async def _answer(self, until: datetime, asked: Sequence[Said], *, fresh: bool) -> JournalEntry:
        given = next((given for given in self.context.answers if given not in self._used), None)
        if given is not None:
            answer = self.context.answers[given]
            payload = None if answer.payload is None else undefused(answer.payload)
            words = answer.text if payload is None else undefused(answer.text)  # a tapped label is ours
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
            raise self.misused(
                f"{UNANSWERED_LIMIT} questions in a row had no answer: the limit is reached",
            )
        return self._record("answer", data=None)

    async def sleep(self, duration: timedelta, key: str = "") -> None:
        """Pause; the flow may continue on another worker."""
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
        """Wait for a signal and return its data. Raises `NoAnswer` on timeout."""
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
        """Add a signal that arrived during the turn."""
        self._told.append(told)

    async def call(self, called: Called) -> Any:
        """Run a function and return its result, always as read from the journal.

        It runs at least once, and never again once its result is stored. Raises
        `CallFailed` and `JournalMismatch`.
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
        """Run functions concurrently, as one step.

        Each result is stored when it is available, with its position in the list.

        Returns:
            The result of each, or its `CallFailed`.
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
            # First read the stored results, which may be in any order.
            while len(known) < len(parts) and (entry := self._next()):
                place = entry.data["number"] if entry.kind == GATHERED else -1
                missing = next(place for place in range(len(parts)) if place not in known)
                if place in known or not 0 <= place < len(parts) or not parts[place].fits(entry):
                    raise self._mismatched(str(parts[missing]), entry)
                known[place] = entry
                self._at += 1
            # Then run the missing calls.
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
        self,
        place: int,
        called: Called,
        shown: Mapping[str, str],
    ) -> tuple[JournalEntry, CallFailed | None]:
        data, failed = await self._made(called, shown)
        key = Step(GATHERED, called.name, called.key).stored
        return self._record(GATHERED, key, {"number": place, **data}), failed

    async def _made(
        self,
        called: Called,
        shown: Mapping[str, str],
    ) -> tuple[dict[str, Any], CallFailed | None]:
        """Run a function; return the journal's record of it, and its failure if any."""
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
        """Return a stored result, or its `CallFailed`. Raises `JournalMismatch`."""
        if "error" in entry.data:
            return CallFailed(called.name, entry.data["error"], entry.data.get("attempts", 1))
        try:
            return called.read(entry.data["result"])
        except UnreadableResult as error:
            wants = f"{step} to return {error.wanted}"
            raise self._mismatched(
                wants,
                entry,
                f"a result that does not fit ({error.reason})",
            ) from None

    def _told_of_call(
        self,
        name: str,
        began: datetime,
        failures: Sequence[str],
        failed: CallFailed | None,
    ) -> dict[str, Any]:
        """Log how a call went; return the journal's record of it, without values."""
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
        """Register a clean-up function, and wait until that is stored.

        Returns:
            The index of its journal entry, used to withdraw it.
        """
        with _Alone(self, ON_END):
            await self._unless_over()
            if (known := self._replayed(ON_END, function)) is not None:
                return known.index
            kinds = [entry.kind for entry in self._entries]
            if kinds.count(ON_END) - kinds.count(WITHDRAWN) >= CLEAN_UPS_LIMIT:
                raise self.misused(
                    f"a run can register at most {CLEAN_UPS_LIMIT} clean-up functions",
                )
            data = self._kept(f"the arguments of {function}", call.data)
            return (await self._stored(ON_END, function, data)).index

    async def withdraw(self, index: int) -> None:
        """Withdraw the `on_end` with this journal index, and wait until that is stored."""
        with _Alone(self, "cancel"):
            await self._unless_over()
            if self._replayed(WITHDRAWN, str(index)) is None:
                await self._stored(WITHDRAWN, str(index))

    def _way(
        self,
        kind: str,
        wanted: Callable[[], str | None],
        data: Any = None,
    ) -> JournalEntry | None:
        """Take a branch: as recorded in the journal, or else as the current code decides.

        Returns its entry; None if no branch is taken, in which case no step is recorded.
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
        """Begin a flow as part of this one; return the version that the run began with.

        Journals from earlier versions of the bot have no entry for it.
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
        """Return the `@anywhere` handler triggered by an answer, if any."""
        handlers = self.context.handlers

        def wanted() -> str | None:
            name = handlers.wanted(answer)
            return None if name in self._aside else name

        entry = self._way(ASIDE, wanted)
        if entry is None:
            return None
        handler = handlers.named(entry.key)
        if handler is None:
            raise self._mismatched("no @anywhere handler of that name", entry)
        return handler

    @contextmanager
    def aside(self, handler: Anywhere) -> Iterator[None]:
        """While a handler runs, treat its own words as ordinary answers."""
        self._aside.append(handler.name)
        try:
            yield
        finally:
            self._aside.pop()

    def failed(self, error: Exception, words: str) -> None:
        """Record that the flow raised and a handler takes over; reports it once.

        Args:
            error: the exception.
            words: a description of it without anybody's words.

        Raises:
            JournalMismatch: in an earlier turn the flow raised something else or elsewhere.
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
        """Emit a signal, unless an earlier turn has done so."""
        with _Alone(self, "log"):
            await self._unless_over()
            if self._replayed("log", signal.event) is None:
                self._record("log", signal.event)
                self.context.observe(signal)

    def changed(self, what: str) -> bool:
        """Return whether the run began with this change of the code.

        The run's first entry lists the changes in its code at the time. If the current
        code's change is not found by inspection (its name is not a literal, say), the
        result is True unless the run had already passed this place.
        """
        if self._busy:
            raise self.misused(
                f"changed() while {self._busy} is under way: await one step after the other",
            )
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
            return False  # the journal is older than the bot's support for changes
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
        """End the flow now."""
        with _Alone(self, "the end of the flow"):
            await self._unless_over()
            if self.failure:  # a failed flow is reported even if its handler ends it differently
                told = {
                    "detail": self.failure,
                    "flow": self.flow.name,
                    "version": self.flow.version,
                }
                self.context.observe(
                    Signal("flow_failed", Level.WARNING, self.context.conversation_id, told),
                )
            self.over(outcome)
            await self._forever()

    async def _wait(self, until: datetime, *, wants_input: bool, fresh: bool = False) -> Never:
        taken = tuple(given for given in self.context.answers if given in self._used)
        self.over(FlowWaits(self.context.run_id, wants_input, until, taken, fresh))
        await self._forever()

    async def _unless_over(self) -> None:
        """Block if the turn is over, whatever the flow's code catches."""
        if self.outcome is not None:
            await self._forever()

    async def _forever(self) -> Never:
        """Wait for the cut-off, then cancel. After too many refusals, suspend for good."""
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
        """Return the JSON form for the journal; end the run if there is none."""
        try:
            return json_form(what, value)
        except FlowMisuse as error:
            raise self.misused(str(error)) from None

    def _replayed(self, kind: str, name: str = "", key: str = "") -> JournalEntry | None:
        """Return the journal's next entry; see `_replayed_step`."""
        return self._replayed_step(named_step(kind, name, key))

    def _replayed_step(self, step: Step) -> JournalEntry | None:
        """Return the next entry, which must be that step; None if the step is new."""
        entry = self._next()
        if entry is None:
            return None
        if not step.fits(entry):
            raise self._mismatched(str(step), entry)
        self._at += 1
        return entry

    def _next(self) -> JournalEntry | None:
        """Return the journal's next step; None if the journal ends here.

        Skips entries of `changed`, since the code may no longer ask for that change.
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
        """The next step is new: end the turn here if it only replays."""
        if self.only_replays:
            self.outcome = FlowWaits(self.context.run_id, wants_input=False, until=None)
            self.notify()
            raise asyncio.CancelledError("the journal ends here")

    def _left(self) -> JournalEntry | None:
        """The next journal entry that the code has not reached; None if there is none."""
        return next((entry for entry in self._entries[self._at :] if not _is_mark(entry)), None)

    def _mismatched(self, wants: str, entry: JournalEntry, has: str = "") -> JournalMismatch:
        """Return the error for the first difference, and end the run even if caught."""
        found = self._mismatch(wants, entry, f" at {place_in_code()}", has)
        self.outcome = self.outcome or found
        self.notify()
        return JournalMismatch(found.problem.removeprefix(MISMATCH))

    def _mismatch(
        self,
        wants: str,
        entry: JournalEntry,
        place: str = "",
        has: str = "",
    ) -> FlowMismatched:
        where, has = f"flow {self.flow.title}, step {entry.index}", has or described(entry)
        differs = (
            f"{wants}, the journal has {has}"
            if wants != has
            else f"{wants} with another {told_apart_by(entry)} than the journal has"
        )
        return FlowMismatched(
            self.context.run_id,
            f"{MISMATCH}{where}: the code{place} wants {differs}",
        )

    def _record(self, kind: str, key: str = "", data: Any = None) -> JournalEntry:
        size = len(str(data))
        self._bytes += size
        if self._at >= ENTRIES_LIMIT or self._bytes > JOURNAL_BYTES_LIMIT:
            raise self.misused(
                f"a run can have at most {ENTRIES_LIMIT} steps and {JOURNAL_BYTES_LIMIT} bytes of results",
            )
        entry = JournalEntry(
            self.context.run_id,
            self._at,
            kind,
            key,
            data,
            size,
            self.context.clock.now(),
        )
        self._entries.append(entry)
        self._used.update(_used_by(entry))
        self._new_entries.append(entry)
        self._at += 1
        self.notify()
        return entry


def _is_mark(entry: JournalEntry) -> bool:
    return entry.kind == CHANGED


def _shown_of(step: Step) -> dict[str, str]:
    """The operators' view of a step: text and key if they are literals, and function."""
    given = {"says": step.text, "named": step.key}
    shown = {name: text[:LONGEST_SHOWN] for name, text in given.items() if text and is_written(text)}
    return {**shown, "function": step.name} if step.key and step.is_named else shown


def _used_by(entry: JournalEntry) -> Sequence[str]:
    """Event ids of the input used by a step: its answer, or input that it ignored."""
    data = entry.data or {}
    if entry.kind == "answer" and "event" in data:
        return (data["event"],)
    return data.get("ignored", ()) if entry.kind == "ask" else ()


def _chosen(asked: Sequence[Said], payload: str | None, text: str) -> Choice | None:
    """The tapped or typed choice."""
    choices = [choice for said in asked for choice in offered(said.content)]
    if payload is not None:
        return next((choice for choice in choices if choice.payload == payload), None)
    return typed_choice(choices, listed(asked[-1].content) if asked else [], text)


class _Alone:
    """Guards that steps run one after the other: the journal has a single order."""

    def __init__(self, turn: Turn, step: str) -> None:
        self._turn, self._step = turn, step

    def __enter__(self) -> None:
        if self._turn._busy:  # noqa: SLF001 - the turn's own guard
            busy = self._turn._busy  # noqa: SLF001
            several = "; several calls at once: chat.gather" if self._step == busy == "call" else ""
            raise self._turn.misused(
                f"{self._step} while {busy} is in progress: await one step after the other{several}",
            )
        self._turn._busy = self._step  # noqa: SLF001

    def __exit__(self, *_: object) -> None:
        self._turn._busy = None  # noqa: SLF001


@types.coroutine
def _stopped_for_good() -> Generator[None, None, None]:
    """Suspend without an event loop: a flow that catches even the exit must not go on."""
    yield
