"""`Talk`: a conversation with a flow under test, on the real engine and the sandbox's model, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any, Literal, Protocol, TypeVar

from bot.control.policy import Policy
from bot.control.state import RunStatus
from bot.engine.orders import flow_order, signal_order
from bot.flows.authoring import Flow, FlowFunction, Router
from bot.flows.catalogue import Catalogue
from bot.flows.handlers import Handler, Lifespan
from bot.flows.identity import User
from bot.flows.raised import Raised
from bot.flows.resources import LifespanFailed, as_resources, opened
from bot.replay.harness import Process, ProcessDied, Stage
from bot.replay.virtual_time import end_tasks
from bot.sandbox.errors import NotPossibleError
from bot.sandbox.history import Entry, Kind
from bot.sandbox.records import Caller, Json
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.sandbox.switches import Switches
from bot.sandbox.users import Agent, Visitor
from bot.signals import Signal
from bot.testing.deaths import Deaths
from bot.testing.loop import TalkLoop
from bot.testing.thread import LoopThread
from bot.testing.ticket import Ticket, ticket_of
from bot.testing.transcript import failure_of, speaker_of, words_of

T = TypeVar("T")

Mode = Literal["release", "pass"]
After = Literal["handback", "end"]
Where = Literal["everywhere"]

PATIENCE = timedelta(minutes=1)  # of virtual time, until everything that an action brought about is done
PATIENCE_WITH_DEATHS = timedelta(minutes=10)
FAILED = (
    "flow_failed",
    "flow_timed_out",
    "message_given_up",
    "model_failed",
    "pass_refused",
    "ticket_field_left_out",
)
POLITE = 0.01  # seconds for which the worker that had the last turn lets another one go first


class ChatWith(Protocol):
    """What the fixture `chat_with` is: begins a talk."""

    def __call__(
        self,
        opening: Flow | Router | FlowFunction | None = None,
        *,
        closing: Flow | FlowFunction | None = None,
        flows: Sequence[Flow] = (),
        mode: Mode = "release",
        after: After = "handback",
        may_fail: bool = False,
        restart_every_turn: bool = False,
        change_worker_every_turn: bool = False,
        deaths: Where | None = None,
        user: User | None = None,
        conversation_metadata: Mapping[str, Any] | None = None,
        resources: Any = None,
        handlers: Sequence[Handler] | None = None,
        idle: timedelta = timedelta(minutes=15),
        **switches: Any,
    ) -> Talk:
        """Begin a talk.

        Args:
            opening: the flow that serves the user (or the team's router); it begins with the user's first word.
            closing: the flow for when control is handed back. Without an opening flow, the talk begins there: what
                comes before it (the user, an agent, the ticket) has happened already.
            flows: further flows that the router may name.
            mode: the account's Conversation control setting.
            after: where a talk with nothing but a closing flow begins: "handback" (an agent's ticket was closed), or
                "end" (the user has ended the conversation, and can't write any more; in mode "pass" only).
            may_fail: a flow that fails is no error of the test; see `Talk.failures`.
            restart_every_turn: kill the bot's process after every turn, and start another one.
            change_worker_every_turn: two workers, which take turns.
            deaths: "everywhere": the bot's process dies before and after each save of the flow. So each step is taken
                twice, and each call is made twice: what it does must bear that. Webhooks that meet a dying process come
                again, as from the platform, after fifteen seconds.
            user: who the user is, for `chat.user`.
            conversation_metadata: for `chat.conversation.metadata`.
            resources: what `chat.resources` is, in place of what the `@lifespan` opens: a dict, or any object.
            handlers: those that count (`@on_error`, …); if not given, those in the modules that define the flows.
            idle: FLOW_IDLE_TIMEOUT.
            switches: how the platform behaves where its documents leave it open; see `bot.sandbox.switches`.

        Raises:
            ValueError: no flow; handlers that can't work; options that exclude each other.
            AssertionError: the `@lifespan` could not be opened.
        """


@dataclass(frozen=True, slots=True)
class Play:
    """How a talk is played; see `ChatWith`."""

    may_fail: bool = False
    restart_every_turn: bool = False
    change_worker_every_turn: bool = False
    deaths: Where | None = None
    user: User | None = None
    conversation_metadata: Mapping[str, Any] = field(default_factory=dict)
    resources: Any = None
    idle: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Reminded:
    """A flow that is to begin later: its name, in how long, and what it is given."""

    flow: str
    after: timedelta
    data: Any = None


class Talk:
    """One conversation: what the user, the agents and time do is awaited; what came of it is asked.

    Every awaited method returns when the bot has done all that it brought about: until it waits for the user or for a
    time, or owes nothing any more. Time is virtual: an hour costs nothing.
    """

    def __init__(
        self,
        thread: LoopThread,
        catalogue: Catalogue,
        *,
        switches: Switches,
        play: Play,
    ) -> None:
        self._thread = thread
        self._may_fail = play.may_fail
        self._restarts = play.restart_every_turn
        self._expected = 0  # messages of the bot that were expected already
        self._told = 0  # failures that were told already
        self._last_worker: Process | None = None
        self.signals: list[Signal] = []
        self._raised: list[Raised] = []
        self._numbers = count()
        self._loop = TalkLoop()
        self._loop.set_exception_handler(_but_for_deaths)
        policy = catalogue.applied_to(Policy(me=BOT, app_key=True, idle=play.idle))
        self._stage = Stage(self._loop, switches=switches, catalogue=catalogue, policy=policy)
        self._stage.observe = self.signals.append
        self._stage.raised = self._raised.append
        self._visitor: Visitor = self._stage.sandbox.visitor()
        self._agent: Agent = self._stage.sandbox.agent()
        self._visitor.metadata = dict(play.conversation_metadata)
        if play.user:
            self._introduce(play.user)
        self._deaths: Deaths | None = None
        if play.change_worker_every_turn:
            self._stage.interference.store = self._let_another_go_first
        elif play.deaths:
            self._deaths = Deaths(self._stage, self._known_id)
        self._opened = AsyncExitStack()
        lifespan = None if play.resources is not None else catalogue.handlers.lifespan
        self._stage.resources = as_resources(play.resources)
        try:
            self._run(self._begin(2 if play.change_worker_every_turn else 1, lifespan))
        except BaseException:
            self.close()
            raise

    # -- what happens ----------------------------------------------------------------------------------------------

    async def user(self, text: str, metadata: Json | None = None) -> None:
        """The user writes. `metadata` is what the widget or the channel adds to the message."""
        self._act(self._visitor.sends({"type": "text", "text": text}, metadata))

    async def taps(self, label: str) -> None:
        """The user taps the choice or button of that label, in the newest message that has one."""
        self._act(self._visitor.taps(label))

    async def fills_in(self, **values: str) -> None:
        """The user fills in the newest form and sends it: a value for each field's name."""
        self._act(self._visitor.fills_in(values))

    async def sends_image(self, url: str, **content: Any) -> None:
        """The user sends a picture."""
        self._act(self._visitor.sends({"type": "image", "mediaUrl": url, "mediaType": "image/jpeg", **content}))

    async def sends_file(self, url: str, **content: Any) -> None:
        """The user sends a file."""
        self._act(self._visitor.sends({"type": "file", "mediaUrl": url, **content}))

    async def sends_form(self, **values: str) -> None:
        """The user sends a form that nobody has asked for in this conversation, such as one before the chat."""
        fields = [{"type": "text", "name": name, "label": name, "text": value} for name, value in values.items()]
        fallback = "\n".join(f"{name}: {value}" for name, value in values.items())
        self._act(self._visitor.sends({"type": "formResponse", "fields": fields, "textFallback": fallback}))

    async def sends_location(self, latitude: float, longitude: float, **content: Any) -> None:
        """The user shares a place."""
        coordinates = {"lat": latitude, "long": longitude}
        self._act(self._visitor.sends({"type": "location", "coordinates": coordinates, **content}))

    async def opens(self) -> None:
        """The user opens the widget, and writes nothing."""
        self._act(self._visitor.opens())

    async def comes_by(self, referral: str, **details: Any) -> None:
        """The user comes by a link with that code, or by an ad with these details."""
        self._act(self._visitor.is_referred(referral, details))

    async def end(self) -> None:
        """The user ends the conversation."""
        self._act(self._visitor.ends())

    async def agent(self, text: str) -> None:
        """An agent writes to the user; if the bot is active, that takes the conversation from it."""
        self._act(self._agent_says(text))

    async def agent_closes(self) -> None:
        """The agent's ticket is solved and closed: in mode "pass" that hands the conversation back to the bot."""
        self._act(self._agent_closes())

    async def signal(self, name: str, data: Any = None, *, key: str | None = None) -> None:
        """Another system sends a signal, as by `POST /api/v1/conversations/{id}/signals/{name}`.

        Args:
            name: what `chat.signal` waits for.
            data: goes with it; JSON.
            key: the idempotency key; one of its own if it is not given.
        """
        self._act(self._signals(name, data, key or f"signal {next(self._numbers)}"))

    async def begins(self, flow: str | Flow, data: Any = None, *, key: str | None = None) -> None:
        """Another system begins a flow, as by `POST /api/v1/conversations/{id}/flows/{name}`.

        Args:
            flow: the flow or its name.
            data: what it is given; JSON.
            key: the idempotency key; one of its own if it is not given.
        """
        name = flow.name if isinstance(flow, Flow) else flow
        self._act(self._flow_begins(name, data, key or f"flow {next(self._numbers)}"))

    async def until_reminder(self) -> None:
        """Time passes until the next reminder of `chat.remind`, and what it brings about is done.

        Raises:
            AssertionError: there is none.
        """
        __tracebackhide__ = True
        if not (reminders := self.reminders):
            raise AssertionError("no flow is to begin later")
        self._act(self._stage.wait(reminders[0].after))

    async def wait(self, *, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Time passes."""
        self._act(self._stage.wait(timedelta(hours=hours, minutes=minutes, seconds=seconds)))

    async def restart(self) -> None:
        """The bot's process is killed, and another one starts."""
        self._run(self._restart())

    # -- what came of it -------------------------------------------------------------------------------------------

    @property
    def transcript(self) -> list[str]:
        """What was said, line by line: `user: hi`, `bot: Hello!`, `agent: …`; `[…]` is what is no text."""
        said = self._history(Kind.MESSAGE, Kind.POSTBACK)
        return [f"{speaker_of(entry)}: {words_of(entry)}" for entry in said if "activity" not in entry.detail]

    @property
    def said(self) -> list[str]:
        """What the bot said."""
        return [line.removeprefix("bot: ") for line in self.transcript if line.startswith("bot: ")]

    @property
    def choices(self) -> list[str]:
        """The labels of what the user can tap: the choices and buttons of the newest message."""
        content = self._visitor.messages[-1].content if self._visitor.messages else {}
        actions = [
            *content.get("actions", ()),
            *(a for card in content.get("items", ()) for a in card["actions"]),
        ]
        return [str(action["text"]) for action in actions]

    @property
    def holder(self) -> str | None:
        """Who is active: "switchboard-bot", "zd-agentWorkspace", or nobody (None)."""
        return self._stage.sandbox.switchboard.holder(self._visitor.conversation_id)

    @property
    def released(self) -> bool:
        """Has the bot given control up, with proof? (In mode "pass" a flow that is complete passes it on: `holder`.)"""
        state = self._run(self._stage.state(self._visitor.conversation_id))
        return state is not None and state.duty is None and not state.at_stake and self.holder != BOT

    @property
    def reminders(self) -> list[Reminded]:
        """The flows that are to begin later by `chat.remind`, the next one first."""
        conversation_id = self._known_id()
        state = self._run(self._stage.state(conversation_id)) if conversation_id else None
        now = self._stage.clock.now()
        return [Reminded(known.flow, known.at - now, known.data) for known in (state.reminders if state else ())]

    @property
    def ticket(self) -> Ticket | None:
        """What the agent gets: the newest ticket of the conversation; None if there is none."""
        conversation_id = self._known_id()
        found = self._stage.sandbox.switchboard.ticket_of(conversation_id) if conversation_id else None
        said = self._history(Kind.MESSAGE)
        lines = {entry.message_id or "": f"{speaker_of(entry)}: {words_of(entry)}" for entry in said}
        return ticket_of(found, lines) if found else None

    @property
    def open_after_end(self) -> timedelta:
        """How long the conversation stayed open after the user had ended it; until now, if it still is.

        Raises:
            AssertionError: the user has not ended it.
        """
        ends = self._history(Kind.ENDED)
        if not ends:
            raise AssertionError("the user has not ended the conversation")
        end = ends[-1]
        if end.holder is None:
            return timedelta(0)
        moves = self._history(Kind.HOLDER, Kind.MERGED, Kind.REMOVED)
        closed = (entry.at for entry in moves if entry.number > end.number and entry.holder is None)
        return next(closed, self._stage.clock.now()) - end.at

    def logged(self, event: str) -> list[dict[str, object]]:
        """The fields of each line that `chat.log` (or the bot) has logged under that name, the oldest first."""
        return [dict(signal.fields) for signal in self.signals if signal.event == event]

    @property
    def failures(self) -> list[str]:
        """What went wrong for the user: a flow or a model failed, a message or a ticket field lost, a pass declined."""
        return [failure_of(signal) for signal in self.signals if signal.event in FAILED]

    @property
    def errors(self) -> list[BaseException]:
        """What the flow has raised, with tracebacks and causes."""
        return [raised.error for raised in self._raised]

    def expects(self, *texts: str) -> None:
        """Assert that the bot has said these, one after the other, since what was expected last.

        Args:
            texts: a part of each message's text. Other messages may lie between.
        """
        __tracebackhide__ = True
        said = self.said
        for text in texts:
            found = next((at for at in range(self._expected, len(said)) if text in said[at]), None)
            if found is None:
                raise AssertionError(self._not_said(text, said)) from self._cause()
            self._expected = found + 1

    def expects_no_more(self) -> None:
        """Assert that the bot has said nothing since what was expected last."""
        __tracebackhide__ = True
        if more := self.said[self._expected :]:
            raise AssertionError(f"the bot has said more: {more}")

    def _cause(self) -> BaseException | None:
        """What the flow raised last, so that the test's failure shows it with its whole traceback."""
        return self.errors[-1] if self._raised else None

    def _not_said(self, text: str, said: list[str]) -> str:
        since = "\n".join(f"  {line}" for line in said[self._expected :]) or "  nothing"
        failed = "".join(f"\nthe flow failed: {failure}" for failure in self.failures)
        transcript = "\n".join(f"  {line}" for line in self.transcript)
        return f"the bot did not say {text!r}; it said:\n{since}{failed}\nall of it:\n{transcript}"

    def _history(self, *kinds: Kind) -> list[Entry]:
        conversation_id = self._known_id()
        return self._stage.sandbox.switchboard.history.of(conversation_id, *kinds) if conversation_id else []

    def _known_id(self) -> str | None:
        try:
            return self._visitor.conversation_id
        except NotPossibleError:
            return None

    def _introduce(self, user: User) -> None:
        """Let the platform know the user."""
        told = {"email": user.email, "locale": user.locale}
        known = self._visitor.user
        self._visitor.user = self._stage.sandbox.switchboard.users[known.id] = replace(
            known,
            name=user.name or "",
            external_id=user.external_id,
            profile={
                **{name: value for name, value in told.items() if value},
                **user.profile,
            },
            metadata=dict(user.metadata),
            authenticated=bool(user.authenticated),
        )

    # -- how it is played ------------------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._thread.run(lambda: self._loop.run_until_complete(work))

    def _act(self, work: Coroutine[Any, Any, Any]) -> None:
        __tracebackhide__ = True

        async def whole() -> None:
            await work
            await self._settle()
            if self._restarts:
                await self._restart()
                await self._settle()

        self._run(whole())
        if self._loop.refused and not self._may_fail:
            raise AssertionError(self._loop.refused[-1])
        if self.failures[self._told :] and not self._may_fail:
            told, self._told = self._told, len(self.failures)
            raise AssertionError(f"the flow failed: {'; '.join(self.failures[told:])}") from self._cause()

    async def _begin(self, processes: int, lifespan: Lifespan | None) -> None:
        await self._stage.__aenter__()
        if lifespan:
            try:
                self._stage.resources = await self._opened.enter_async_context(opened(lifespan, _raise))
            except LifespanFailed as error:
                raise AssertionError(f"the @lifespan {error} failed: {error.__cause__}") from error.__cause__
        for _ in range(processes):
            await self._stage.start_process()

    async def _restart(self) -> None:
        for process in self._stage.alive:
            process.kill()
            await self._stage.start_process()

    async def _settle(self) -> None:
        """Let time pass until nothing is on its way and the flow waits, but not for ever: it may hang."""
        end = self._stage.clock.now() + (PATIENCE if self._deaths is None else PATIENCE_WITH_DEATHS)
        pause = 0.001
        while not await self._is_settled() and self._stage.clock.now() < end:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    async def _is_settled(self) -> bool:
        if not self._stage.sandbox.sender.is_idle:
            return False
        counts = await self._stage.store.counts(self._stage.clock.now())
        state = await self._stage.state(self._visitor.conversation_id)
        if counts.inbox or counts.outbox or counts.owed or state is None or state.start:
            return False
        if state.reminders and state.reminders[0].at <= self._stage.clock.now():
            return False
        if state.run:
            return state.run.status is RunStatus.WAITING
        return not (state.in_doubt or (state.ended and not state.closed))

    async def _let_another_go_first(self, process: Process, operation: str) -> None:
        if operation == "save":
            self._last_worker = process
        elif operation == "claim" and process is self._last_worker and len(self._stage.alive) > 1:
            await asyncio.sleep(POLITE)

    async def _signals(self, name: str, data: Any, key: str) -> None:
        conversation_id = self._visitor.conversation_id
        order = signal_order(conversation_id, name, data, key=key, now=self._stage.clock.now())
        await self._stage.store.order(order)
        self._stage.look(conversation_id)

    async def _flow_begins(self, flow: str, data: Any, key: str) -> None:
        conversation_id = self._visitor.conversation_id
        order = flow_order(conversation_id, flow, data, key=key, now=self._stage.clock.now())
        await self._stage.store.order(order)
        self._stage.look(conversation_id)

    async def _agent_says(self, text: str) -> None:
        board, now = self._stage.sandbox.switchboard, self._stage.clock.now()
        board.agent_says(self._visitor.conversation_id, text, now=now, agent=self._agent.name)

    async def _agent_closes(self) -> None:
        await self._agent.waits_for_ticket(self._visitor)
        await self._agent.solves()
        await self._agent.closes()

    def bring_to_closing(self, mode: Mode, after: After) -> None:
        """Let happen what comes before a closing flow: the user writes, an agent takes over, and it is over."""
        if after == "end" and mode == "release":
            raise ValueError('in mode "release" no closing flow runs after an end: the platform releases by itself')

        async def story() -> None:
            board, now = self._stage.sandbox.switchboard, self._stage.clock.now
            await self._visitor.says("hi")
            await self._settle()
            if mode == "release":
                board.pass_control(self._visitor.conversation_id, Caller("desk", "app"), WORKSPACE, now())
                await self._settle()
            if after == "end":
                await self._visitor.ends()
            elif mode == "release":
                board.pass_control(self._visitor.conversation_id, Caller("desk", "app"), BOT, now())
            else:
                await self._agent_closes()

        self._act(story())

    def close(self) -> None:
        """End everything."""

        def whole() -> None:
            self._loop.run_until_complete(self._opened.aclose())
            self._loop.run_until_complete(self._stage.__aexit__())
            end_tasks(self._loop)
            self._loop.close()

        self._thread.run(whole)


def _raise(error: Exception) -> None:
    raise error


def _but_for_deaths(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell what goes wrong in the loop, as it does by itself, but not that a process died: that was wanted."""
    if not isinstance(context.get("exception"), ProcessDied):
        loop.default_exception_handler(context)
