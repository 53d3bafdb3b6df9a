"""Lasting troubles: tells the first failure of a kind at once, then ever more rarely, and once when it is over."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from bot.signals import Level, Observe, Signal, silent

MINUTE = 60.0
CALM = 10.0
"""Seconds without a failure, after a success, until a trouble is over; six times as many each time it has come back."""

FLAPPING = 10 * MINUTE
"""A trouble that comes back within this many seconds is the old one, and begins no new series of lines."""

DATABASE_TODO = "Mend that. Until then webhooks are answered 503; nothing that was answered 200 is lost."

FORGOTTEN = 60 * MINUTE
"""A trouble that nobody has met again for so many seconds is over, although nothing has shown that it works."""

MOST_PLACES = 100  # that are told apart for each kind; all further ones count as one
ELSEWHERE = "other"


class What(StrEnum):
    """The kinds of trouble: the values of `switchboard_trouble{what}`."""

    KEY = "key"
    """The platform refuses an API key."""
    APP = "app"
    """The platform does not know the app."""
    API = "api"
    """The API is out of reach, or fails."""
    RATE_LIMIT = "rate_limit"
    """The API refuses calls because there are too many."""
    DATABASE = "database"
    """The database, or the disk under it, can't be used."""
    SWITCHBOARD = "switchboard"
    """The switchboard integration of the settings is not there."""
    BACKEND = "backend"
    """A function behind `chat.call` fails."""
    LOOP = "loop"
    """Code blocks the event loop: no conversation goes on."""


MUST_ACT = frozenset({What.KEY, What.APP, What.DATABASE, What.SWITCHBOARD, What.LOOP})
"""These never pass by themselves."""

_MAY_PASS = frozenset({What.RATE_LIMIT})

_ONE_CAUSE = frozenset({What.KEY, What.SWITCHBOARD})
TOGETHER = 5 * MINUTE
"""Troubles of these kinds that begin within so many seconds, such as two keys that are refused, have one cause.
(The second key may be needed minutes later.)"""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A trouble that lasts.

    Attributes:
        what: its kind.
        where: what it is about: a setting, or a function. Empty where the kind says it all.
        problem: what failed. No secret, and nothing that somebody said.
        todo: what an operator can do.
        status: the HTTP status of the newest failure; None where there was none.
        seconds: how long it has lasted.
        times: how often it has failed.
    """

    what: What
    where: str
    problem: str
    todo: str
    status: int | None
    seconds: float
    times: int


@dataclass(slots=True)
class _Record:
    """What is known of one trouble. Times in seconds of the injected clock."""

    problem: str
    todo: str
    status: int | None
    first: float
    last: float
    urgent: bool = False
    times: int = 1
    lines: int = 0  # that told that it lasts
    told: int = 1  # failures, at the newest line
    told_at: float = -math.inf  # when it was told that it lasts
    worked: float | None = None  # the first success since the newest failure
    over: float | None = None
    silent: bool = False  # came back so soon that its return was not told
    returns: int = 0

    @property
    def calm(self) -> float:
        """Seconds without a failure until it is over."""
        if self.worked is None:
            return FORGOTTEN
        return CALM * (1.0, 6.0, 36.0)[min(self.returns, 2)]


@dataclass(slots=True)
class Troubles:
    """Decides when a trouble is told. Does no I/O, and may be used from any thread.

    A line is told at the first failure, and after 1, 4, 16, … minutes while the trouble lasts. It is over once it has
    worked and nothing has failed for `CALM` seconds. `look` is to be called every few seconds.

    Args:
        observe: gets `trouble_began`, `trouble_lasts` and `trouble_over`.
        seconds: a monotonic clock.
    """

    observe: Observe = silent
    seconds: Callable[[], float] = time.monotonic
    _records: dict[tuple[What, str], _Record] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def failed(
        self,
        what: What,
        problem: str,
        todo: str,
        *,
        where: str = "",
        status: int | None = None,
        urgent: bool = False,
    ) -> None:
        """Note a failure, and tell it if it is the first of its kind.

        Args:
            what: its kind.
            problem: what failed, in words without a secret and without anything that somebody said.
            todo: what an operator can do.
            where: the setting or the function that it is about.
            status: the HTTP status, if there was one.
            urgent: an operator must act, whatever the kind.
        """
        with self._lock:
            now, key = self.seconds(), self._key(what, where)
            record = self._records.get(key)
            if record is None or (record.over is not None and now - record.over >= FLAPPING):
                self._records[key] = record = _Record(problem, todo, status, now, now, urgent)
                self._tell("trouble_began", key, record)
                return
            if record.over is not None:
                record.over, record.silent, record.returns = None, True, record.returns + 1
            record.problem, record.todo, record.status = problem, todo, status
            record.times, record.last, record.worked = record.times + 1, now, None
            self._tell_if_due(key, record, now)

    def works(self, what: What, where: str = "") -> None:
        """Note a success."""
        if not self._records:
            return
        with self._lock:
            record = self._records.get(self._key(what, where))
            if record and record.over is None and record.worked is None:
                record.worked = self.seconds()

    def look(self) -> None:
        """Tell what has become due: which troubles still last, and which are over."""
        with self._lock:
            now = self.seconds()
            for key, record in list(self._records.items()):
                if record.over is not None:
                    if now - record.over >= FLAPPING:
                        del self._records[key]
                elif now - record.last >= record.calm:
                    record.over = now if record.worked is None else record.worked
                    if not record.silent:
                        self._tell("trouble_over", key, record)
                elif record.worked is None:
                    self._tell_if_due(key, record, now)

    def lasting(self) -> list[Trouble]:
        """The troubles that last, those with the most failures first."""
        found = [
            Trouble(*key, record.problem, record.todo, record.status, self.seconds() - record.first, record.times)
            for key, record in self._known()
            if record.over is None
        ]
        return sorted(found, key=lambda trouble: (-trouble.times, trouble.what, trouble.where))

    def lasts(self, what: What) -> bool:
        """Is there a trouble of this kind?"""
        return any(kind is what and record.over is None for (kind, _), record in self._known())

    def fails(self, what: What) -> str:
        """Why things of this kind fail at the moment; empty if the newest try has worked."""
        return next(
            (
                record.problem
                for (kind, _), record in self._known()
                if kind is what and record.over is None and record.worked is None
            ),
            "",
        )

    def _known(self) -> list[tuple[tuple[What, str], _Record]]:
        with self._lock:
            return list(self._records.items())

    def _key(self, what: What, where: str) -> tuple[What, str]:
        if (what, where) in self._records or len(self._records) < MOST_PLACES:
            return what, where
        return what, ELSEWHERE

    def _tell_if_due(self, key: tuple[What, str], record: _Record, now: float) -> None:
        if now - record.first < MINUTE * 4**record.lines or record.times == record.told:
            return
        while now - record.first >= MINUTE * 4**record.lines:
            record.lines += 1
        record.silent, record.told = False, record.times
        if self._is_told_by_another(key, record, now):
            return
        record.told_at = now
        self._tell("trouble_lasts", key, record)

    def _is_told_by_another(self, key: tuple[What, str], record: _Record, now: float) -> bool:
        """Has just been told that another of its kind lasts, which began together with it? They have one cause."""
        return key[0] in _ONE_CAUSE and any(
            other is not record
            and kind is key[0]
            and abs(other.first - record.first) <= TOGETHER
            and now - other.told_at <= TOGETHER
            for (kind, _), other in self._records.items()
        )

    def _tell(self, event: str, key: tuple[What, str], record: _Record) -> None:
        what, where = key
        fields: dict[str, object] = {"what": what.value}
        if where:
            fields["where"] = where
        end = record.last if record.over is None else record.over
        if event == "trouble_over":
            fields |= {"seconds": round(end - record.first, 1), "times": record.times}
            self.observe(Signal("trouble_over", Level.INFO, fields=fields))
            return
        fields["problem"] = record.problem
        if record.status is not None:
            fields["status"] = record.status
        fields["todo"] = record.todo
        if event == "trouble_began":
            level = Level.ERROR if record.urgent else _level(what, 0)
            self.observe(Signal("trouble_began", level, fields=fields))
            return
        fields |= {"seconds": round(self.seconds() - record.first, 1), "times": record.times}
        self.observe(Signal("trouble_lasts", _level(what, record.lines), fields=fields))


def database_failed(troubles: Troubles, error: Exception) -> None:
    """Note that the database could not be used. `error` says why, in words that may be logged (`StoreError`)."""
    told = isinstance(error, OSError) and error.strerror
    problem = told or str(error) or type(error).__name__
    troubles.failed(What.DATABASE, problem, DATABASE_TODO)


def _level(what: What, lines: int) -> Level:
    """`error` where an operator must act: at once, or because it does not pass by itself."""
    if what in MUST_ACT or (lines and what not in _MAY_PASS):
        return Level.ERROR
    return Level.WARNING
