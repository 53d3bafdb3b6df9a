"""What the rules are told from outside: the settings that decisions depend on, and the timing of retries."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from datetime import timedelta

from bot.control.modes import Mode, ReleaseControl

PROOF_WAIT = timedelta(seconds=2)  # after a 200: how long to wait for the webhook before reading
RETRY_FIRST = timedelta(seconds=1)
RETRY_CAP = timedelta(minutes=5)
FRESH = timedelta(seconds=2)  # the age of a read that an unguarded action may rest on; more where reads are slow
FRESH_CAP = timedelta(minutes=1)
SOON = timedelta(milliseconds=500)  # before a read on which something hangs, in case a webhook tells it first
WATCH_FIRST = timedelta(minutes=10)
WATCH_CAP = timedelta(hours=6)
SETTLING = timedelta(seconds=2)  # before looking for a message that may still be on its way
TYPING_AFTER = timedelta(milliseconds=500)  # a turn that says nothing for so long shows that the bot is typing
ANSWER_PATIENCE = timedelta(minutes=1)  # for a pending effect; its answer, or the worker's death, comes sooner
PASS_ATTEMPTS = 3  # per target; then the bot goes the next way down: PASS_TO, then a release
GUARDED_ATTEMPTS = 3  # with the integration's key; then, after an end, the app key if there is one
AGAINST_ATTEMPTS = 3  # to take control from another as an operator wants; then that is given up
TAKE_ATTEMPTS = 3  # to get control that nobody has
START_PATIENCE = timedelta(minutes=10)  # with a flow that is to begin, and can't: a release to be proven, an outage
TAKEN_LATE = timedelta(seconds=10)  # a pass to the bot that was given up has taken effect by then
CLOCKS_DIFFER = timedelta(seconds=1)  # so far apart may the times of two events be that happened at once
JUST_NOW = timedelta(seconds=3)  # what a person's clock dates so soon after a change may be from before it
HEARD_LIMIT = 16  # ids of what the user said last: the same message may be told again soon after
INPUT_LIMIT = 100  # inputs kept for a flow that does not ask; more are dropped


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that the rules depend on.

    Attributes:
        me: id or name of the bot's switchboard integration.
        mode: the account's Conversation control setting.
        opens: is there a flow that serves users?
        closes: is there a flow for when control is handed back?
        integration_key: is there an `int_` key?
        app_key: is there an `app_` key?
        grace: RELEASE_GRACE; what the platform gets to do its part after an end.
        idle: FLOW_IDLE_TIMEOUT.
        closing: CLOSING_TIMEOUT; a closing flow is stopped then.
        greets: may a flow begin where the widget was opened, and nobody has written yet?
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
    """How what fails is tried again: at growing intervals, for so long.

    Attributes:
        first, cap: the first interval, and the longest.
        patience: no try after this time.
    """

    first: timedelta = RETRY_FIRST
    cap: timedelta = RETRY_CAP
    patience: timedelta = timedelta.max


HURRIED = timedelta(minutes=1)
"""Patience with a message that a control action or a read waits behind."""
MESSAGES = Retrying(patience=timedelta(minutes=5))
CLEAN_UPS = Retrying(patience=timedelta(hours=1))


def backoff(failures: int, salt: str, first: timedelta = RETRY_FIRST, cap: timedelta = RETRY_CAP) -> timedelta:
    """How long to wait after the nth failure: doubling from `first` to `cap`, less up to a quarter.

    The spread comes from `salt`, so that many conversations don't retry in step and the rules stay pure.
    """
    if failures <= 0:
        return timedelta(0)
    full: timedelta = min(cap, first * int(2 ** min(failures - 1, 20)))
    spread = zlib.crc32(f"{salt}:{failures}".encode()) / 2**32
    return full * (1 - spread / 4)
