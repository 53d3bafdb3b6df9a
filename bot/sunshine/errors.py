"""The errors of API calls, grouped by whether the action happened.

SunshineError
├── Refused            4xx: it did not happen
│   ├── Unauthorized   401: the API key is wrong
│   ├── NotOurs        403: not allowed for this key; for a release: control is not ours
│   ├── Gone           404: no such conversation (integration, webhook, …)
│   └── Locked         423: the conversation accepts no more messages
├── RateLimited        429: it did not happen; retry later
├── NotSent            no connection: it did not happen
└── Unclear            it may or may not have happened
    ├── ServerError    5xx
    └── NoAnswer       timeout while reading or writing, reset, protocol error, invalid answer

`to_answer` converts them to the terms of the control rules.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from bot.control.facts import Answer


class SunshineError(Exception):
    """An API call failed.

    `str()` and `repr()` contain only the action, the status, the API's error code and our own
    words, so no secret and no message text. `title` comes from the platform and may quote the
    request: show it at a terminal (`doctor`, `setup`), but never log it.

    Attributes:
        action: the client's method that failed.
        status: the HTTP status; None without an answer.
        code: the API's `errors[0].code`; "" if there is none.
        title: the API's `errors[0].title`; "" if there is none.
        retry_after: the platform's Retry-After; None if there is none.
    """

    says: ClassVar[str] = "failed"

    def __init__(
        self,
        action: str,
        *,
        status: int | None = None,
        code: str = "",
        title: str = "",
        retry_after: timedelta | None = None,
        detail: str = "",
    ) -> None:
        self.action = action
        self.status = status
        self.code = code
        self.title = title
        self.retry_after = retry_after
        answer = " ".join(part for part in (str(status or ""), code) if part)
        shown_answer = f" ({answer})" if answer else ""
        shown_detail = f": {detail}" if detail else ""
        super().__init__(f"{action}: {self.says}{shown_answer}{shown_detail}")


class Refused(SunshineError):
    """4xx: the platform declined. It did not happen, and a retry would not help."""

    says = "refused"


class Unauthorized(Refused):
    """401: the key id or the secret is wrong, or the key was deleted."""

    says = "the API key is wrong"


class NotOurs(Refused):
    """403: not allowed for this key; for a release: another integration has control."""

    says = "not allowed for this key"


class Gone(Refused):
    """404: the object does not exist, or this key can't see it."""

    says = "not found"


class Locked(Refused):
    """423: the conversation has 30,000 messages, and accepts no more."""

    says = "the conversation is full"


class RateLimited(SunshineError):
    """429: too many requests. It did not happen."""

    says = "too many requests"


class NotSent(SunshineError):
    """No connection (unknown host, refused, bad certificate, none free): it did not happen."""

    says = "not sent"


class Unclear(SunshineError):
    """It may or may not have happened: read before a retry."""

    says = "unclear whether it happened"


class ServerError(Unclear):
    """5xx: the platform failed, before or after the action."""

    says = "the platform failed"


class NoAnswer(Unclear):
    """The request was sent, but no valid answer came back."""

    says = "no usable answer"


def to_answer(error: SunshineError) -> Answer:
    """Convert an error to an answer of the control rules; never `ACCEPTED`."""
    match error:
        case NotOurs():
            return Answer.NOT_OURS
        case Gone():
            return Answer.GONE
        case Refused():
            return Answer.REFUSED
        case RateLimited():
            return Answer.RATE_LIMITED
        case NotSent():
            return Answer.NOT_SENT
        case Unclear() | SunshineError():  # to be safe: an unknown error may have happened
            return Answer.UNCLEAR
