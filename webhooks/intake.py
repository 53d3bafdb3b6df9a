"""Takes a delivery: check the key, read the envelope, store, answer. `Intake` does no I/O but `Inbox.add`.

The platform tries a delivery 5 times in 15 minutes, but never again after a 400, 401, 403, 404 or 406. So 2xx is
answered when the events are safe and not before, and those only to what no later try could make right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import ParamSpec, TypeVar

from webhooks import wire
from webhooks.inbox import Inbox, NewEvent, NotStored
from webhooks.inflate import Damaged, TooLarge, UnknownEncoding, inflate
from webhooks.reporting import Report, ignore, type_and_place
from webhooks.security import API_KEY_HEADER, Secrets

P = ParamSpec("P")
T = TypeVar("T")

MAX_EVENTS = 2_000
"""Events in the largest delivery that is taken."""

LARGE = 64 * 1024
"""Bytes from which a body is read in a thread, so that the other deliveries need not wait for it."""

RETRY_AFTER_SECONDS = 5
"""When a delivery that could not be stored may come again. A hint: the platform has a schedule of its own."""

LONGEST_PATH = 200  # characters of it that are logged

MINUTE = timedelta(minutes=1)
SPELL_ENDS = timedelta(minutes=10)
"""Without a failure for this long, the next one is told at once again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the platform is told: an HTTP status, a sentence for the person who reads its log, seconds to wait."""

    status: int
    reason: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """How a delivery went, for metrics.

    Attributes:
        status: as answered.
        events: how many were stored (or were known already).
        seconds: from the first look at it to the answer.
        reason: as answered.
    """

    status: int
    events: int
    seconds: float
    reason: str


class InvalidDelivery(ValueError):
    """Not JSON, or not an envelope of API v2. The message says what is wrong, and quotes nothing."""

    status = 400


class ForeignDelivery(InvalidDelivery):
    """A delivery of another app. The message names that app."""

    status = 403


class TooManyEvents(InvalidDelivery):
    """More than `MAX_EVENTS` events."""

    status = 413


class Spell:
    """Failures that follow each other within ten minutes: told at once, and after 1, 4, 16, … minutes.

    Attributes:
        times: failures so far.
    """

    def __init__(self) -> None:
        self.times = 0
        self._began: datetime | None = None
        self._newest: datetime | None = None
        self._lines = 0

    def is_told(self, now: datetime) -> bool:
        """Count a failure, and return whether a line is due."""
        if self._began is None or self._newest is None or now - self._newest >= SPELL_ENDS:
            self._began, self._newest, self.times, self._lines = now, now, 1, 0
            return True
        self._newest, self.times = now, self.times + 1
        if now - self._began < MINUTE * 4**self._lines:
            return False
        while now - self._began >= MINUTE * 4**self._lines:
            self._lines += 1
        return True


class Intake:
    """Turns deliveries into stored events.

    Args:
        inbox: where the events go.
        secrets: the keys that are accepted.
        now: an aware clock.
        observe: called with each answer's receipt; must not raise.
        app_id: the app whose deliveries are taken; None: any.
        is_known: is it told elsewhere, again and again, that nothing can be stored? Then it is told here only once.
        record: called with the time and the body of each delivery that was stored; must not raise.
        report: called when a delivery can't be stored, or comes to a wrong address.
    """

    def __init__(
        self,
        inbox: Inbox,
        secrets: Secrets,
        now: Callable[[], datetime],
        observe: Callable[[Receipt], None] | None = None,
        app_id: str | None = None,
        is_known: Callable[[], bool] = lambda: False,
        record: Callable[[datetime, bytes], None] | None = None,
        report: Report = ignore,
    ) -> None:
        self._inbox = inbox
        self._secrets = secrets
        self._now = now
        self._observe = observe
        self._app_id = app_id
        self._is_known = is_known
        self._record = record
        self._report = report
        self._not_stored, self._failed, self._misaddressed = Spell(), Spell(), Spell()
        self._thread = ThreadPoolExecutor(1, "deliveries")  # started by the first one that is large

    async def receive(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Store the events of a delivery.

        Args:
            headers: of the request; names in any case.
            body: of the request, complete.

        Returns:
            200 stored or known already, 400 not JSON or no v2 envelope, 401 wrong or missing key, 403 another app's,
            413 too many events, 503 not stored.
        """
        return self.refuse_stranger(headers) or await self.take(body)

    async def take(self, body: bytes) -> Answer:
        """The same for a delivery whose key has been checked."""
        began = self._now()
        try:
            events = await self._apart(len(body), read_delivery, body, began, self._app_id)
        except InvalidDelivery as error:
            return self._answered(Answer(error.status, str(error)), began)
        try:
            if events:
                await self._inbox.add(events)
        except NotStored as error:
            is_told = self._not_stored.is_told(began)
            if is_told and (self._not_stored.times == 1 or not self._is_known()):
                fields = {"events": len(events), "reason": str(error), "times": self._not_stored.times}
                self._report("delivery_not_stored", "warning", fields)
        except Exception as error:  # noqa: BLE001 - a bug: answered 503 too, so that the platform delivers again
            if self._failed.is_told(began):
                fields = {"events": len(events), "times": self._failed.times, **type_and_place(error)}
                self._report("delivery_not_stored", "error", fields)
        else:
            if self._record is not None:
                self._record(began, body)
            return self._answered(Answer(200, "stored"), began, len(events))
        return self._answered(_NOT_STORED, began)

    async def inflated(self, body: bytes, encoding: str, max_bytes: int) -> bytes | Answer:
        """The body without its Content-Encoding, or the answer to one that can't be inflated to `max_bytes` bytes."""
        began = self._now()
        try:
            return await self._apart(len(body), inflate, body, encoding, max_bytes)
        except UnknownEncoding as error:
            return self._answered(Answer(415, str(error)), began)
        except TooLarge:
            return self.refuse_too_large(max_bytes)
        except Damaged:
            return self.refuse_broken_off()

    def has_key(self, headers: Mapping[str, str]) -> bool:
        """Does a request carry a key of this webhook?"""
        return self._secrets.accepts(_header(headers, API_KEY_HEADER))

    def refuse_stranger(self, headers: Mapping[str, str]) -> Answer | None:
        """401 to a delivery with a wrong key or none, None to all others. Its body need not be read for that."""
        if self.has_key(headers):
            return None
        reason = f"the {API_KEY_HEADER} header is missing or is not a secret of this webhook"
        return self._answered(Answer(401, reason), self._now())

    def refuse_too_large(self, max_bytes: int) -> Answer:
        """The answer to a delivery of more than `max_bytes` bytes, of which not all has been read."""
        return self._answered(Answer(413, f"the delivery has more than {max_bytes} bytes"), self._now())

    def refuse_broken_off(self) -> Answer:
        """The answer to a delivery whose end never came. Mostly nobody is left to hear it."""
        return self._answered(_BROKEN_OFF, self._now())

    def refuse_too_much(self) -> Answer:
        """The answer to a delivery for which there is no room beside those that are read or wait already."""
        return self._answered(_TOO_MUCH, self._now())

    def refuse_misaddressed(self, path: str) -> Answer:
        """The answer to a delivery with a right key at a wrong address: a person can mend that."""
        now = self._now()
        if self._misaddressed.is_told(now):
            fields = {"path": path[:LONGEST_PATH], "times": self._misaddressed.times}
            self._report("delivery_misaddressed", "error", fields)
        return self._answered(_MISADDRESSED, now)

    def _answered(self, answer: Answer, began: datetime, events: int = 0) -> Answer:
        if self._observe is not None:
            self._observe(Receipt(answer.status, events, (self._now() - began).total_seconds(), answer.reason))
        return answer

    async def _apart(self, size: int, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read something, in the thread if it is large."""
        if size <= LARGE:
            return read(*args, **kwargs)
        work = partial(read, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


_NOT_STORED = Answer(503, "not stored: deliver it again", RETRY_AFTER_SECONDS)
_MISADDRESSED = Answer(503, "not stored: this is not the webhook's address; mend its target", RETRY_AFTER_SECONDS)
_TOO_MUCH = Answer(503, "not stored, because too much waits already: deliver it again", RETRY_AFTER_SECONDS)
_BROKEN_OFF = Answer(503, "not stored, because its end did not come: deliver it again", RETRY_AFTER_SECONDS)


def read_delivery(body: bytes, received_at: datetime, app_id: str | None = None) -> list[NewEvent]:
    """The events of a delivery, in order, each id once. Only the envelope is read; any entry of `events` is taken.

    Args:
        body: as posted.
        received_at: when it came.
        app_id: the app that it may come from; None: any. A delivery that names no app is taken.

    Raises:
        InvalidDelivery: it is not JSON, not an envelope of API v2, of another app, or too much.
    """
    try:
        envelope = wire.read_json(body)
    except ValueError as error:
        raise InvalidDelivery(f"the body is not JSON: {error}") from None
    if not isinstance(envelope, dict):
        raise InvalidDelivery("the body is not an object")
    webhook = envelope.get("webhook")
    if not isinstance(webhook, dict) or webhook.get("version") != "v2":
        raise InvalidDelivery('webhook.version is not "v2": make the webhook one of API v2')
    app = envelope.get("app")
    sender = wire.identifier(app.get("id")) if isinstance(app, dict) else None
    if app_id is not None and sender not in (None, app_id):
        raise ForeignDelivery(f"this is a delivery of the app {sender}, and the bot's SUNSHINE_APP_ID is another one")
    entries = envelope.get("events")
    if not isinstance(entries, list):
        raise InvalidDelivery("events is not a list")
    if len(entries) > MAX_EVENTS:
        raise TooManyEvents(f"the delivery has more than {MAX_EVENTS} events")
    events: dict[str, NewEvent] = {}
    for entry in entries:
        event = _new_event(entry, received_at)
        events.setdefault(event.id, event)
    return list(events.values())


def _new_event(entry: object, received_at: datetime) -> NewEvent:
    body = wire.write_json(entry)
    if not isinstance(entry, dict):
        return NewEvent(wire.content_id(entry), None, wire.UNKNOWN_TYPE, body, received_at)
    return NewEvent(
        id=wire.event_id(entry),
        conversation_id=wire.conversation_id(entry),
        type=wire.event_type(entry),
        body=body,
        received_at=received_at,
        said_id=wire.said_id(entry),
    )


def _header(headers: Mapping[str, str], name: str) -> str | None:
    if name in headers:
        return headers[name]
    return next((value for key, value in headers.items() if key.lower() == name.lower()), None)
