"""What can go wrong with a call of the API, sorted by the one question that matters: did it happen?

SunshineError
├── Refused            4xx: understood and declined; it did not happen
│   ├── Unauthorized   401: the API key is wrong
│   ├── NotOurs        403: not allowed to this key; for a release: control is not ours
│   ├── Gone           404: there is no such conversation (integration, webhook, …)
│   └── Locked         423: the conversation takes no more messages
├── RateLimited        429: it did not happen; later perhaps
├── NotSent            no connection was made: it did not happen
└── Unclear            it may or may not have happened
    ├── ServerError    5xx
    └── NoAnswer       time-out while reading or writing, reset, protocol error, an answer that can't be read

`to_answer` says the same in the words of the control rules.
"""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from bot.control.facts import Answer


class SunshineError(Exception):
    """A call of the API failed.

    `str()` and `repr()` are made of the action, the status, the API's error code and words of our own, so they
    hold no secret and no message text. `title` is the platform's own sentence and may quote what was sent: it is
    for people at a terminal (`doctor`, `setup`), not for logs.

    Attributes:
        action: the client's method that failed.
        status: the HTTP status; None where there was no answer, or nothing was sent.
        code: the API's `errors[0].code`, "" where there is none.
        title: the API's `errors[0].title`, "" where there is none.
        retry_after: how long the platform asked to wait; None where it did not.
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
        answered = " ".join(part for part in (str(status or ""), code) if part)
        super().__init__(
            f"{action}: {self.says}" + (f" ({answered})" if answered else "") + (f": {detail}" if detail else "")
        )


class Refused(SunshineError):
    """4xx: the platform understood and declined. It did not happen, and the same request will not."""

    says = "refused"


class Unauthorized(Refused):
    """401: the key id or the secret is wrong, or the key was deleted."""

    says = "the API key is wrong"


class NotOurs(Refused):
    """403: this key may not do that; a release by an integration key: another integration has control."""

    says = "not allowed to this key"


class Gone(Refused):
    """404: there is no such thing, or none that this key can see."""

    says = "not found"


class Locked(Refused):
    """423: the conversation has 30,000 messages and takes no more."""

    says = "the conversation is full"


class RateLimited(SunshineError):
    """429: too many requests. It did not happen."""

    says = "too many requests"


class NotSent(SunshineError):
    """No connection was made (no such host, refused, bad certificate, none free): it did not happen."""

    says = "not sent"


class Unclear(SunshineError):
    """It may or may not have happened: read before doing it again."""

    says = "unclear whether it happened"


class ServerError(Unclear):
    """5xx: the platform failed, before or after it did what was asked."""

    says = "the platform failed"


class NoAnswer(Unclear):
    """The request left, and no answer came back that can be read."""

    says = "no usable answer"


def to_answer(error: SunshineError) -> Answer:
    """Say in the words of the control rules how a call failed; never `ACCEPTED`."""
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
        case Unclear() | SunshineError():  # what fits no branch may have happened: the careful reading
            return Answer.UNCLEAR
