"""Handle a delivery: check the key, read the envelope, store, answer. Only `Inbox.add` does I/O.

The platform tries a delivery 5 times in 15 minutes, but never retries after a 400, 401, 403,
404 or 406. So 2xx is sent only after the events are durable, and those five only where no
retry could succeed.
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
from webhooks.inbox import Inbox, NewEvent, NotStoredError
from webhooks.inflate import BodyTooLargeError, DamagedBodyError, UnknownEncodingError, inflate
from webhooks.reporting import Report, ignore, type_and_place
from webhooks.security import API_KEY_HEADER, Secrets

P = ParamSpec("P")
T = TypeVar("T")

MAX_EVENTS = 2_000
"""Maximum number of events per delivery."""

THREAD_THRESHOLD = 64 * 1024
"""Bodies above this many bytes are parsed in a thread, so that other deliveries go on."""

RETRY_AFTER_SECONDS = 5
"""The Retry-After of a 503. A hint: the platform has its own retry schedule."""

MAX_LOGGED_PATH = 200  # characters

MINUTE = timedelta(minutes=1)
STREAK_TIMEOUT = timedelta(minutes=10)
"""After this long without a failure, the next one is logged at once again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP answer to a delivery.

    Attributes:
        status: the HTTP status.
        reason: the body, a sentence for readers of the platform's log.
        retry_after: the Retry-After header, in seconds.
    """

    status: int
    reason: str
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of a delivery, for metrics.

    Attributes:
        status: the HTTP status of the answer.
        events: number of events that are stored now, including known ones.
        seconds: processing time.
        reason: the body of the answer.
    """

    status: int
    events: int
    seconds: float
    reason: str


class InvalidDeliveryError(ValueError):
    """Not JSON, or not a v2 envelope. The message quotes no values."""

    status = 400


class ForeignDeliveryError(InvalidDeliveryError):
    """A delivery for another app. The message names that app."""

    status = 403


class TooManyEventsError(InvalidDeliveryError):
    """More than `MAX_EVENTS` events."""

    status = 413


class FailureStreak:
    """Decides when to log recurring failures: at once, then after 1, 4, 16, … minutes.

    Failures less than ten minutes apart form a streak.

    Attributes:
        times: number of failures in the current streak.
    """

    def __init__(self) -> None:
        self.times = 0
        self._began: datetime | None = None
        self._newest: datetime | None = None
        self._lines = 0

    def should_log(self, now: datetime) -> bool:
        """Count a failure, and return whether to log it."""
        if self._began is None or self._newest is None or now - self._newest >= STREAK_TIMEOUT:
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
        inbox: stores the events.
        secrets: the accepted webhook secrets.
        now: returns the current time, aware.
        observe: called with the receipt of each answer; must not raise.
        app_id: the only app to accept deliveries for; None accepts any.
        is_known: returns whether an outage of the store is already being logged elsewhere.
            If so, only the first failed delivery is logged here.
        record: called with time and body of each stored delivery; must not raise.
        report: called when a delivery can't be stored, or has a wrong address.
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
        self._not_stored = FailureStreak()
        self._failed = FailureStreak()
        self._misaddressed = FailureStreak()
        self._thread = ThreadPoolExecutor(1, "deliveries")  # starts with the first large body

    async def receive(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Store the events of a delivery.

        Args:
            headers: the request headers; names in any case.
            body: the complete request body.

        Returns:
            200 stored or already known, 400 not JSON or not a v2 envelope, 401 wrong or
            missing key, 403 another app, 413 too many events, 503 not stored.
        """
        return self.refuse_unauthorized(headers) or await self.take(body)

    async def take(self, body: bytes) -> Answer:
        """Store the events of a delivery whose key has been checked. Returns as `receive`."""
        began = self._now()
        try:
            events = await self._call(len(body), read_delivery, body, began, self._app_id)
        except InvalidDeliveryError as error:
            return self._answered(Answer(error.status, str(error)), began)
        try:
            if events:
                await self._inbox.add(events)
        except NotStoredError as error:
            is_due = self._not_stored.should_log(began)
            times = self._not_stored.times
            if is_due and (times == 1 or not self._is_known()):
                fields = {"events": len(events), "reason": str(error), "times": times}
                self._report("delivery_not_stored", "warning", fields)
        except Exception as error:  # noqa: BLE001 - a bug: answer 503 too, for a retry
            if self._failed.should_log(began):
                times = self._failed.times
                fields = {"events": len(events), "times": times, **type_and_place(error)}
                self._report("delivery_not_stored", "error", fields)
        else:
            if self._record is not None:
                self._record(began, body)
            return self._answered(Answer(200, "stored"), began, len(events))
        return self._answered(_NOT_STORED, began)

    async def inflated(self, body: bytes, encoding: str, max_bytes: int) -> bytes | Answer:
        """Decompress a body to at most `max_bytes`; return an error answer if that fails."""
        began = self._now()
        try:
            return await self._call(len(body), inflate, body, encoding, max_bytes)
        except UnknownEncodingError as error:
            return self._answered(Answer(415, str(error)), began)
        except BodyTooLargeError:
            return self.refuse_too_large(max_bytes)
        except DamagedBodyError:
            return self.refuse_truncated()

    def has_key(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request carries a valid webhook secret."""
        return self._secrets.accepts(_header(headers, API_KEY_HEADER))

    def refuse_unauthorized(self, headers: Mapping[str, str]) -> Answer | None:
        """Return a 401 if the key is missing or wrong, else None. Needs no body."""
        if self.has_key(headers):
            return None
        reason = f"the {API_KEY_HEADER} header is missing or does not match the webhook's secret"
        return self._answered(Answer(401, reason), self._now())

    def refuse_too_large(self, max_bytes: int) -> Answer:
        """Return a 413 for a delivery larger than `max_bytes`, perhaps read only in part."""
        reason = f"the delivery has more than {max_bytes} bytes"
        return self._answered(Answer(413, reason), self._now())

    def refuse_truncated(self) -> Answer:
        """Return a 503 for a truncated delivery. The sender is usually gone."""
        return self._answered(_TRUNCATED, self._now())

    def refuse_overload(self) -> Answer:
        """Return a 503 because too many deliveries are being read or waiting."""
        return self._answered(_OVERLOADED, self._now())

    def refuse_misaddressed(self, path: str) -> Answer:
        """Return a 503 for a valid key at a wrong path: an operator can correct the target."""
        now = self._now()
        if self._misaddressed.should_log(now):
            fields = {"path": path[:MAX_LOGGED_PATH], "times": self._misaddressed.times}
            self._report("delivery_misaddressed", "error", fields)
        return self._answered(_MISADDRESSED, now)

    def _answered(self, answer: Answer, began: datetime, events: int = 0) -> Answer:
        if self._observe is not None:
            seconds = (self._now() - began).total_seconds()
            self._observe(Receipt(answer.status, events, seconds, answer.reason))
        return answer

    async def _call(self, size: int, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `read`, in the thread if `size` is large."""
        if size <= THREAD_THRESHOLD:
            return read(*args, **kwargs)
        work = partial(read, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


_NOT_STORED = Answer(503, "not stored: deliver it again", RETRY_AFTER_SECONDS)
_MISADDRESSED = Answer(
    503,
    "not stored: this is not the webhook's address; correct its target",
    RETRY_AFTER_SECONDS,
)
_OVERLOADED = Answer(503, "not stored: the bot is overloaded; deliver it again", RETRY_AFTER_SECONDS)
_TRUNCATED = Answer(503, "not stored: the body was truncated; deliver it again", RETRY_AFTER_SECONDS)


def read_delivery(body: bytes, received_at: datetime, app_id: str | None = None) -> list[NewEvent]:
    """Return the events of a delivery in order, without duplicate ids.

    Validates only the envelope; accepts any entry of `events`.

    Args:
        body: the delivery as posted.
        received_at: the time of arrival.
        app_id: the only app to accept; None accepts any. A delivery without an app is accepted.

    Raises:
        InvalidDeliveryError: not JSON, not a v2 envelope, for another app, or too many events.
    """
    try:
        envelope = wire.read_json(body)
    except ValueError as error:
        raise InvalidDeliveryError(f"the body is not JSON: {error}") from None
    if not isinstance(envelope, dict):
        raise InvalidDeliveryError("the body is not an object")
    webhook = envelope.get("webhook")
    if not isinstance(webhook, dict) or webhook.get("version") != "v2":
        raise InvalidDeliveryError('webhook.version is not "v2": create the webhook with API v2')
    app = envelope.get("app")
    sender = wire.identifier(app.get("id")) if isinstance(app, dict) else None
    if app_id is not None and sender not in (None, app_id):
        raise ForeignDeliveryError(f"this delivery is for app {sender}, not for the bot's SUNSHINE_APP_ID")
    entries = envelope.get("events")
    if not isinstance(entries, list):
        raise InvalidDeliveryError("events is not a list")
    if len(entries) > MAX_EVENTS:
        raise TooManyEventsError(f"the delivery has more than {MAX_EVENTS} events")
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
