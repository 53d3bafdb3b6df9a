"""One effect, done to the platform: what came of it, and what the rules are to know of it.

An effect that may have taken effect already is never just repeated: a message is looked for first, and a control
action counts as unclear, so that the rules read how things stand.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from pydantic import ValidationError

from bot.clock import Clock
from bot.control.commands import Pass, Read, Release
from bot.control.facts import Answer, Answered, ConversationRead, Fact, FlowFailed, UserEnded
from bot.control.policy import backoff
from bot.control.state import Key
from bot.store.interface import CleanUp, OutboxItem, Say
from bot.sunshine import (
    Gone,
    NotSent,
    RateLimited,
    Refused,
    SunshineClient,
    SunshineError,
    Unauthorized,
    Unclear,
    to_answer,
)
from webhooks.messages import Message

CONVERSATION_NOT_FOUND = "conversation_not_found"
EFFECT_KEY = "switchboardBotEffect"  # in a message's metadata: how it is found again
PATIENCE = timedelta(minutes=5)  # with a message that can't be delivered
PATIENCE_WHEN_OVER = timedelta(minutes=1)  # the same where a control action waits behind it
SETTLING = timedelta(seconds=2)  # before looking for a message that may still be on its way
PAGES_TO_SEARCH = 5


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an effect: it is finished (`outcome` says how) or stays in the outbox as `again`.

    Attributes:
        status: the HTTP status of a call that failed; None where there was no answer, or it did not fail.
        reason: why it failed, without secrets and texts; empty if it did not.
    """

    outcome: str = ""
    again: OutboxItem | None = None
    fact: Fact | None = None
    status: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Clients:
    """The API with each key that there is. Reads use the first."""

    integration: SunshineClient | None
    app: SunshineClient | None

    @property
    def any(self) -> SunshineClient:
        """A client for what either key may do."""
        client = self.integration or self.app
        if client is None:
            raise ValueError("there is no API key")
        return client

    def with_key(self, key: Key) -> SunshineClient:
        """The client that a control action asks for."""
        return (self.integration if key is Key.INTEGRATION else self.app) or self.any


class Delivery:
    """Carries out effects, one at a time and conversation."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock

    async def deliver(
        self, conversation_id: str, item: OutboxItem, *, hurry: bool, wanted: Callable[[], bool] = lambda: True
    ) -> Result:
        """Carry out one effect. Raises nothing of the API's: every failure is a result.

        Args:
            conversation_id: where.
            item: the effect and what is known of earlier tries.
            hurry: a control action waits behind it.
            wanted: may it still go out? Asked once more where finding out what became of it has taken time.
        """
        match item.effect:
            case Say():
                return await self._say(conversation_id, item, item.effect, hurry=hurry, wanted=wanted)
            case Release() | Pass() if item.maybe_done:
                return _unclear(item.effect.effect_id)
            case Release(before=before) | Pass(before=before) if before and self._clock.now() >= before:
                return Result(
                    "not sent: the read before it had become too old",
                    fact=Answered(item.effect.effect_id, Answer.STALE),
                )
            case Release(key=key):
                client = self._clients.with_key(key)
                return await self._act(item.effect.effect_id, lambda: client.release_control(conversation_id))
            case Pass(target=target, metadata=metadata):
                return await self._act(
                    item.effect.effect_id,
                    lambda: self._clients.any.pass_control(conversation_id, target, metadata or None),
                )
            case Read():
                return await self._read(conversation_id, item.effect)
            case CleanUp():
                raise ValueError("a clean-up is nothing to do to the platform")
            case unknown:
                assert_never(unknown)

    async def show_typing(self, conversation_id: str) -> None:
        """Show that the bot is typing, if that can be done; nothing hangs on it."""
        with suppress(SunshineError):
            await self._clients.any.post_activity(conversation_id, "typing:start")

    async def _act(self, effect_id: str, call: Callable[[], Awaitable[None]]) -> Result:
        try:
            await call()
        except SunshineError as error:
            return _failed(effect_id, error)
        return Result("accepted", fact=Answered(effect_id, Answer.ACCEPTED))

    async def _read(self, conversation_id: str, effect: Read) -> Result:
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
        return Result(f"read: {active} is active", fact=fact)

    async def _say(
        self, conversation_id: str, item: OutboxItem, say: Say, *, hurry: bool, wanted: Callable[[], bool]
    ) -> Result:
        try:
            if item.maybe_done:
                if await self._is_said(conversation_id, item):
                    return Result("said: found in the conversation")
                if not wanted():
                    return Result(again=replace(item, maybe_done=False))
            metadata = {**say.metadata, EFFECT_KEY: say.effect_id}
            await self._clients.any.post_message(conversation_id, say.content, metadata)
        except SunshineError as error:
            return self._not_said(conversation_id, item, say, error, hurry=hurry)
        return Result("said")

    def _not_said(
        self, conversation_id: str, item: OutboxItem, say: Say, error: SunshineError, *, hurry: bool
    ) -> Result:
        now = self._clock.now()
        patience = PATIENCE_WHEN_OVER if hurry else PATIENCE
        hopeless = isinstance(error, Refused) and not isinstance(error, Unauthorized)
        if hopeless or now - item.created_at >= patience:
            failed = FlowFailed(say.run_id, f"a message could not be delivered: {_words(error)}")
            fact: Fact = failed if _answer(error) is not Answer.GONE else Answered(say.effect_id, Answer.GONE)
            return Result(f"not said: {_words(error)}", fact=fact, status=error.status, reason=str(error))
        attempts = item.attempts + 1
        wait = backoff(attempts, conversation_id)
        if error.retry_after:
            wait = max(wait, error.retry_after)
        certainly_not = isinstance(error, RateLimited | NotSent | Refused)
        if isinstance(error, Unclear):
            wait = max(wait, SETTLING)
        due = min(now + wait, max(item.created_at + patience, now + SETTLING))
        again = replace(item, next_attempt=due, attempts=attempts, maybe_done=item.maybe_done or not certainly_not)
        return Result(again=again, status=error.status, reason=str(error))

    async def _is_said(self, conversation_id: str, item: OutboxItem) -> bool:
        before: str | None = None
        for _ in range(PAGES_TO_SEARCH):
            page = await self._clients.any.list_messages(conversation_id, before)
            if any(_effect_of(message) == item.id for message in page.messages):
                return True
            if not page.has_more or page.before_cursor is None or _all_older(page.messages, item.created_at):
                return False
            before = page.before_cursor
        return False


def _effect_of(message: Mapping[str, Any]) -> object:
    metadata = message.get("metadata")
    return metadata.get(EFFECT_KEY) if isinstance(metadata, Mapping) else None


@dataclass(frozen=True, slots=True)
class UsersLast:
    """What the user did last, as `ConversationRead` tells it."""

    ended: UserEnded | None = None
    spoke_at: datetime | None = None
    void_end: str | None = None


def users_last(messages: tuple[Mapping[str, Any], ...], read_at: datetime) -> UsersLast:
    """What the user did last, from the newest messages (oldest first).

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
    for raw in messages:
        with suppress(ValidationError):
            yield Message.model_validate(raw)


def _all_older(messages: tuple[Mapping[str, Any], ...], than: datetime) -> bool:
    """Were all messages of a page there long before the effect was commanded?"""
    oldest = next(_readable(messages[:1]), None)
    return oldest is not None and oldest.received is not None and oldest.received < than - PATIENCE


def _unclear(effect_id: str) -> Result:
    return Result("unclear: the process stopped meanwhile", fact=Answered(effect_id, Answer.UNCLEAR))


def _failed(effect_id: str, error: SunshineError) -> Result:
    fact = Answered(effect_id, _answer(error), error.retry_after, _words(error))
    return Result(_words(error), fact=fact, status=error.status, reason=str(error))


def _answer(error: SunshineError) -> Answer:
    """What the rules are to know. A 404 about anything but the conversation is a wrong address, and no proof."""
    if isinstance(error, Gone) and error.code != CONVERSATION_NOT_FOUND:
        return Answer.REFUSED
    return to_answer(error)


def _words(error: SunshineError) -> str:
    return f"{type(error).__name__} {error.status or ''} {error.code}".strip().replace("  ", " ")
