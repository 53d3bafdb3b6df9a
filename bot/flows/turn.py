"""One turn of a flow over its journal: what has been done is answered from it, what is new is collected.

No I/O happens here. Whoever runs the turn (`bot.engine`) takes the new entries and messages with `take`, stores them
together, and reads `outcome` when the turn is over; `notify` is called whenever there is something to take.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
)
from bot.flows.content import Choice, listed, offered
from bot.flows.defuse import undefused
from bot.flows.functions import Functions
from bot.flows.handlers import Anywhere, Handlers
from bot.flows.json_form import json_form
from bot.flows.labels import typed_choice
from bot.flows.outcome import When
from bot.signals import Level, Observe, Signal, silent
from bot.store.interface import JournalEntry

TurnOutcome = FlowWaits | FlowReturned | FlowFailed | FlowReleased | FlowHandedOver

ENTRIES_LIMIT = 1000  # of one run; a flow that goes on and on is a flow that hangs
JOURNAL_BYTES_LIMIT = 1_000_000
MESSAGES_LIMIT = 500  # of one run; a release waits until they are said
CLEAN_UPS_LIMIT = 20
REFUSALS_LIMIT = 100  # steps that a flow may try to take after it was cut off, before it is left to stand still
UNANSWERED_LIMIT = 10  # questions in a row; who asks on and on, although nobody is there, keeps control for ever
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
        return {**calling, "attempts": self.attempts, "timeout": self.timeout, "when": self.when}


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
        called: is told of each attempt of `chat.call`: the function's name, and the error; None if it worked.
        observe: is told what the flow logs.
        raised: is told what the flow raises.
        handlers: the team's, for all flows.
        resources: what the team's lifespan has opened; None without one.
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
    called: Callable[[str, Exception | None], None] = lambda _, __: None
    observe: Observe = silent
    raised: Callable[[BaseException], None] = lambda _: None
    handlers: Handlers = field(default_factory=Handlers)
    resources: Any = None


@dataclass(slots=True)
class Turn:
    """The journal of a run while its code runs once more from its first line."""

    flow: Flow
    context: Context
    notify: Callable[[], None]
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
    _told: list[JournalEntry] = field(default_factory=list)  # signals, in the order in which they came
    _aside: list[str] = field(default_factory=list)  # handlers of words that are at work

    def __post_init__(self) -> None:
        self._entries = [entry for entry in self.context.journal if entry.kind != TOLD]
        self._told = [entry for entry in self.context.journal if entry.kind == TOLD]
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

    def over(self, outcome: TurnOutcome) -> None:
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
            self._show(contents)
            if self._replayed("say") is None:
                self._record("say")
                self._new_said.extend(contents)

    async def ask(self, contents: Sequence[Said], timeout: timedelta | None, *, fresh: bool) -> Answer:
        """Say messages and wait for the user. Raises `NoAnswer`: after an end at once, and nothing is said."""
        with _Alone(self, "ask"):
            await self._unless_over()
            self._show(contents)
            asked = self._replayed("ask")
            is_new = asked is None
            if asked is None:
                in_vain = self.context.ended()
                until = self.context.clock.now() + (self.context.idle if timeout is None else timeout)
                unused = [given for given in self.context.answers if given not in self._used]
                ignored = {"ignored": unused} if fresh or in_vain else {}
                asked = self._record("ask", data={"until": until.isoformat(), **ignored})
                self._new_said.extend(() if in_vain else contents)
            if (known := self._replayed("answer")) is None:
                until = datetime.fromisoformat(asked.data["until"])
                known = await self._answer(until, contents, fresh=fresh and is_new)
            if known.data is None:
                raise NoAnswer("nobody answered: the time is over, or the user has ended the conversation")
            said, chosen = known.data, known.data.get("choice")
            return Answer(said["text"], said["payload"], said["message"], Choice(**chosen) if chosen else None)

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
            data = {"event": given, "text": text, "payload": payload, "message": dict(answer.message)}
            shown = {"choice": {"text": chosen.text, "payload": chosen.payload}} if chosen else {}
            return self._record("answer", data={**data, **shown})
        if self.context.clock.now() < until and not self.context.ended():
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

    async def signal(self, name: str, timeout: timedelta | None) -> Any:
        """Wait for a signal and return its data. Raises `NoAnswer`: none came in time."""
        with _Alone(self, SIGNAL):
            await self._unless_over()
            asked = self._replayed(SIGNAL, name)
            if asked is None:
                until = self.context.clock.now() + (self.context.idle if timeout is None else timeout)
                asked = self._record(SIGNAL, name, {"until": until.isoformat()})
            if (known := self._replayed(SIGNALLED, name)) is None:
                taken = {entry.data["told"] for entry in self._entries if entry.kind == SIGNALLED and entry.data}
                unused = (told for told in self._told if told.key == name and told.index not in taken)
                told = next(unused, None)
                until = datetime.fromisoformat(asked.data["until"])
                if told is None and self.context.clock.now() < until:
                    await self._wait(until, wants_input=False)
                known = self._record(SIGNALLED, name, {"told": told.index, "data": told.data} if told else None)
            if known.data is None:
                raise NoAnswer(f"the signal {name} did not come in time")
            return known.data["data"]

    def hear(self, told: JournalEntry) -> None:
        """A signal has come while the turn is under way."""
        self._told.append(told)

    async def call(self, name: str, function: Callable[[], Awaitable[Any]]) -> Any:
        """Run a function and keep its result: it runs at least once, and never again once its result is stored.

        The result comes back as its JSON form, on the first run as on every later one.
        """
        with _Alone(self, "call"):
            await self._unless_over()
            known = self._replayed("call", name)
            if known is None:
                try:
                    result, failed = await function(), None
                except CallFailed as error:
                    result, failed = None, error
                await self._unless_over()
                if failed is None:
                    known = self._record("call", name, {"result": self._kept(f"the result of {name}", result)})
                else:
                    known = self._record("call", name, {"error": failed.error, "attempts": failed.attempts})
                    raise failed
            made = _made(name, known)
            if isinstance(made, CallFailed):
                raise made
            return made

    async def gather(self, calls: Sequence[tuple[str, Callable[[], Awaitable[Any]]]]) -> list[Any]:
        """Run functions at once, as one step. Each result is stored when it is there, under its place in the list.

        Returns:
            For each its result, or its `CallFailed`.
        """
        with _Alone(self, GATHER):
            await self._unless_over()
            names = ", ".join(name for name, _ in calls)
            if self._replayed(GATHER, names) is None:
                self._record(GATHER, names)
            made: dict[int, Any] = {}
            while len(made) < len(calls) and self._at < len(self._entries):
                key = self._entries[self._at].key
                if entry := self._replayed(GATHERED, key):
                    made[int(key)] = _made(calls[int(key)][0], entry)
            left = [place for place in range(len(calls)) if place not in made]
            tasks = [asyncio.ensure_future(self._gathered(place, *calls[place])) for place in left]
            try:
                made.update(zip(left, await asyncio.gather(*tasks), strict=True))
            finally:
                for task in tasks:
                    task.cancel()
            return [made[place] for place in range(len(calls))]

    async def _gathered(self, place: int, name: str, function: Callable[[], Awaitable[Any]]) -> Any:
        failed: CallFailed | None = None
        try:
            data = {"result": self._kept(f"the result of {name}", await function())}
        except CallFailed as error:
            failed, data = error, {"error": error.error, "attempts": error.attempts}
        await self._unless_over()
        entry = self._record(GATHERED, str(place), data)
        return failed or _made(name, entry)

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

    def taken(self, kind: str, wanted: str | None) -> str | None:
        """Say which way the run goes here: as the journal has it, if it goes on, else as the code at hand wants it.

        It is a step only if a way is taken. Returns the key of that step; None: it goes straight on.
        """
        if self._at < len(self._entries):
            entry = self._entries[self._at]
            if entry.kind != kind:
                return None
            self._at += 1
            return entry.key
        if wanted is not None:
            self._record(kind, wanted)
        return wanted

    def enter(self, flow: str) -> None:
        """Begin a flow as a part of this one. A journal of an earlier version does not mention it."""
        entered = self.taken(PART, flow)
        if entered not in (flow, None):
            raise self.does_not_fit(f"{PART} {flow}", f"{PART} {entered}")

    def turned_aside(self, answer: Answer) -> Anywhere | None:
        """The handler that an answer calls, if it is one of the words that work anywhere."""
        handlers = self.context.handlers
        wanted = handlers.wanted(answer)
        name = self.taken(ASIDE, None if wanted in self._aside else wanted)
        if name is None:
            return None
        handler = handlers.named(name)
        if handler is None:
            raise self.does_not_fit("no such word", f"{ASIDE} {name}")
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
        """
        is_new = self._replayed(RAISED, type(error).__name__) is None
        if is_new:
            self._record(RAISED, type(error).__name__)
            self.context.raised(error)
        self.failure = words

    def does_not_fit(self, expected: str, found: str) -> JournalMismatch:
        """The error for a journal whose last replayed entry holds something else than the code wants."""
        return JournalMismatch(self.flow.name, self._at - 1, expected, found)

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

    async def end(self, outcome: FlowReleased | FlowHandedOver) -> Never:
        """End the flow here and now."""
        with _Alone(self, "the end of the flow"):
            await self._unless_over()
            if self.failure:  # a failed flow is told, also where its handler chooses another end
                detail = {"detail": self.failure}
                self.context.observe(Signal("flow_failed", Level.WARNING, self.context.conversation_id, detail))
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


def _made(name: str, entry: JournalEntry) -> Any:
    """The result of a call that the journal keeps, or its `CallFailed`."""
    if "error" in entry.data:
        return CallFailed(name, entry.data["error"], entry.data.get("attempts", 1))
    return entry.data["result"]


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
