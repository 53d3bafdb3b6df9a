"""Settings that the rules depend on, and the timing of retries."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from datetime import timedelta

from bot.control.modes import Mode, ReleaseControl

PROOF_WAIT = timedelta(seconds=2)  # after a 200, for its webhook; then a read
RETRY_FIRST = timedelta(seconds=1)
RETRY_CAP = timedelta(minutes=5)
FRESH = timedelta(seconds=2)  # maximum age of the read before an unguarded action, at first
FRESH_CAP = timedelta(minutes=1)
SOON = timedelta(milliseconds=500)  # before an important read: a webhook may come first
WATCH_FIRST = timedelta(minutes=10)
WATCH_CAP = timedelta(hours=6)
SETTLING = timedelta(seconds=2)  # before looking for a message that may be in transit
TYPING_AFTER = timedelta(milliseconds=500)  # of a silent turn, before the typing indicator
ANSWER_PATIENCE = timedelta(minutes=1)  # for a pending effect; normally an answer comes first
PASS_ATTEMPTS = 3  # per target; then PASS_TO, then a release
GUARDED_ATTEMPTS = 3  # with the integration key; then, after an end, the app key
AGAINST_ATTEMPTS = 3  # to take control from another, as an operator asked
TAKE_ATTEMPTS = 3  # to take control that nobody has
START_PATIENCE = timedelta(minutes=10)  # for a requested flow that can't begin yet
TAKEN_LATE = timedelta(seconds=10)  # until an abandoned pass to the bot has taken effect
CLOCKS_DIFFER = timedelta(seconds=1)  # maximum clock skew between two sources
JUST_NOW = timedelta(seconds=3)  # within this time of a change, a person's clock proves no order
HEARD_LIMIT = 16  # recent message ids, by which a repeated message is known
INPUT_LIMIT = 100  # unread inputs per conversation; more are dropped


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings that the rules depend on.

    Attributes:
        me: id or name of the bot's switchboard integration.
        mode: the account's Conversation control setting.
        opens: a flow serves users.
        closes: a flow runs when control is handed back.
        integration_key: there is an `int_` key.
        app_key: there is an `app_` key.
        grace: RELEASE_GRACE; the platform's time to act after an end.
        idle: FLOW_IDLE_TIMEOUT.
        closing: CLOSING_TIMEOUT; the time limit of a closing flow.
        greets: a flow may begin when the widget opens, before anyone writes.
    """

    me: str
    mode: Mode = field(default_factory=ReleaseControl)
    opens: bool = True
    closes: bool = True
    integration_key: bool = True
    app_key: bool = False
    grace: timedelta = timedelta(seconds=15)
    idle: timedelta = timedelta(minutes=15)
    closing: timedelta = timedelta(minutes=10)
    greets: bool = False


@dataclass(frozen=True, slots=True)
class Retrying:
    """Retry schedule: growing intervals, up to a time limit.

    Attributes:
        first, cap: the first and the longest interval.
        patience: no retry after this time.
    """

    first: timedelta = RETRY_FIRST
    cap: timedelta = RETRY_CAP
    patience: timedelta = timedelta.max


HURRIED = timedelta(minutes=1)
"""Patience for a message that a control action or a read waits behind."""
MESSAGES = Retrying(patience=timedelta(minutes=5))
CLEAN_UPS = Retrying(patience=timedelta(hours=1))


def backoff(
    failures: int,
    salt: str,
    first: timedelta = RETRY_FIRST,
    cap: timedelta = RETRY_CAP,
) -> timedelta:
    """Return the wait after the nth failure: doubling from `first` to `cap`, minus up to a quarter.

    The jitter comes from `salt`: conversations don't retry in step, and the rules stay
    pure.
    """
    if failures <= 0:
        return timedelta(0)
    full: timedelta = min(cap, first * int(2 ** min(failures - 1, 20)))
    spread = zlib.crc32(f"{salt}:{failures}".encode()) / 2**32
    return full * (1 - spread / 4)
