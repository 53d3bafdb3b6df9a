"""Carries out one effect on the platform, and translates the answer into a fact for the rules.

An effect that may have happened already is never just repeated. A message is looked for
first; a control action counts as unclear, and the rules request a read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from pydantic import ValidationError

from bot.clock import Clock
from bot.control.commands import Call, Pass, Read, Release
from bot.control.facts import Answer, Answered, ConversationRead, Fact, UserEnded
from bot.control.state import Key
from bot.store.interface import Say
from bot.sunshine import (
    Gone,
    SunshineClient,
    SunshineError,
    Unauthorized,
    to_answer,
)
from webhooks.messages import Message

CONVERSATION_NOT_FOUND = "conversation_not_found"
EFFECT_KEY = "switchboardBotEffect"  # metadata key by which a message is found again
LONG_BEFORE = timedelta(minutes=5)  # more than any clock skew to the platform
PAGES_TO_SEARCH = 5


@dataclass(frozen=True, slots=True)
class Task:
    """An effect to carry out.

    Attributes:
        effect: the call or the message.
        since: when it was queued.
        maybe_done: possibly done already; look for a message first.
    """

    effect: Call | Say
    since: datetime
    maybe_done: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """Result of an effect.

    Attributes:
        outcome: description for the record.
        fact: the fact for the rules.
        status: HTTP status of a failed call; None without an answer or a failure.
        reason: error description without secrets and customers' words; empty on
            success.
    """

    outcome: str
    fact: Fact
    status: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Clients:
    """API clients, one per available key. Reads use the first."""

    integration: SunshineClient | None
    app: SunshineClient | None

    @property
    def any(self) -> SunshineClient:
        """The client for calls that either key may make."""
        client = self.integration or self.app
        if client is None:
            raise ValueError("there is no API key")
        return client

    def with_key(self, key: Key) -> SunshineClient:
        """Return the client for a control action's key."""
        return (self.integration if key is Key.INTEGRATION else self.app) or self.any


class Delivery:
    """Carries out effects, one at a time per conversation."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock

    async def deliver(
        self,
        conversation_id: str,
        task: Task,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Result:
        """Carry out one effect. API errors don't raise; each is a result.

        Args:
            conversation_id: the platform's conversation id.
            task: the effect, and whether it may have been tried.
            wanted: whether the message may still go out, called after a search for it.
        """
        match task.effect:
            case Say() as say:
                return await self._say(conversation_id, task, say, wanted)
            case Release(effect_id, before=before) | Pass(effect_id, before=before) if before and self._is_late(before):
                return Result(
                    "not sent: the read before it had become too old",
                    Answered(effect_id, Answer.STALE),
                )
            case Release(effect_id, key):
                client = self._clients.with_key(key)
                return await self._act(effect_id, lambda: client.release_control(conversation_id))
            case Pass(effect_id, target, metadata):
                return await self._act(
                    effect_id, lambda: self._clients.any.pass_control(conversation_id, target, metadata or None)
                )
            case Read() as read:
                return await self._read(conversation_id, read)
            case unknown:
                assert_never(unknown)

    def _is_late(self, before: datetime) -> bool:
        """Return whether the send deadline `before` has passed."""
        return self._clock.now() >= before

    async def show_typing(self, conversation_id: str) -> None:
        """Show the typing indicator if possible. Errors are ignored."""
        with suppress(SunshineError):
            await self._clients.any.post_activity(conversation_id, "typing:start")

    async def _act(self, effect_id: str, call: Callable[[], Awaitable[None]]) -> Result:
        """Call a control action. Accepted is not proven."""
        try:
            await call()
        except SunshineError as error:
            return _failed(effect_id, error)
        return Result("accepted", Answered(effect_id, Answer.ACCEPTED))

    async def _read(self, conversation_id: str, effect: Read) -> Result:
        """Read the newest messages, if requested, and then the holder."""
        try:
            newest = await self._clients.any.list_messages(conversation_id) if effect.messages else None
            began = self._clock.now()
            snapshot = await self._clients.any.get_conversation(conversation_id)
        except SunshineError as error:
            return _failed(effect.effect_id, error)
        active = str(snapshot.active) if snapshot.active else "nobody"
        last = users_last(newest.messages, newest.at) if newest else UsersLast()
        fact = ConversationRead(
            effect.effect_id, snapshot.at, snapshot.active, last.ended, last.spoke_at, began, last.void_end
        )
        return Result(f"read: {active} is active", fact)

    async def _say(
        self,
        conversation_id: str,
        task: Task,
        say: Say,
        wanted: Callable[[], bool],
    ) -> Result:
        """Post a message, with its effect id as metadata, by which it is found again."""
        try:
            if task.maybe_done:
                if await self._is_said(conversation_id, task):
                    return Result(
                        "said: found in the conversation",
                        Answered(say.effect_id, Answer.ACCEPTED),
                    )
                if not wanted():
                    return Result("not said", Answered(say.effect_id, Answer.STALE))
            metadata = {**say.metadata, EFFECT_KEY: say.effect_id}
            await self._clients.any.post_message(conversation_id, say.content, metadata)
        except SunshineError as error:
            fact = replace(_answered(say.effect_id, error), answer=_answer_to_message(error))
            return Result(f"not said: {_words(error)}", fact, error.status, str(error))
        return Result("said", Answered(say.effect_id, Answer.ACCEPTED))

    async def _is_said(self, conversation_id: str, task: Task) -> bool:
        """Return whether the message is in the conversation, searching pages from the newest."""
        before: str | None = None
        for _ in range(PAGES_TO_SEARCH):
            page = await self._clients.any.list_messages(conversation_id, before)
            if any(_effect_of(message) == task.effect.effect_id for message in page.messages):
                return True
            if not page.has_more or page.before_cursor is None or _all_older(page.messages, task.since):
                return False
            before = page.before_cursor
        return False


def _effect_of(message: Mapping[str, Any]) -> object:
    """Return the effect id in a message's metadata."""
    metadata = message.get("metadata")
    return metadata.get(EFFECT_KEY) if isinstance(metadata, Mapping) else None


@dataclass(frozen=True, slots=True)
class UsersLast:
    """The user's last actions, as in `ConversationRead`."""

    ended: UserEnded | None = None
    spoke_at: datetime | None = None
    void_end: str | None = None


def users_last(messages: tuple[Mapping[str, Any], ...], read_at: datetime) -> UsersLast:
    """Return the user's last actions from the newest messages (oldest first).

    The order of the messages counts, not their times.
    """
    done = [message for message in _readable(reversed(messages)) if message.is_users_end or message.is_from_user]
    ended = next((message for message in done if message.is_users_end), None)
    spoken = next((message for message in done if message.is_from_user), None)
    spoke_at = spoken.received if spoken else None
    if ended is None:
        return UsersLast(spoke_at=spoke_at)
    if done[0] is not ended:
        return UsersLast(spoke_at=spoke_at, void_end=ended.id)
    return UsersLast(UserEnded(ended.received or read_at, ended.id), spoke_at)


def _readable(messages: Iterable[Mapping[str, Any]]) -> Iterator[Message]:
    """Yield the messages that can be parsed."""
    for raw in messages:
        with suppress(ValidationError):
            yield Message.model_validate(raw)


def _all_older(messages: tuple[Mapping[str, Any], ...], than: datetime) -> bool:
    """Return whether a page holds only messages from long before the effect was queued."""
    oldest = next(_readable(messages[:1]), None)
    return oldest is not None and oldest.received is not None and oldest.received < than - LONG_BEFORE


def _failed(effect_id: str, error: SunshineError) -> Result:
    """Return the result of a failed call."""
    return Result(_words(error), _answered(effect_id, error), error.status, str(error))


def _answered(effect_id: str, error: SunshineError) -> Answered:
    """Return the fact of a failed call."""
    return Answered(effect_id, _answer(error), error.retry_after, _words(error))


def _answer_to_message(error: SunshineError) -> Answer:
    """Classify an error of a message.

    A refused message is hopeless, but a wrong key can be fixed, so that is retried.
    """
    answer = Answer.NOT_SENT if isinstance(error, Unauthorized) else _answer(error)
    return Answer.REFUSED if answer is Answer.NOT_OURS else answer


def _answer(error: SunshineError) -> Answer:
    """Classify an error for the rules.

    A 404 for anything but the conversation is a wrong address, and proves nothing.
    """
    if isinstance(error, Gone) and error.code != CONVERSATION_NOT_FOUND:
        return Answer.REFUSED
    return to_answer(error)


def _words(error: SunshineError) -> str:
    """Describe an error by type, status and code."""
    return f"{type(error).__name__} {error.status or ''} {error.code}".strip().replace("  ", " ")
