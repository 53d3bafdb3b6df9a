"""Optional, reproducible faults of webhooks, API and process while a tape plays."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from bot.replay.harness import Interference, Process, Stage
from bot.sandbox.api import ApiRequest
from bot.sandbox.deliveries import next_attempt_in
from bot.sandbox.faults import Fault, Moment
from bot.store.interface import Unavailable

FAULTS = {
    "duplicate": "a delivery comes twice, up to two minutes apart",
    "reorder": "a delivery comes up to 17 seconds late, and so after others",
    "drop": "the first attempt of a delivery fails; the platform retries it",
    "lost": "a delivery never comes",
    "crash": "the process dies before, within or after a transaction, and is restarted",
    "api": "the API answers 429, 503, too late or not at all, before or after the effect; or 200 without effect",
    "store": "the database can't be written to for a moment",
}
"""The faults of `--fault`, with descriptions."""

AFTER_THE_TAPE = timedelta(minutes=10)
"""Time after the tape's last delivery at which the faults stop."""

_SHARE = {
    "duplicate": 0.2,
    "reorder": 0.2,
    "drop": 0.2,
    "lost": 0.05,
    "crash": 0.02,
    "api": 0.2,
    "store": 0.02,
}
_WRITES = frozenset({"receive", "claim", "save", "renew", "spread", "set_aside"})
_RESTART_AFTER = 2.0
_API: tuple[tuple[Fault, Moment], ...] = (
    (Fault(status=429, retry_after="2"), Moment.BEFORE),
    (Fault(status=503), Moment.BEFORE),
    (Fault(status=503), Moment.AFTER),
    (Fault(reset=True), Moment.BEFORE),
    (Fault(reset=True), Moment.AFTER),
    (Fault(refuse=True), Moment.BEFORE),
    (Fault(delay=31.0), Moment.BEFORE),
    (Fault(delay=31.0), Moment.AFTER),
)

_IGNORED = (Fault(status=200), Moment.BEFORE)  # accepted, but without effect
_CONTROL = frozenset({"PassControl", "ReleaseControl"})

Hand = Callable[[bytes], Awaitable[int]]
"""Passes a delivery to the bot; returns its answer. Raises `OSError` if there is none."""


class Mischief:
    """Injects faults, each kind with its own probability, drawn from a seed.

    Args:
        stage: the stage to disturb.
        kinds: names of `FAULTS`.
        seed: the same seed gives the same faults.
        until: no faults from this time on.
    """

    def __init__(self, stage: Stage, kinds: tuple[str, ...], seed: int, until: datetime) -> None:
        self._stage = stage
        self._kinds = frozenset(kinds)
        self._until = until
        self._draws = {kind: random.Random(f"{seed}:{kind}") for kind in FAULTS}  # noqa: S311 - repeatable
        self._tasks: set[asyncio.Task[None]] = set()
        self._after: dict[int, Fault] = {}
        self._killing: tuple[str, Process] | None = None
        if self._kinds & {"crash", "store"}:
            stage.interference = Interference(self._before, self._stored, self._within)

    @property
    def is_busy(self) -> bool:
        """Whether a delayed delivery or restart is pending."""
        return bool(self._tasks)

    async def deliver(self, hand: Hand, body: bytes) -> None:
        """Deliver with faults, and retry until accepted or given up."""
        if self._strikes("lost"):
            return
        if self._strikes("duplicate"):
            self._later(self._draws["duplicate"].uniform(0.1, 120.0), hand, body)
        if self._strikes("reorder"):
            self._later(self._draws["reorder"].uniform(0.1, 17.0), hand, body)
            return
        if self._strikes("drop"):
            self._later(next_attempt_in(1, None), hand, body, tries=1)
            return
        await self._try(hand, body, 0)

    def api(self, request: ApiRequest, moment: Moment) -> Fault | None:
        """Return the fault for a request (`bot.sandbox.faults.Faults`)."""
        if moment is Moment.AFTER:
            return self._after.pop(id(request), None)
        if not self._strikes("api"):
            return None
        fault, when = self._draws["api"].choice(
            (*_API, _IGNORED) if request.operation in _CONTROL else _API,
        )
        if when is Moment.BEFORE:
            return fault
        self._after[id(request)] = fault
        return None

    def is_unclear(self, request: ApiRequest) -> bool:
        """Return whether the answer to a request will hide whether it took effect."""
        return id(request) in self._after

    def _strikes(self, kind: str) -> bool:
        if kind not in self._kinds or self._stage.clock.now() >= self._until:
            return False
        return self._draws[kind].random() < _SHARE[kind]

    async def _try(self, hand: Hand, body: bytes, tries: int) -> None:
        try:
            status: int | None = await hand(body)
        except OSError:
            status = None
        self._later(next_attempt_in(tries + 1, status), hand, body, tries=tries + 1)

    def _later(self, seconds: float | None, hand: Hand, body: bytes, tries: int = 0) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds or 0.0)
            await self._try(hand, body, tries)

        if seconds is None:
            return
        self._spawn(wait())

    def _spawn(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _before(self, process: Process, operation: str) -> None:
        if operation in _WRITES and self._strikes("store"):
            raise Unavailable("the database can't be written to (injected fault)")
        if self._strikes("crash"):
            when = self._draws["crash"].choice(("before", "within", "after"))
            if when == "before":
                self._die(process)
            self._killing = (when, process)

    async def _stored(self, process: Process, _: str) -> None:
        if self._killing and self._killing[1] is process:
            self._killing = None
            self._die(process)

    def _within(self, moment: str) -> None:
        if self._killing and self._killing[0] == "within" and moment == "before_commit":
            process, self._killing = self._killing[1], None
            self._die(process)

    def _die(self, process: Process) -> None:
        async def restart() -> None:
            await asyncio.sleep(_RESTART_AFTER)
            await self._stage.start_process()

        self._spawn(restart())
        process.die_here()
