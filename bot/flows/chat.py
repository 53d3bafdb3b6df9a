"""`Chat`: all that a flow can do in its conversation."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from bot.control.facts import FlowHandedOver, FlowReleased
from bot.control.policy import backoff
from bot.control.state import Metadata
from bot.flows.authoring import Answer, Began, CallFailed, FlowMisuse, User
from bot.flows.defuse import defused, pieces
from bot.flows.threads import Threads
from bot.flows.turn import Said, Turn

CHOICES_LIMIT = 10
LABEL_LIMIT = 128
METADATA_LIMIT = 4096  # bytes; platform.md, section 5

_threads = Threads()


@dataclass(frozen=True, slots=True)
class Choice:
    """A quick reply: the label that the user sees, and what the answer carries as its payload."""

    text: str
    payload: str


class Chat:
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
        """The end user."""
        return self._turn.context.user

    @property
    def opening(self) -> Began:
        """What began the flow."""
        return self._turn.context.began

    async def say(
        self, text: str, choices: Sequence[str | Choice] = (), metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Say something. A text that is too long for one message becomes several.

        Raises:
            FlowMisuse: no text, too many choices, or metadata that is too large or not JSON.
        """
        await self._turn.say(_messages(text, choices, metadata))

    async def ask(
        self,
        text: str,
        choices: Sequence[str | Choice] = (),
        timeout: timedelta | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        fresh: bool = False,
    ) -> Answer:
        """Say something and wait for the user.

        Args:
            text: the question.
            choices: quick replies.
            timeout: how long to wait; FLOW_IDLE_TIMEOUT where it is not given.
            metadata: goes with the message.
            fresh: what the user said before the question does not count as an answer.

        Raises:
            NoAnswer: the time is over.
        """
        return await self._turn.ask(_messages(text, choices, metadata), timeout, fresh=fresh)

    async def call(
        self,
        function: Callable[..., Any],
        *args: Any,
        attempts: int = 1,
        timeout: timedelta | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run code that must not be repeated: the function runs at least once, and its result is kept.

        Args:
            function: a coroutine function, or a plain one, which runs in a thread.
            attempts: how often to try, with a growing pause, before it counts as failed.
            timeout: for each attempt.

        Returns:
            The result in its JSON form (a dataclass comes back as a dict).

        Raises:
            CallFailed: the last attempt raised or timed out.
        """
        name = getattr(function, "__qualname__", type(function).__qualname__)

        async def tried() -> Any:
            for attempt in range(1, attempts + 1):
                try:
                    async with asyncio.timeout(timeout.total_seconds() if timeout else None):
                        return await _run(function, args, kwargs)
                except Exception as error:
                    if attempt == attempts:
                        raise CallFailed(name, f"{type(error).__name__}: {error}") from error
                await asyncio.sleep(backoff(attempt, self.conversation_id).total_seconds())
            raise FlowMisuse("attempts must be at least 1")

        return await self._turn.call(name, tried)

    async def sleep(self, duration: timedelta) -> None:
        """Go on later. The conversation stays with the bot meanwhile."""
        await self._turn.sleep(duration)

    async def hand_over(
        self,
        to: str | None = None,
        ticket_fields: Mapping[str, str | int | float | bool] | None = None,
        metadata: Metadata | None = None,
    ) -> None:
        """Pass control on and end the flow: nothing after it runs.

        Args:
            to: id, name or type of a switchboard integration; PASS_TO where it is not given.
            ticket_fields: values for the agent's ticket, by field id.
            metadata: goes with the pass; flat.

        Raises:
            FlowMisuse: metadata and fields that are too large or not flat.
        """
        fields = {f"dataCapture.ticketField.{key}": value for key, value in (ticket_fields or {}).items()}
        passed = _metadata({**(metadata or {}), **fields})
        if not all(isinstance(value, str | int | float | bool) for value in passed.values()):
            raise FlowMisuse("the metadata of a pass is flat: texts, numbers, true and false")
        await self._turn.end(FlowHandedOver(self._turn.context.run_id, to, passed))

    async def release(self) -> None:
        """Release control and end the flow: nothing after it runs."""
        await self._turn.end(FlowReleased(self._turn.context.run_id))

    async def history(self) -> list[dict[str, Any]]:
        """The newest messages of the conversation, oldest first, as the API gives them (at most 100)."""
        messages: list[dict[str, Any]] = await self.call(self._turn.context.history)
        return messages


async def _run(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    in_context = partial(contextvars.copy_context().run, _plainly, function, args, kwargs)
    result = await asyncio.get_running_loop().run_in_executor(_threads, in_context)
    return await result if isinstance(result, Awaitable) else result


def _plainly(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run a plain function. No future takes a StopIteration (a `next()` that finds nothing): its flow would hang."""
    try:
        return function(*args, **kwargs)
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error


def _messages(text: str, choices: Sequence[str | Choice], metadata: Mapping[str, Any] | None) -> list[Said]:
    if not text or not text.strip():
        raise FlowMisuse("there is nothing to say: the text is empty")
    if len(choices) > CHOICES_LIMIT:
        raise FlowMisuse(f"{len(choices)} choices are too many: at most {CHOICES_LIMIT}")
    known = _metadata(metadata or {})
    said = [Said({"type": "text", "text": piece}, {}) for piece in pieces(defused(text))]
    last = {**said[-1].content, "actions": [_reply(choice) for choice in choices]} if choices else said[-1].content
    said[-1] = Said(last, known)
    return said


def _metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as it can be stored and sent. Raises `FlowMisuse`."""
    try:
        size = len(json.dumps(dict(metadata)))
    except (ValueError, TypeError, RecursionError):
        raise FlowMisuse("the metadata has no JSON form") from None
    if size > METADATA_LIMIT:
        raise FlowMisuse(f"the metadata is too large: at most {METADATA_LIMIT} bytes")
    made: dict[str, Any] = defused(metadata)
    return made


def _reply(choice: str | Choice) -> dict[str, Any]:
    offered = Choice(choice, choice) if isinstance(choice, str) else choice
    if not 0 < len(offered.text) <= LABEL_LIMIT:
        raise FlowMisuse(f"a choice has 1 to {LABEL_LIMIT} characters, and not {len(offered.text)}")
    return {"type": "reply", "text": defused(offered.text), "payload": defused(offered.payload)}
