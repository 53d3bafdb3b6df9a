"""`Talk`: a conversation with a flow under test, on the real engine in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any, Literal, TypeVar

from bot.control.policy import Policy
from bot.control.state import RunStatus
from bot.engine.orders import flow_order, signal_order
from bot.flows.authoring import Flow
from bot.flows.catalogue import Catalogue
from bot.flows.handlers import Lifespan
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

SETTLE_TIMEOUT = timedelta(minutes=1)  # virtual time for all effects of an action
SETTLE_TIMEOUT_WITH_DEATHS = timedelta(minutes=10)
FAILED = (
    "flow_failed",
    "flow_timed_out",
    "message_given_up",
    "model_failed",
    "pass_refused",
    "ticket_field_left_out",
)
YIELD_DELAY = 0.01  # seconds that the last worker waits so that another one goes first


@dataclass(frozen=True, slots=True)
class Play:
    """The options of a talk; see `bot.testing.talks.ChatWith`."""

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
    """A pending reminder: the flow, the time until it begins, and its data."""

    flow: str
    after: timedelta
    data: Any = None


class Talk:
    """One conversation: await actions of the user, agents and time, then ask for results.

    Each awaited method returns when the bot has finished its reaction: it waits for the
    user or for a time, or owes nothing. Time is virtual: an hour costs nothing.
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
        self._expected = 0  # number of the bot's messages already passed by `expects`
        self._told = 0  # number of failures already reported
        self._last_worker: Process | None = None
        self.signals: list[Signal] = []
        self._raised: list[Raised] = []
        self._numbers = count()
        self._loop = TalkLoop()
        self._loop.set_exception_handler(_ignore_deaths)
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
            self._stage.interference.store = self._let_another_worker_go_first
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

    # -- actions ---------------------------------------------------------------------

    async def user(self, text: str, metadata: Json | None = None) -> None:
        """Write as the user. `metadata` is added by the widget or the channel."""
        self._act(self._visitor.sends({"type": "text", "text": text}, metadata))

    async def taps(self, label: str) -> None:
        """Tap the choice or button with this label, in the newest message that has it."""
        self._act(self._visitor.taps(label))

    async def fills_in(self, **values: str) -> None:
        """Fill in the newest form and send it: one value per field name."""
        self._act(self._visitor.fills_in(values))

    async def sends_image(self, url: str, **content: Any) -> None:
        """Send a picture as the user."""
        self._act(
            self._visitor.sends(
                {"type": "image", "mediaUrl": url, "mediaType": "image/jpeg", **content},
            )
        )

    async def sends_file(self, url: str, **content: Any) -> None:
        """Send a file as the user."""
        self._act(self._visitor.sends({"type": "file", "mediaUrl": url, **content}))

    async def sends_form(self, **values: str) -> None:
        """Send a form that this conversation did not ask for, such as a pre-chat form."""
        fields = [{"type": "text", "name": name, "label": name, "text": value} for name, value in values.items()]
        fallback = "\n".join(f"{name}: {value}" for name, value in values.items())
        self._act(
            self._visitor.sends(
                {"type": "formResponse", "fields": fields, "textFallback": fallback},
            )
        )

    async def sends_location(self, latitude: float, longitude: float, **content: Any) -> None:
        """Share a location as the user."""
        coordinates = {"lat": latitude, "long": longitude}
        self._act(self._visitor.sends({"type": "location", "coordinates": coordinates, **content}))

    async def opens(self) -> None:
        """Open the widget as the user, without writing."""
        self._act(self._visitor.opens())

    async def comes_by(self, referral: str, **details: Any) -> None:
        """Arrive by a link with this code, or by an ad with these details."""
        self._act(self._visitor.is_referred(referral, details))

    async def end(self) -> None:
        """End the conversation as the user."""
        self._act(self._visitor.ends())

    async def agent(self, text: str) -> None:
        """Write as an agent, which takes the conversation from an active bot."""
        self._act(self._agent_says(text))

    async def agent_closes(self) -> None:
        """Solve and close the agent's ticket; in mode "pass" this hands control back."""
        self._act(self._agent_closes())

    async def signal(self, name: str, data: Any = None, *, key: str | None = None) -> None:
        """Send a signal, as by `POST /api/v1/conversations/{id}/signals/{name}`.

        Args:
            name: the name that `chat.signal` waits for.
            data: sent with it; JSON.
            key: the idempotency key; unique by default.
        """
        self._act(self._signals(name, data, key or f"signal {next(self._numbers)}"))

    async def begins(self, flow: str | Flow, data: Any = None, *, key: str | None = None) -> None:
        """Begin a flow from outside, as by `POST /api/v1/conversations/{id}/flows/{name}`.

        Args:
            flow: the flow or its name.
            data: passed to the flow; JSON.
            key: the idempotency key; unique by default.
        """
        name = flow.name if isinstance(flow, Flow) else flow
        self._act(self._flow_begins(name, data, key or f"flow {next(self._numbers)}"))

    async def until_reminder(self) -> None:
        """Let time pass until the next reminder of `chat.remind` has been handled.

        Raises:
            AssertionError: there is no reminder.
        """
        __tracebackhide__ = True
        if not (reminders := self.reminders):
            raise AssertionError("there is no reminder")
        self._act(self._stage.wait(reminders[0].after))

    async def wait(self, *, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let time pass."""
        self._act(self._stage.wait(timedelta(hours=hours, minutes=minutes, seconds=seconds)))

    async def restart(self) -> None:
        """Kill the bot's process and start another one."""
        self._run(self._restart())

    # -- results ---------------------------------------------------------------------

    @property
    def transcript(self) -> list[str]:
        """The messages, one per line: `user: hi`, `bot: Hello!`; `[…]` if not a text."""
        said = self._history(Kind.MESSAGE, Kind.POSTBACK)
        return [f"{speaker_of(entry)}: {words_of(entry)}" for entry in said if "activity" not in entry.detail]

    @property
    def said(self) -> list[str]:
        """The bot's messages."""
        return [line.removeprefix("bot: ") for line in self.transcript if line.startswith("bot: ")]

    @property
    def choices(self) -> list[str]:
        """The labels of the choices and buttons in the newest message."""
        content = self._visitor.messages[-1].content if self._visitor.messages else {}
        actions = [
            *content.get("actions", ()),
            *(a for card in content.get("items", ()) for a in card["actions"]),
        ]
        return [str(action["text"]) for action in actions]

    @property
    def holder(self) -> str | None:
        """The active integration: "switchboard-bot", "zd-agentWorkspace", or None."""
        return self._stage.sandbox.switchboard.holder(self._visitor.conversation_id)

    @property
    def released(self) -> bool:
        """Whether the bot has given up control, with proof.

        (In mode "pass" a complete flow passes control on; see `holder`.)
        """
        state = self._run(self._stage.state(self._visitor.conversation_id))
        return state is not None and state.duty is None and not state.at_stake and self.holder != BOT

    @property
    def reminders(self) -> list[Reminded]:
        """The pending reminders of `chat.remind`, earliest first."""
        conversation_id = self._known_id()
        state = self._run(self._stage.state(conversation_id)) if conversation_id else None
        now = self._stage.clock.now()
        return [Reminded(known.flow, known.at - now, known.data) for known in (state.reminders if state else ())]

    @property
    def ticket(self) -> Ticket | None:
        """The conversation's newest ticket; None if there is none."""
        conversation_id = self._known_id()
        found = self._stage.sandbox.switchboard.ticket_of(conversation_id) if conversation_id else None
        said = self._history(Kind.MESSAGE)
        lines = {entry.message_id or "": f"{speaker_of(entry)}: {words_of(entry)}" for entry in said}
        return ticket_of(found, lines) if found else None

    @property
    def open_after_end(self) -> timedelta:
        """How long the conversation stayed open after the user's end; until now, if it is.

        Raises:
            AssertionError: the user has not ended the conversation.
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
        """The fields of each log event with this name, oldest first."""
        return [dict(signal.fields) for signal in self.signals if signal.event == event]

    @property
    def failures(self) -> list[str]:
        """Failures that a user meets, each as a line.

        These are a failed flow or model, a lost message or ticket field, a refused pass.
        """
        return [failure_of(signal) for signal in self.signals if signal.event in FAILED]

    @property
    def errors(self) -> list[BaseException]:
        """The exceptions raised by flows, with tracebacks and causes."""
        return [raised.error for raised in self._raised]

    def expects(self, *texts: str) -> None:
        """Assert that the bot has said these in this order since the last expectation.

        Args:
            texts: a part of each message's text. Other messages may come between.
        """
        __tracebackhide__ = True
        said = self.said
        for text in texts:
            found = next((at for at in range(self._expected, len(said)) if text in said[at]), None)
            if found is None:
                raise AssertionError(self._not_said(text, said)) from self._cause()
            self._expected = found + 1

    def expects_no_more(self) -> None:
        """Assert that the bot has said nothing since the last expectation."""
        __tracebackhide__ = True
        if more := self.said[self._expected :]:
            raise AssertionError(f"the bot has said more: {more}")

    def _cause(self) -> BaseException | None:
        """The flow's last exception, so that the test's failure shows its traceback."""
        return self.errors[-1] if self._raised else None

    def _not_said(self, text: str, said: list[str]) -> str:
        since = "\n".join(f"  {line}" for line in said[self._expected :]) or "  nothing"
        failed = "".join(f"\nthe flow failed: {failure}" for failure in self.failures)
        transcript = "\n".join(f"  {line}" for line in self.transcript)
        return f"the bot did not say {text!r}; it said:\n{since}{failed}\nthe whole transcript:\n{transcript}"

    def _history(self, *kinds: Kind) -> list[Entry]:
        conversation_id = self._known_id()
        return self._stage.sandbox.switchboard.history.of(conversation_id, *kinds) if conversation_id else []

    def _known_id(self) -> str | None:
        try:
            return self._visitor.conversation_id
        except NotPossibleError:
            return None

    def _introduce(self, user: User) -> None:
        """Register the user with the platform."""
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

    # -- internals -------------------------------------------------------------------

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
            raise AssertionError(
                f"the flow failed: {'; '.join(self.failures[told:])}",
            ) from self._cause()

    async def _begin(self, processes: int, lifespan: Lifespan | None) -> None:
        await self._stage.__aenter__()
        if lifespan:
            try:
                self._stage.resources = await self._opened.enter_async_context(
                    opened(lifespan, _raise),
                )
            except LifespanFailed as error:
                raise AssertionError(
                    f"the @lifespan {error} failed: {error.__cause__}",
                ) from error.__cause__
        for _ in range(processes):
            await self._stage.start_process()

    async def _restart(self) -> None:
        for process in self._stage.alive:
            process.kill()
            await self._stage.start_process()

    async def _settle(self) -> None:
        """Let time pass until nothing is pending and the flow waits, within a limit."""
        timeout = SETTLE_TIMEOUT if self._deaths is None else SETTLE_TIMEOUT_WITH_DEATHS
        end = self._stage.clock.now() + timeout
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

    async def _let_another_worker_go_first(self, process: Process, operation: str) -> None:
        if operation == "save":
            self._last_worker = process
        elif operation == "claim" and process is self._last_worker and len(self._stage.alive) > 1:
            await asyncio.sleep(YIELD_DELAY)

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
        """Play the events before a closing flow: the user writes, an agent takes over."""
        if after == "end" and mode == "release":
            raise ValueError(
                'in mode "release" no closing flow runs after an end: the platform releases control',
            )

        async def story() -> None:
            board, now = self._stage.sandbox.switchboard, self._stage.clock.now
            await self._visitor.says("hi")
            await self._settle()
            if mode == "release":
                board.pass_control(
                    self._visitor.conversation_id,
                    Caller("desk", "app"),
                    WORKSPACE,
                    now(),
                )
                await self._settle()
            if after == "end":
                await self._visitor.ends()
            elif mode == "release":
                board.pass_control(self._visitor.conversation_id, Caller("desk", "app"), BOT, now())
            else:
                await self._agent_closes()

        self._act(story())

    def close(self) -> None:
        """Close the talk and its loop."""

        def whole() -> None:
            self._loop.run_until_complete(self._opened.aclose())
            self._loop.run_until_complete(self._stage.__aexit__())
            end_tasks(self._loop)
            self._loop.close()

        self._thread.run(whole)


def _raise(error: Exception) -> None:
    raise error


def _ignore_deaths(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report the loop's errors as usual, except the intended death of a process."""
    if not isinstance(context.get("exception"), ProcessDied):
        loop.default_exception_handler(context)
