"""`Chat`: all that a flow can do in its conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Never, get_args

from bot.control.facts import FlowHandedOver, FlowReleased, FlowReminded
from bot.control.state import Metadata
from bot.flows.answer import Answer
from bot.flows.authoring import Began, Flow, FlowMisuse
from bot.flows.calls import Calls
from bot.flows.content import AnyButton, Choice, Content, Form, FormField, Text, messages
from bot.flows.defuse import defused
from bot.flows.hand_over import METADATA_LIMIT, Priority, fitted, json_bytes, ticket_values
from bot.flows.identity import Conversation, User
from bot.flows.json_form import json_form
from bot.flows.limits import (
    LARGEST_DATA,
    NO_TIME,
    REMINDER_LIMIT,
    SIGNAL_NAME,
    WAIT_LIMIT,
    check_attempts,
    check_time,
)
from bot.flows.outcome import When
from bot.flows.steps import checked_key, text_step
from bot.flows.turn import CleanUpCall, Said, Turn
from bot.signals import Level, Signal

MESSAGE_METADATA_LIMIT = METADATA_LIMIT - 256  # the bot adds the effect's id, by which it finds a message again
CLEAN_UP_TIMEOUT_LIMIT = timedelta(minutes=5)


class Chat(Calls):
    """A conversation as its flow sees it. Every method that is awaited is a step of the journal."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    @property
    def conversation_id(self) -> str:
        """The platform's id of the conversation."""
        return self._turn.context.conversation_id

    @property
    def run_id(self) -> int:
        """Number of this run of a flow, unlike any other in the conversation."""
        return self._turn.context.run_id

    @property
    def user(self) -> User:
        """The end user, as far as what began the flow tells."""
        return self._turn.context.began.user

    @property
    def conversation(self) -> Conversation:
        """The conversation: its brand, channel, metadata, as far as what began the flow tells."""
        return self._turn.context.began.conversation

    @property
    def opening(self) -> Began:
        """What began the flow."""
        return self._turn.context.began

    @property
    def resources(self) -> Any:
        """What the team's `@lifespan` has opened. Raises `FlowMisuse`: no module of FLOWS has one."""
        if self._turn.context.resources is None:
            if self._turn.context.handlers.lifespan:
                raise FlowMisuse("there are no resources: a replay and a simulation open nothing that is real")
            raise FlowMisuse("there are no resources: no module of FLOWS has a function with @lifespan")
        return self._turn.context.resources

    async def say(
        self,
        content: str | Content,
        choices: Sequence[str | Choice] = (),
        metadata: Mapping[str, Any] | None = None,
        *,
        buttons: Sequence[AnyButton] = (),
        key: str | None = None,
    ) -> None:
        """Say something. A text that is too long for one message becomes several.

        Args:
            content: a text, or an `Image`, a `File`, a `Carousel`, a `Form`.
            choices: quick replies below a text.
            metadata: goes with the message; flat.
            buttons: below a text, in place of choices.
            key: what this step is known by in place of its text, which may change then while runs are under way.

        Raises:
            FlowMisuse: it is beyond one of the platform's limits; the text says which.
        """
        whole = _content(content, choices, buttons)
        await self._turn.say(_said(whole, metadata), text_step("say", whole, key))

    async def ask(
        self,
        content: str | Content,
        choices: Sequence[str | Choice] = (),
        timeout: timedelta | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        buttons: Sequence[AnyButton] = (),
        fresh: bool = False,
        key: str | None = None,
    ) -> Answer:
        """Say something and wait for the user.

        Args:
            content: the question, as for `say`.
            choices: quick replies below a text.
            timeout: how long to wait; FLOW_IDLE_TIMEOUT where it is not given.
            metadata: goes with the message; flat.
            buttons: below a text, in place of choices.
            fresh: what the user said before the question does not count as an answer.
            key: what this step is known by in place of its text, which may change then while runs are under way.

        Raises:
            NoAnswer: the time is over. At once, and nothing is said, where the user has ended the conversation.
            FlowMisuse: it is beyond one of the platform's limits; the text says which.
        """
        if timeout is not None:
            check_time("the timeout of a question", timeout, WAIT_LIMIT)
        whole = _content(content, choices, buttons)
        said, step = _said(whole, metadata), text_step("ask", whole, key)
        while True:
            answer = await self._turn.ask(said, timeout, step, fresh=fresh)
            handler = self._turn.turned_aside(answer)
            if handler is None:
                return answer
            with self._turn.aside(handler):
                await handler.function(self, answer)

    async def form(
        self,
        *fields: FormField,
        text: str = "",
        timeout: timedelta | None = None,
        metadata: Mapping[str, Any] | None = None,
        fresh: bool = False,
        key: str | None = None,
    ) -> Answer:
        """Ask with a form. `Answer.fields` has what was filled in; it is empty where the user wrote something instead.

        Args:
            fields: `TextField`, `EmailField`, `SelectField`; one to twenty.
            text: shown above the form.
            timeout: how long to wait; FLOW_IDLE_TIMEOUT where it is not given.
            metadata: goes with the message; flat.
            fresh: what the user said before the form does not count as an answer.
            key: what this step is known by in place of its text and the names of its fields.

        Raises:
            NoAnswer: the time is over. At once, and nothing is said, where the user has ended the conversation.
            FlowMisuse: it is beyond one of the platform's limits; the text says which.
        """
        return await self.ask(Form(fields, text), timeout=timeout, metadata=metadata, fresh=fresh, key=key)

    async def signal(self, name: str, timeout: timedelta | None = None, *, key: str | None = None) -> Any:
        """Wait until another system sends a signal: `POST /api/v1/conversations/{id}/signals/{name}`.

        A signal that came earlier in this run, and that no step has taken yet, counts. What the user says meanwhile is
        kept for the next question.

        Args:
            name: in snake_case, such as `paid`.
            timeout: how long to wait; FLOW_IDLE_TIMEOUT where it is not given.
            key: what this step is known by in place of the signal's name.

        Returns:
            The data that came with it, as JSON has it; None without any.

        Raises:
            NoAnswer: it did not come in time.
            FlowMisuse: a name that is too long, or not in snake_case.
        """
        if not SIGNAL_NAME.fullmatch(str(name)):
            raise FlowMisuse("a signal has a short name in snake_case")
        if timeout is not None:
            check_time("the timeout of a signal", timeout, WAIT_LIMIT)
        return await self._turn.signal(name, timeout, checked_key(key))

    async def sleep(self, duration: timedelta, *, key: str | None = None) -> None:
        """Go on later. The conversation stays with the bot meanwhile. Raises `FlowMisuse`: more than seven days."""
        check_time("a sleep", duration, WAIT_LIMIT)
        await self._turn.sleep(duration, checked_key(key))

    def changed(self, what: str) -> bool:
        """Tell whether this run began with a change of the flow's code: true then, and false in older runs.

        One run hears the same at every call.

        Args:
            what: a name for the change, of at most 64 characters, written as a literal; no other change of the flow has
                it. (Where the name is computed, an older run hears true if it has not come to this place before.)

        Raises:
            FlowMisuse: no such name.
        """
        return self._turn.changed(checked_key(what))

    async def on_end(
        self,
        function: Callable[..., Any],
        *args: Any,
        attempts: int = 3,
        timeout: timedelta = timedelta(seconds=30),
        when: When = "always",
        **kwargs: Any,
    ) -> CleanUpHandle:
        """Have a function called when this flow is over: clean-up.

        Once this returns, it is stored: the call comes when the flow is complete, has failed, or was interrupted (the
        user's end, loss of control, a deadline), also by another process after a restart, and at least once. It runs
        beside the release, which never waits for it, and nothing that it does reaches the conversation. If the last
        attempt fails, or an hour has passed, it is given up, and `clean_up_failed` is logged. When the conversation or
        its user is removed from the platform, what is stored goes at once: then it is tried once, by this process.

        Args:
            function: a function that a module of FLOWS defines or imports by name, plain or a coroutine function.
            args: what it is called with; their JSON form.
            attempts: how often to try, with a growing pause.
            timeout: for each attempt; at most five minutes.
            when: "always", however the flow ends; "failed" if it doesn't return, release or hand over by itself: it
                raised, took too long, or was interrupted.
            kwargs: what it is called with; their JSON form. A parameter `outcome` that is given no value gets the
                `Outcome`, and a parameter `resources` what `chat.resources` is.

        Returns:
            A handle, with which the flow can withdraw it.

        Raises:
            FlowMisuse: a function that no other process could find, arguments without a JSON form, or too many.
        """
        address = self._turn.context.functions.address_of(function)
        check_attempts(attempts)
        check_time("the timeout of a clean-up", timeout, CLEAN_UP_TIMEOUT_LIMIT, above=NO_TIME)
        if when not in get_args(When):
            raise FlowMisuse(f"when is one of {', '.join(get_args(When))}, and not {when!r}")
        call = CleanUpCall(list(args), kwargs, attempts, timeout.total_seconds(), when)
        return CleanUpHandle(self._turn, await self._turn.on_end(address, call))

    async def log(self, event: str, level: Level = Level.INFO, **fields: str | float | bool | None) -> None:
        """Tell the operators: a line in the log, which is counted in the metrics.

        A step like any other: a turn that runs again does not tell it again. If the process dies before the step is
        stored, the line may come twice.

        Args:
            event: a name in snake_case, always the same: `survey_answered`.
            level: how much attention it wants.
            fields: details. Never what somebody said.

        Raises:
            FlowMisuse: a name that is too long, or not in snake_case.
        """
        if not SIGNAL_NAME.fullmatch(str(event)):
            raise FlowMisuse("the event of a log line is a short name in snake_case")
        await self._turn.log(Signal(event, level, self.conversation_id, fields))

    async def hand_over(
        self,
        to: str | None = None,
        ticket_fields: Mapping[str, str | int | float | bool] | None = None,
        metadata: Metadata | None = None,
        *,
        tags: Sequence[str] = (),
        priority: Priority | None = None,
        requester: User | None = None,
    ) -> Never:
        """Pass control on and end the flow: nothing after it runs.

        Args:
            to: id, name or type of a switchboard integration; PASS_TO where it is not given.
            ticket_fields: values for the agent's ticket, by field id.
            metadata: goes with the pass; flat.
            tags: added to the ticket. No tag has spaces or commas: they become `_`.
            priority: of the ticket: "low", "normal", "high" or "urgent".
            requester: whose name and e-mail address the ticket's requester gets, such as
                `User(name="Ada", email=answer.text)`.

        A value that is too long for the platform is shortened, and one that it can't take is left out; the log and the
        conversation's timeline say which. If the target is declined, control goes to PASS_TO.

        Raises:
            FlowMisuse: a target that is no text.
        """
        if to is not None and not isinstance(to, str):
            raise FlowMisuse(f"{type(to).__name__} is no switchboard integration: give its id, name or type")
        fields = ticket_values(ticket_fields or {}, tags, priority, requester)
        passed = fitted({**(metadata or {}), **fields})
        run_id = self._turn.context.run_id
        await self._turn.end(FlowHandedOver(run_id, to, passed.metadata, passed.shortened, passed.left_out))

    async def release(self) -> Never:
        """Release control and end the flow: nothing after it runs."""
        await self._turn.end(FlowReleased(self._turn.context.run_id))

    async def remind(self, after: timedelta, flow: str | Flow, data: Any = None) -> Never:
        """Release control and end the flow: nothing after it runs. Later another flow begins, if nobody is active then.

        It gets what this flow knows of the user and the conversation, and `chat.opening.kind` is "reminder". If
        somebody is active when its time has come, or a flow is at work, or the user has ended the conversation, it is
        dropped, and `reminder_dropped` is logged. A newer reminder of the same flow in the conversation replaces it.

        Args:
            after: how much later; at most thirty days.
            flow: the flow or its name; a module of FLOWS has it.
            data: what that flow finds in `chat.opening.data`; JSON.

        Raises:
            FlowMisuse: no such flow, no such time, or data that is too large or has no JSON form.
        """
        check_time("the time until a reminder", after, REMINDER_LIMIT, above=NO_TIME)
        name = flow.name if isinstance(flow, Flow) else str(flow)
        if name not in self._turn.context.flows:
            known = ", ".join(sorted(self._turn.context.flows)) or "none"
            raise FlowMisuse(f"a reminder begins a flow that a module of FLOWS holds; known flows: {known}")
        given = json_form("the data of a reminder", data)
        if json_bytes(given) > LARGEST_DATA:
            raise FlowMisuse(f"the data of a reminder is too large: at most {LARGEST_DATA} bytes")
        about = {"user": asdict(self.user), "conversation": asdict(self.conversation)}
        await self._turn.end(FlowReminded(self._turn.context.run_id, name, after, given, about))

    async def history(self) -> list[dict[str, Any]]:
        """The newest messages of the conversation, oldest first, as the API gives them (at most 100)."""
        messages: list[dict[str, Any]] = await self.call(self._turn.context.history)
        return messages


class CleanUpHandle:
    """A function that `on_end` has registered."""

    def __init__(self, turn: Turn, index: int) -> None:
        self._turn, self._index = turn, index
        self._is_withdrawn = False

    async def cancel(self) -> None:
        """Withdraw the function: once this returns, it is not called any more. A second time it does nothing."""
        if not self._is_withdrawn:
            await self._turn.withdraw(self._index)
            self._is_withdrawn = True


def _said(content: Content, metadata: Mapping[str, Any] | None) -> list[Said]:
    """The messages of some content; the metadata goes with the last one."""
    known = _metadata(metadata) if metadata else {}
    *first, last = messages(content)
    return [*(Said(message, {}) for message in first), Said(last, known)] if first else [Said(last, known)]


def _content(
    content: str | Content,
    choices: Sequence[str | Choice],
    buttons: Sequence[AnyButton] = (),
) -> Content:
    if isinstance(content, str):
        return Text(content, choices, buttons)
    if choices or buttons:
        raise FlowMisuse(f"give choices and buttons to the {type(content).__name__} itself")
    return content


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A message's metadata as it can be stored and sent. Raises `FlowMisuse`."""
    if not metadata:
        return {}
    made = defused(json_form("the metadata", metadata))
    if not isinstance(made, dict) or not all(isinstance(value, str | int | float | bool) for value in made.values()):
        raise FlowMisuse("metadata is flat: texts, numbers, true and false, each under a name")
    if json_bytes(made) > MESSAGE_METADATA_LIMIT:
        raise FlowMisuse(f"the metadata is too large: at most {MESSAGE_METADATA_LIMIT} bytes")
    return made
