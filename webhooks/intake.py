"""The POST handler: check the key, read the envelope, store, answer. `Intake` does no I/O but `Inbox.add`.

The platform tries a delivery 5 times in 15 minutes, but never again after a 400 or 401 (platform.md, 4). So 2xx is
answered when the events are safe and not before, and 400 only to what no later try could make right.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from webhooks import wire
from webhooks.inbox import Inbox, NewEvent, NotStored
from webhooks.security import API_KEY_HEADER, Secrets

MAX_BYTES = 1024 * 1024
"""The size of the largest delivery that is taken, unless the caller says otherwise."""

MAX_BYTES_AT_ONCE = 64 * MAX_BYTES
"""The size of all deliveries together that are read or wait to be stored; with more, they may come again later."""

RETRY_AFTER_SECONDS = 5
"""When a delivery that could not be stored may come again. A hint: the platform has a schedule of its own."""

_logger = logging.getLogger(__name__)


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
    """

    status: int
    events: int
    seconds: float


class InvalidDelivery(ValueError):
    """It is not JSON, or not an envelope of API v2. The message says what is wrong, and quotes nothing."""


class Intake:
    """Turns deliveries into stored events.

    Args:
        inbox: where the events go.
        secrets: the keys that are accepted.
        now: an aware clock.
        observe: called with each answer's receipt; must not raise.
    """

    def __init__(
        self,
        inbox: Inbox,
        secrets: Secrets,
        now: Callable[[], datetime],
        observe: Callable[[Receipt], None] | None = None,
    ) -> None:
        self._inbox = inbox
        self._secrets = secrets
        self._now = now
        self._observe = observe

    async def receive(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Store the events of a delivery.

        Args:
            headers: of the request; names in any case.
            body: of the request, complete.

        Returns:
            200 stored or known already, 400 not JSON or no v2 envelope, 401 wrong or missing key, 503 not stored.
        """
        return self.refuse_stranger(headers) or await self.take(body)

    async def take(self, body: bytes) -> Answer:
        """The same for a delivery whose key has been checked."""
        began = self._now()
        try:
            events = read_delivery(body, began)
        except InvalidDelivery as error:
            return self._answered(Answer(400, str(error)), began)
        try:
            if events:
                await self._inbox.add(events)
        except NotStored as error:
            _logger.warning("delivery_not_stored", extra={"events": len(events), "reason": str(error)})
        except Exception:
            _logger.exception("delivery_not_stored", extra={"events": len(events)})
        else:
            return self._answered(Answer(200, "stored"), began, len(events))
        return self._answered(_NOT_STORED, began)

    def refuse_stranger(self, headers: Mapping[str, str]) -> Answer | None:
        """401 to a delivery with a wrong key or none, None to all others. Its body need not be read for that."""
        if self._secrets.accepts(_header(headers, API_KEY_HEADER)):
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

    def _answered(self, answer: Answer, began: datetime, events: int = 0) -> Answer:
        if self._observe is not None:
            self._observe(Receipt(answer.status, events, (self._now() - began).total_seconds()))
        return answer


_NOT_STORED = Answer(503, "not stored: deliver it again", RETRY_AFTER_SECONDS)
_TOO_MUCH = Answer(503, "not stored, because too much waits already: deliver it again", RETRY_AFTER_SECONDS)
_BROKEN_OFF = Answer(503, "not stored, because its end did not come: deliver it again", RETRY_AFTER_SECONDS)


def read_delivery(body: bytes, received_at: datetime) -> list[NewEvent]:
    """The events of a delivery, in order, each id once. Only the envelope is read; any entry of `events` is taken.

    Raises:
        InvalidDelivery: it is not JSON, or not an envelope of API v2.
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
    entries = envelope.get("events")
    if not isinstance(entries, list):
        raise InvalidDelivery("events is not a list")
    events: dict[str, NewEvent] = {}
    for entry in entries:
        event = _new_event(entry, received_at)
        events.setdefault(event.id, event)
    return list(events.values())


def web_handler(
    intake: Intake, max_bytes: int = MAX_BYTES, at_once: int = MAX_BYTES_AT_ONCE
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """An aiohttp handler for POST.

    What is no HTTP never gets here: aiohttp itself answers 400 where head and body are damaged in the same segment.

    Args:
        intake: what takes the deliveries.
        max_bytes: bodies of more than that are refused as soon as that shows.
        at_once: the size of all bodies together that are read or wait to be stored.
    """
    held = 0

    async def receive(request: web.Request) -> web.Response:
        nonlocal held
        if stranger := intake.refuse_stranger(request.headers):
            return _response(stranger)
        if (request.content_length or 0) > max_bytes:
            return _response(intake.refuse_too_large(max_bytes))
        body = bytearray()
        try:
            async for chunk in request.content.iter_any():  # not `request.read()`: its limit is the whole application's
                body += chunk
                held += len(chunk)
                if len(body) > max_bytes:
                    return _response(intake.refuse_too_large(max_bytes))
                if held > at_once:
                    return _response(intake.refuse_too_much())
            return _response(await intake.take(bytes(body)))
        except (OSError, web.RequestPayloadError, HttpProcessingError):
            return _response(intake.refuse_broken_off())
        finally:
            held -= len(body)

    return receive


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
    )


def _header(headers: Mapping[str, str], name: str) -> str | None:
    if name in headers:
        return headers[name]
    return next((value for key, value in headers.items() if key.lower() == name.lower()), None)


def _response(answer: Answer) -> web.Response:
    headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    return web.Response(status=answer.status, text=answer.reason, headers=headers)
