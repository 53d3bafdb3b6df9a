"""Converts HTTP answers to replies or errors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2

from bot.sunshine.errors import (
    Gone,
    Locked,
    NoAnswer,
    NotOurs,
    RateLimited,
    Refused,
    ServerError,
    SunshineError,
    Unauthorized,
)

MAX_TITLE_LENGTH: Final = 300
_RESOLUTION: Final = timedelta(seconds=1)  # of the Date header (RFC 9110, section 5.6.7)
_CODE: Final = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_SECONDS: Final = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)
_REFUSALS: Final[Mapping[int, type[Refused]]] = {
    401: Unauthorized,
    403: NotOurs,
    404: Gone,
    423: Locked,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A 2xx answer: its JSON object ({} if empty), and the time from which it is certain."""

    body: Mapping[str, Any]
    at: datetime


def read_reply(action: str, response: httpx2.Response, started: datetime) -> Reply:
    """Convert an HTTP answer to a reply.

    Args:
        action: the client's method, for errors.
        response: the answer, with its body read.
        started: the start of the request, by our clock.

    Raises:
        SunshineError: the status is not 2xx, or the body is not a JSON object.
    """
    if not response.is_success:
        raise failure(action, response, started)
    body = _parse(response.content) if response.content else {}
    if not isinstance(body, Mapping):
        raise NoAnswer(action, status=response.status_code, detail="the body is not a JSON object")
    return Reply(body, holds_from(response.headers.get("date"), started))


def failure(action: str, response: httpx2.Response, now: datetime) -> SunshineError:
    """Convert an answer other than 2xx to an error."""
    status = response.status_code
    code, title = _first_error(response.content)
    wait = retry_after(response.headers, now)
    if status == 429:
        return RateLimited(action, status=status, code=code, title=title, retry_after=wait)
    if status >= 500:
        return ServerError(action, status=status, code=code, title=title, retry_after=wait)
    if status == 408:
        return NoAnswer(action, status=status, code=code, title=title, retry_after=wait)
    if status >= 400:
        kind = _REFUSALS.get(status, Refused)
        return kind(action, status=status, code=code, title=title, retry_after=wait)
    detail = "redirects are not followed; check the base URL"
    return NoAnswer(action, status=status, detail=detail)


def holds_from(date: str | None, started: datetime) -> datetime:
    """Return the time from which an answer is certain, for comparison with `createdAt`.

    Our clock may be ahead of the platform's, so the Date header is an upper bound. It has no
    fraction of a second.

    Args:
        date: the Date header of the answer.
        started: the start of the request, by our clock.
    """
    platform = _http_date(date)
    return started if platform is None else min(started - _RESOLUTION, platform) + _RESOLUTION


def retry_after(headers: httpx2.Headers, now: datetime) -> timedelta | None:
    """Parse Retry-After (seconds, or a date); None if it is missing or invalid.

    A date is compared with the answer's Date header if there is one, not with our clock.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return timedelta(seconds=float(value))
    date = _http_date(value)
    if date is None:
        return None
    return max(date - (_http_date(headers.get("date")) or now), timedelta(0))


def _http_date(value: str | None) -> datetime | None:
    if not value:
        return None
    try:
        date = parsedate_to_datetime(value)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _first_error(content: bytes) -> tuple[str, str]:
    match _parse(content):
        case {"errors": [{**error}, *_]}:
            code, title = error.get("code"), error.get("title")
            return (
                code if isinstance(code, str) and _CODE.fullmatch(code) else "",
                title[:MAX_TITLE_LENGTH] if isinstance(title, str) else "",
            )
        case _:
            return "", ""
