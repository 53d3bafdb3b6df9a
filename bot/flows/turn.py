"""One turn of a flow over its journal: what has been done is answered from it, what is new is collected.

No I/O happens here. Whoever runs the turn (`bot.engine`) takes the new entries and messages with `take`, stores them
together, and reads `outcome` when the turn is over; `notify` is called whenever there is something to take.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Never

from bot.clock import Clock
from bot.control.facts import FlowFailed, FlowHandedOver, FlowMismatched, FlowReleased, FlowReturned, FlowWaits
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
from bot.flows.changes import changes_of
from bot.flows.content import Choice, listed, offered
from bot.flows.defuse import undefused
from bot.flows.functions import Functions
from bot.flows.json_form import json_form
from bot.flows.labels import typed_choice
from bot.flows.outcome import When
from bot.flows.steps import (
    LONGEST_SHOWN,
    Step,
    described,
    is_written,
    place_in_code,
    result_type,
    still_returns,
)
from bot.signals import Level, Observe, Signal, silent
from bot.store.interface import JournalEntry

TurnOutcome = FlowWaits | FlowReturned | FlowFailed | FlowMismatched | FlowReleased | FlowHandedOver

ENTRIES_LIMIT = 1000  # of one run; a flow that goes on and on is a flow that hangs
JOURNAL_BYTES_LIMIT = 1_000_000
MESSAGES_LIMIT = 500  # of one run; a release waits until they are said
CLEAN_UPS_LIMIT = 20
REFUSALS_LIMIT = 100  # steps that a flow may try to take after it was cut off, before it is left to stand still
UNANSWERED_LIMIT = 10  # questions in a row; who asks on and on, although nobody is there, keeps control for ever
BEGAN = "began"
ON_END = "on_end"
WITHDRAWN = "on_end_withdrawn"
CHANGED = "changed"
MISMATCH = f"{JournalMismatch.__name__}: "  # how the problem begins where code and journal differ

FAILED_ATTEMPTS: ContextVar[list[str] | None] = ContextVar("failed_attempts", default=None)
"""Types of the errors with which attempts of the call under way have failed; to be added to by `Context.called`."""


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
        began: what began the flow.
        user: the end user.
        journal: the run's entries so far, the first of which says what began it.
        answers: user input by event id, oldest first. The journal tells which of it the run has used already.
        idle: how long an `ask` without a time-out waits.
        history: reads the newest messages.
        ended: has the user ended the conversation by now? Then nobody can answer any more.
        functions: those that may be called when the run is over.
        called: is told of each attempt of `chat.call`: the function's name, and the error; None if it worked.
        observe: is told what the flow logs.
        raised: is told what the flow raises.
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
    functions: Functions = field(default_factory=Functions)
    ended: Callable[[], bool] = lambda: False
    called: Callable[[str, Exception | None], None] = lambda _, __: None
    observe: Observe = silent
    raised: Callable[[BaseException], None] = lambda _: None


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

    async def ask(self, contents: Sequence[Said], timeout: timedelta | None, step: Step, *, fresh: bool) -> Answer:
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
                known = {"until": until.isoformat(), **ignored, "place": place_in_code(), **_shown_of(step)}
                asked = self._record("ask", step.stored, known)
                self._new_said.extend(() if in_vain else contents)
            if (given := self._replayed("answer")) is None:
                until = datetime.fromisoformat(asked.data["until"])
                given = await self._answer(until, contents, fresh=fresh and is_new)
            if given.data is None:
                raise NoAnswer("nobody answered: the time is over, or the user has ended the conversation")
            said, chosen = given.data, given.data.get("choice")
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

    async def sleep(self, duration: timedelta, key: str = "") -> None:
        """Go on later, on whichever worker."""
        with _Alone(self, "sleep"):
            await self._unless_over()
            step, now = Step("sleep", key=key), self.context.clock.now()
            if (entry := self._replayed_step(step)) is None:
                known = {"until": (now + duration).isoformat(), "place": place_in_code(), **_shown_of(step)}
                entry = self._record("sleep", step.stored, known)
            if self._replayed("slept") is not None:
                return
            until = datetime.fromisoformat(entry.data["until"])
            if now < until:
                await self._wait(until, wants_input=False)
            self._record("slept")

    async def call(
        self,
        name: str,
        function: Callable[[], Awaitable[Any]],
        *,
        key: str = "",
        of: Callable[..., Any] | None = None,
    ) -> Any:
        """Run a function and keep its result: it runs at least once, and never again once its result is stored.

        The result comes back as its JSON form, on the first run as on every later one.

        Args:
            name: the function's name.
            function: runs it, with all its attempts.
            key: as the author has given it.
            of: the function itself, which tells by its annotation what it returns.
        """
        with _Alone(self, "call"):
            await self._unless_over()
            step, returns = Step("call", name, key), result_type(of) if of else ""
            known = self._replayed_step(step)
            if known is None:
                began, failures = self.context.clock.now(), list[str]()
                FAILED_ATTEMPTS.set(failures)
                try:
                    result, failed = await function(), None
                except CallFailed as error:
                    result, failed = None, error
                finally:
                    FAILED_ATTEMPTS.set(None)
                await self._unless_over()
                told = self._told_of_call(name, began, failures, failed)
                shown = {**told, **_shown_of(step), **({"function": name} if key else {})}
                if failed is None:
                    kept = self._kept(f"the result of {name}", result)
                    declared = {"returns": returns} if returns else {}
                    known = self._record("call", step.stored, {"result": kept, **declared, **shown})
                else:
                    self._record("call", step.stored, {"error": failed.error, **shown, "attempts": failed.attempts})
                    raise failed
            if "error" in known.data:
                raise CallFailed(name, known.data["error"], known.data.get("attempts", 1))
            if of and not still_returns(of, known.data["result"], known.data.get("returns", "")):
                wants = f"{step} to return {returns}"
                raise self._mismatched(wants, known, f"a result of what returned {known.data['returns']}")
            return known.data["result"]

    def _told_of_call(
        self, name: str, began: datetime, failures: Sequence[str], failed: CallFailed | None
    ) -> dict[str, Any]:
        """Tell how a call went, and return what the journal is to keep of that: no messages, no values."""
        seconds = (self.context.clock.now() - began).total_seconds()
        attempts = failed.attempts if failed else len(failures) + 1
        fields = {"function": name, "outcome": "failed" if failed else "done", "attempts": attempts, "seconds": seconds}
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
        if "changes" not in began or what in changes_of(self.flow.function):
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

    async def end(self, outcome: FlowReleased | FlowHandedOver) -> Never:
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

    def _replayed(self, kind: str, name: str = "") -> JournalEntry | None:
        """The journal's next entry, as in `_replayed_step`."""
        return self._replayed_step(Step(kind, name))

    def _replayed_step(self, step: Step) -> JournalEntry | None:
        """The journal's next entry, which must be that step; None where the journal ends, and the step is new.

        Marks of changes are passed over: the code may have forgotten them by now.
        """
        while self._at < len(self._entries) and _is_mark(self._entries[self._at]):
            self._at += 1
        if self._at >= len(self._entries):
            self._at_the_end()
            return None
        entry = self._entries[self._at]
        if not step.fits(entry):
            raise self._mismatched(str(step), entry)
        self._at += 1
        return entry

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
            f"{wants}, the journal has {has}" if wants != has else f"{wants} with another text than the journal has"
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
    """What the journal keeps of a step for operators: text and key, if they stand in the flow's code."""
    given = {"says": step.text, "named": step.key}
    return {name: text[:LONGEST_SHOWN] for name, text in given.items() if text and is_written(text)}


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
