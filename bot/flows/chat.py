"""`Chat`: everything a flow can do in its conversation."""

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

MESSAGE_METADATA_LIMIT = METADATA_LIMIT - 256  # bytes; the bot adds an id to find the message again
CLEAN_UP_TIMEOUT_LIMIT = timedelta(minutes=5)


class Chat(Calls):
    """A conversation as its flow sees it. Each awaited method is a step of the journal."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    @property
    def conversation_id(self) -> str:
        """The platform's id of the conversation."""
        return self._turn.context.conversation_id

    @property
    def run_id(self) -> int:
        """Number of this run, unique in the conversation."""
        return self._turn.context.run_id

    @property
    def user(self) -> User:
        """The end user, as far as the origin of the run describes them."""
        return self._turn.context.began.user

    @property
    def conversation(self) -> Conversation:
        """The conversation: brand, channel and metadata, as far as the origin tells."""
        return self._turn.context.began.conversation

    @property
    def opening(self) -> Began:
        """The origin of the run."""
        return self._turn.context.began

    @property
    def resources(self) -> Any:
        """The resources opened by the team's `@lifespan`.

        Raises:
            FlowMisuse: no module of FLOWS defines one, or this is a replay or simulation.
        """
        if self._turn.context.resources is None:
            if self._turn.context.handlers.lifespan:
                raise FlowMisuse(
                    "there are no resources: replays and simulations open no real ones",
                )
            raise FlowMisuse(
                "there are no resources: no module of FLOWS has a function with @lifespan",
            )
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
        """Send a message. A text too long for one message is split into several.

        Args:
            content: a text, or an `Image`, a `File`, a `Carousel`, a `Form`.
            choices: quick replies below a text.
            metadata: sent with the message; flat.
            buttons: shown below a text instead of choices.
            key: identifies this step instead of its text, so that the text may change
                while runs are in progress.

        Raises:
            FlowMisuse: a limit of the platform is exceeded; the text says which.
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
        """Send a message and wait for the user's answer.

        Args:
            content: the question, as for `say`.
            choices: quick replies below a text.
            timeout: how long to wait; default FLOW_IDLE_TIMEOUT.
            metadata: sent with the message; flat.
            buttons: shown below a text instead of choices.
            fresh: ignore input that came before the question.
            key: identifies this step instead of its text, so that the text may change
                while runs are in progress.

        Raises:
            NoAnswer: the timeout expired. If the user has ended the conversation, it is
                raised at once and nothing is sent.
            FlowMisuse: a limit of the platform is exceeded; the text says which.
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
        """Ask with a form.

        `Answer.fields` holds the values; it is empty if the user wrote something instead.

        Args:
            fields: `TextField`, `EmailField`, `SelectField`; one to twenty.
            text: shown above the form.
            timeout: how long to wait; default FLOW_IDLE_TIMEOUT.
            metadata: sent with the message; flat.
            fresh: ignore input that came before the form.
            key: identifies this step instead of its text and field names.

        Raises:
            NoAnswer: the timeout expired. If the user has ended the conversation, it is
                raised at once and nothing is sent.
            FlowMisuse: a limit of the platform is exceeded; the text says which.
        """
        return await self.ask(
            Form(fields, text),
            timeout=timeout,
            metadata=metadata,
            fresh=fresh,
            key=key,
        )

    async def signal(
        self,
        name: str,
        timeout: timedelta | None = None,
        *,
        key: str | None = None,
    ) -> Any:
        """Wait for a signal: `POST /api/v1/conversations/{id}/signals/{name}`.

        A signal that came earlier in this run counts if no step has used it yet. User
        input that comes meanwhile is kept for the next question.

        Args:
            name: in snake_case, such as `paid`.
            timeout: how long to wait; default FLOW_IDLE_TIMEOUT.
            key: identifies this step instead of the signal's name.

        Returns:
            The signal's JSON data; None if it has none.

        Raises:
            NoAnswer: it did not come in time.
            FlowMisuse: the name is too long or not in snake_case.
        """
        if not SIGNAL_NAME.fullmatch(str(name)):
            raise FlowMisuse("the name of a signal must be short and in snake_case")
        if timeout is not None:
            check_time("the timeout of a signal", timeout, WAIT_LIMIT)
        return await self._turn.signal(name, timeout, checked_key(key))

    async def sleep(self, duration: timedelta, *, key: str | None = None) -> None:
        """Pause; the bot keeps control. Raises `FlowMisuse` for more than seven days."""
        check_time("a sleep", duration, WAIT_LIMIT)
        await self._turn.sleep(duration, checked_key(key))

    def changed(self, what: str) -> bool:
        """Return whether this run began with a given change of the flow's code.

        True in new runs, False in runs that began with older code. All calls in a run
        return the same.

        Args:
            what: a name for the change: a literal of at most 64 characters, unique in
                the flow. (With a computed name, an older run gets True if it has not
                reached this line before.)

        Raises:
            FlowMisuse: the name is invalid.
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
        """Register a clean-up function, to be called when this flow is over.

        The registration is stored before this returns. The function is called whether
        the flow completes, fails or is interrupted (user's end, loss of control, a
        deadline), at least once, if necessary by another process after a restart. It runs
        beside the release, which never waits for it, and has no effect on the
        conversation. It is given up, and `clean_up_failed` is logged, after the last
        attempt or after an hour. If the platform removes the conversation or its user,
        the stored data goes at once; then it is tried once, by this process.

        Args:
            function: a plain or coroutine function that a module of FLOWS defines or
                imports by name.
            args: positional arguments; stored as JSON.
            attempts: maximum number of attempts, with growing pauses.
            timeout: per attempt; at most five minutes.
            when: "always", however the flow ends; "failed" if it raised, timed out or
                was interrupted, instead of returning, releasing or handing over.
            kwargs: keyword arguments; stored as JSON. If the function has a parameter
                `outcome` or `resources` without a value, it gets the `Outcome` or
                `chat.resources`.

        Returns:
            A handle to cancel the registration.

        Raises:
            FlowMisuse: another process could not find the function, the arguments have
                no JSON form, or there are too many registrations.
        """
        address = self._turn.context.functions.address_of(function)
        check_attempts(attempts)
        check_time("the timeout of a clean-up", timeout, CLEAN_UP_TIMEOUT_LIMIT, above=NO_TIME)
        if when not in get_args(When):
            raise FlowMisuse(f"when must be one of {', '.join(get_args(When))}, not {when!r}")
        call = CleanUpCall(list(args), kwargs, attempts, timeout.total_seconds(), when)
        return CleanUpHandle(self._turn, await self._turn.on_end(address, call))

    async def log(
        self,
        event: str,
        level: Level = Level.INFO,
        **fields: str | float | bool | None,
    ) -> None:
        """Write a log line for the operators; the metrics count it.

        A turn that runs again does not repeat it. If the process dies before the step is
        stored, the line may appear twice.

        Args:
            event: a constant name in snake_case, such as `survey_answered`.
            level: the log level.
            fields: details. Never the words of a user or an agent.

        Raises:
            FlowMisuse: the name is too long or not in snake_case.
        """
        if not SIGNAL_NAME.fullmatch(str(event)):
            raise FlowMisuse("the event of a log line must be a short name in snake_case")
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
        """Pass control on and end the flow: no code after it runs.

        A value too long for the platform is shortened, and a value that the platform
        can't take is left out; the log and the conversation's timeline name them. If the
        target is refused, control goes to PASS_TO.

        Args:
            to: id, name or type of a switchboard integration; default PASS_TO.
            ticket_fields: values for the agent's ticket, by field id.
            metadata: sent with the pass; flat.
            tags: added to the ticket. Spaces and commas in a tag become `_`.
            priority: of the ticket: "low", "normal", "high" or "urgent".
            requester: name and e-mail address for the ticket's requester, such as
                `User(name="Ada", email=answer.text)`.

        Raises:
            FlowMisuse: the target is not a text.
        """
        if to is not None and not isinstance(to, str):
            raise FlowMisuse(
                f"{type(to).__name__} is not a switchboard integration: give its id, name or type",
            )
        fields = ticket_values(ticket_fields or {}, tags, priority, requester)
        passed = fitted({**(metadata or {}), **fields})
        run_id = self._turn.context.run_id
        await self._turn.end(
            FlowHandedOver(run_id, to, passed.metadata, passed.shortened, passed.left_out),
        )

    async def release(self) -> Never:
        """Release control and end the flow: no code after it runs."""
        await self._turn.end(FlowReleased(self._turn.context.run_id))

    async def remind(self, after: timedelta, flow: str | Flow, data: Any = None) -> Never:
        """Release control and end the flow; another flow begins later.

        The later flow begins only if nobody is active then. It gets this flow's user and
        conversation, and its `chat.opening.kind` is "reminder". If somebody is active, a
        flow is running, or the user has ended the conversation, the reminder is dropped
        and `reminder_dropped` is logged. A newer reminder for the same flow in the
        conversation replaces it.

        Args:
            after: the delay; at most thirty days.
            flow: the flow or its name; a module of FLOWS must define it.
            data: passed to that flow as `chat.opening.data`; JSON.

        Raises:
            FlowMisuse: the flow is unknown, the delay is invalid, or the data is too
                large or has no JSON form.
        """
        check_time("the time until a reminder", after, REMINDER_LIMIT, above=NO_TIME)
        name = flow.name if isinstance(flow, Flow) else str(flow)
        if name not in self._turn.context.flows:
            known = ", ".join(sorted(self._turn.context.flows)) or "none"
            raise FlowMisuse(
                f"the flow of a reminder must be in a module of FLOWS; known flows: {known}",
            )
        given = json_form("the data of a reminder", data)
        if json_bytes(given) > LARGEST_DATA:
            raise FlowMisuse(f"the data of a reminder is too large: at most {LARGEST_DATA} bytes")
        about = {"user": asdict(self.user), "conversation": asdict(self.conversation)}
        await self._turn.end(FlowReminded(self._turn.context.run_id, name, after, given, about))

    async def history(self) -> list[dict[str, Any]]:
        """The newest messages (at most 100) as the API returns them, oldest first."""
        messages: list[dict[str, Any]] = await self.call(self._turn.context.history)
        return messages


class CleanUpHandle:
    """A clean-up function registered by `on_end`."""

    def __init__(self, turn: Turn, index: int) -> None:
        self._turn, self._index = turn, index
        self._is_withdrawn = False

    async def cancel(self) -> None:
        """Cancel the function: after this returns, it is not called. Safe to repeat."""
        if not self._is_withdrawn:
            await self._turn.withdraw(self._index)
            self._is_withdrawn = True


def _said(content: Content, metadata: Mapping[str, Any] | None) -> list[Said]:
    """The messages for some content; the last one carries the metadata."""
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
        raise FlowMisuse(f"pass choices and buttons to the {type(content).__name__} itself")
    return content


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A message's metadata, ready to be stored and sent. Raises `FlowMisuse`."""
    if not metadata:
        return {}
    made = defused(json_form("the metadata", metadata))
    if not isinstance(made, dict) or not all(isinstance(value, str | int | float | bool) for value in made.values()):
        raise FlowMisuse("metadata must be flat: texts, numbers, true and false, each under a name")
    if json_bytes(made) > MESSAGE_METADATA_LIMIT:
        raise FlowMisuse(f"the metadata is too large: at most {MESSAGE_METADATA_LIMIT} bytes")
    return made
