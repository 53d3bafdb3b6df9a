"""What an HTTP answer means: a body and the time from which it holds, or the error that it is."""

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

LONGEST_TITLE: Final = 300
_RESOLUTION: Final = timedelta(seconds=1)  # of the Date header (RFC 9110, section 5.6.7)
_CODE: Final = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_SECONDS: Final = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)
_REFUSALS: Final[Mapping[int, type[Refused]]] = {401: Unauthorized, 403: NotOurs, 404: Gone, 423: Locked}


@dataclass(frozen=True, slots=True)
class Reply:
    """A 2xx answer: its JSON object ({} for an empty body), and the moment from which it surely holds."""

    body: Mapping[str, Any]
    at: datetime


def read_reply(action: str, response: httpx2.Response, started: datetime) -> Reply:
    """Read an answer.

    Args:
        action: the client's method, for errors.
        response: with its body read.
        started: when the request was begun, by our clock.

    Raises:
        SunshineError: it is not 2xx, or its body is not a JSON object.
    """
    if not response.is_success:
        raise failure(action, response, started)
    body = _parse(response.content) if response.content else {}
    if not isinstance(body, Mapping):
        raise NoAnswer(action, status=response.status_code, detail="the body is not a JSON object")
    return Reply(body, holds_from(response.headers.get("date"), started))


def failure(action: str, response: httpx2.Response, now: datetime) -> SunshineError:
    """The error that an answer other than 2xx is."""
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
        return _REFUSALS.get(status, Refused)(action, status=status, code=code, title=title, retry_after=wait)
    return NoAnswer(action, status=status, detail="redirects are not followed; is the base URL right?")


def holds_from(date: str | None, started: datetime) -> datetime:
    """The moment from which an answer surely holds, for comparison with the `createdAt` of events.

    Our clock may be ahead of the platform's, so the platform's Date (which has lost its fraction of a second) is
    an upper bound.

    Args:
        date: the answer's Date header.
        started: when the request was begun, by our clock.
    """
    platform = _http_date(date)
    return started if platform is None else min(started - _RESOLUTION, platform) + _RESOLUTION


def retry_after(headers: httpx2.Headers, now: datetime) -> timedelta | None:
    """How long Retry-After (seconds, or a date) asks to wait; None where it is missing or unreadable.

    A date is compared with the answer's own Date where there is one, so that our clock plays no part.
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
                title[:LONGEST_TITLE] if isinstance(title, str) else "",
            )
        case _:
            return "", ""
