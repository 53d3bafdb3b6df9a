"""Ongoing troubles: reports the first failure, then ever more rarely, and the recovery."""

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
"""Seconds without failures, after a success, until a trouble is over. Six times longer for
each return."""

FLAPPING = 10 * MINUTE
"""A trouble that returns within this many seconds continues the old one."""

DATABASE_TODO = "Fix this. Until then webhooks are answered 503; no stored event is lost."

FORGOTTEN = 60 * MINUTE
"""Seconds without any attempt after which a trouble is over, even without a success."""

MAX_PLACES = 100  # records kept; further places count as "other"
ELSEWHERE = "other"


class What(StrEnum):
    """The kinds of trouble, which are the values of `switchboard_trouble{what}`."""

    KEY = "key"
    """The platform rejects an API key."""
    APP = "app"
    """The platform does not know the app."""
    API = "api"
    """The API is unreachable, or fails."""
    RATE_LIMIT = "rate_limit"
    """The API refuses calls because of the rate limit."""
    DATABASE = "database"
    """The database or its disk can't be used."""
    SWITCHBOARD = "switchboard"
    """The switchboard integration in the settings does not exist."""
    BACKEND = "backend"
    """A function behind `chat.call` fails."""
    LOOP = "loop"
    """Code blocks the event loop, so conversations are stalled."""


MUST_ACT = frozenset({What.KEY, What.APP, What.DATABASE, What.SWITCHBOARD, What.LOOP})
"""Kinds that never resolve themselves."""

_MAY_PASS = frozenset({What.RATE_LIMIT})

_ONE_CAUSE = frozenset({What.KEY, What.SWITCHBOARD})
TOGETHER = 5 * MINUTE
"""Troubles of these kinds that begin within this many seconds have one cause, such as two
rejected keys. (The second key may be used minutes later.)"""


@dataclass(frozen=True, slots=True)
class Trouble:
    """An ongoing trouble.

    Attributes:
        what: the kind.
        where: the affected setting or function; empty if the kind is enough.
        problem: what failed, without secrets and users' words.
        todo: what an operator can do.
        status: the HTTP status of the newest failure; None if there is none.
        seconds: time since the first failure.
        times: number of failures.
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
    """The state of a trouble. Times are in seconds of the injected clock."""

    problem: str
    todo: str
    status: int | None
    first: float
    last: float
    urgent: bool = False
    times: int = 1
    lines: int = 0  # number of `trouble_lasts` lines
    reported: int = 1  # failures at the newest line
    reported_at: float = -math.inf  # the newest `trouble_lasts` line
    worked: float | None = None  # the first success since the newest failure
    over: float | None = None
    silent: bool = False  # returned so soon that the return was not reported
    returns: int = 0

    @property
    def calm(self) -> float:
        """Seconds without failures until the trouble is over."""
        if self.worked is None:
            return FORGOTTEN
        return CALM * (1.0, 6.0, 36.0)[min(self.returns, 2)]


@dataclass(slots=True)
class Troubles:
    """Decides when to report a trouble. Does no I/O, and is thread-safe.

    Reports the first failure, and then after 1, 4, 16, … minutes while the trouble lasts. It is
    over after a success and `CALM` seconds without failures. Call `look` every few seconds.

    Args:
        observe: receives `trouble_began`, `trouble_lasts` and `trouble_over`.
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
        """Record a failure, and report it if it is the first of its kind.

        Args:
            what: the kind.
            problem: what failed, without secrets and users' words.
            todo: what an operator can do.
            where: the affected setting or function.
            status: the HTTP status, if there is one.
            urgent: an operator must act, whatever the kind.
        """
        with self._lock:
            now, key = self.seconds(), self._key(what, where)
            record = self._records.get(key)
            is_new = record is None
            if record is not None and record.over is not None:
                is_new = now - record.over >= FLAPPING
            if record is None or is_new:
                self._records[key] = record = _Record(problem, todo, status, now, now, urgent)
                self._report("trouble_began", key, record)
                return
            if record.over is not None:
                record.over, record.silent, record.returns = None, True, record.returns + 1
            record.problem, record.todo, record.status = problem, todo, status
            record.times, record.last, record.worked = record.times + 1, now, None
            self._report_if_due(key, record, now)

    def works(self, what: What, where: str = "") -> None:
        """Record a success."""
        if not self._records:
            return
        with self._lock:
            record = self._records.get(self._key(what, where))
            if record and record.over is None and record.worked is None:
                record.worked = self.seconds()

    def look(self) -> None:
        """Report troubles that still last, and those that are over, as they become due."""
        with self._lock:
            now = self.seconds()
            for key, record in list(self._records.items()):
                if record.over is not None:
                    if now - record.over >= FLAPPING:
                        del self._records[key]
                elif now - record.last >= record.calm:
                    record.over = now if record.worked is None else record.worked
                    if not record.silent:
                        self._report("trouble_over", key, record)
                elif record.worked is None:
                    self._report_if_due(key, record, now)

    def lasting(self) -> list[Trouble]:
        """Return the ongoing troubles, those with the most failures first."""
        found = [
            Trouble(
                *key,
                record.problem,
                record.todo,
                record.status,
                self.seconds() - record.first,
                record.times,
            )
            for key, record in self._known()
            if record.over is None
        ]
        return sorted(found, key=lambda trouble: (-trouble.times, trouble.what, trouble.where))

    def lasts(self, what: What) -> bool:
        """Return whether a trouble of this kind is ongoing."""
        return any(kind is what and record.over is None for (kind, _), record in self._known())

    def fails(self, what: What) -> str:
        """Return why this kind fails now; empty if the newest attempt succeeded."""
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
        if (what, where) in self._records or len(self._records) < MAX_PLACES:
            return what, where
        return what, ELSEWHERE

    def _report_if_due(self, key: tuple[What, str], record: _Record, now: float) -> None:
        if now - record.first < MINUTE * 4**record.lines or record.times == record.reported:
            return
        while now - record.first >= MINUTE * 4**record.lines:
            record.lines += 1
        record.silent, record.reported = False, record.times
        if self._is_covered(key, record, now):
            return
        record.reported_at = now
        self._report("trouble_lasts", key, record)

    def _is_covered(self, key: tuple[What, str], record: _Record, now: float) -> bool:
        """Return whether a trouble with the same cause has just been reported."""
        return key[0] in _ONE_CAUSE and any(
            other is not record
            and kind is key[0]
            and abs(other.first - record.first) <= TOGETHER
            and now - other.reported_at <= TOGETHER
            for (kind, _), other in self._records.items()
        )

    def _report(self, event: str, key: tuple[What, str], record: _Record) -> None:
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
    """Record that the database is unusable. The message of `error` must be safe to log."""
    os_error = isinstance(error, OSError) and error.strerror
    problem = os_error or str(error) or type(error).__name__
    troubles.failed(What.DATABASE, problem, DATABASE_TODO)


def _level(what: What, lines: int) -> Level:
    """Return `error` if an operator must act: at once, or because the trouble persists."""
    if what in MUST_ACT or (lines and what not in _MAY_PASS):
        return Level.ERROR
    return Level.WARNING
