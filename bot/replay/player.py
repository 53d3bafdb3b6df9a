"""Plays a tape or a part of it: repeats its facts, delivers its events."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from bot.control.policy import Policy
from bot.control.state import Conversation
from bot.flows.catalogue import Catalogue
from bot.replay.facts import Arrival, TapeFacts
from bot.replay.faults import FAULTS_STOP_AFTER, FaultInjector
from bot.replay.harness import URL, ProcessDiedError, Stage
from bot.replay.platform import TapedSwitchboard
from bot.replay.result import Owed
from bot.replay.virtual_time import EPOCH, VirtualTimeLoop, run_virtual
from bot.replay.world import Divergence, World
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Faults, Moment
from bot.sandbox.switches import Switches
from bot.simulation.record import Acknowledged, Called, Record
from bot.store.times import from_micros
from webhooks import wire
from webhooks.security import API_KEY_HEADER

REST_TIMEOUT = timedelta(hours=1)  # after the tape, for ended conversations and open duties
REST_TIMEOUT_UNTIL_QUIET = timedelta(hours=30)
_POLL_INTERVAL = timedelta(seconds=1)
_SALT = 0xFFFFFFFF  # for new ids; unlike the platform's (which begin with a time) and other sandboxes'
_LATENCY = Fault(delay=0.002)
"""The API's latency, shorter than any real one. Events have milliseconds, and without it
the bot's actions would seem to happen before their causes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to play a tape.

    Attributes:
        policy: the bot's settings, with the mode.
        catalogue: the flows.
        me: the tape's name or id of the bot's switchboard integration.
        faults: names of `FAULTS`.
        seed: the seed of the faults.
        until_quiet: play until the bot has nothing left to do in any conversation, even
            in those without an end.
        api: more faults of the API, for tests.
    """

    policy: Policy
    catalogue: Catalogue
    me: str
    faults: tuple[str, ...] = ()
    seed: int = 0
    until_quiet: bool = False
    api: Faults | None = None


@dataclass(slots=True)
class Played:
    """What a played part of a tape leaves behind.

    Attributes:
        record: the facts for the checks.
        operations: for each call in `record.calls`, its operation and conversation.
        diverged: differences from the tape.
        said: messages of the tape's bot, by conversation.
        duties: duties of the bot, by conversation.
        set_aside: ids of events that the bot could not parse.
        until_quiet: whether the bot had time to finish everywhere.
    """

    record: Record = field(default_factory=Record)
    operations: list[tuple[str, str | None]] = field(default_factory=list)
    diverged: list[Divergence] = field(default_factory=list)
    said: dict[str, list[str]] = field(default_factory=dict)
    duties: dict[str, list[Owed]] = field(default_factory=dict)
    set_aside: list[str] = field(default_factory=list)
    until_quiet: bool = False


def play(taken: TapeFacts, plan: Plan, progress: Callable[[int], None] | None = None) -> Played:
    """Play it in virtual time; report the number of events to `progress`."""
    played = Played(until_quiet=plan.until_quiet)
    luck = random.getstate()
    random.seed(plan.seed)  # makes the random pauses between read attempts repeatable
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)  # the result shows what goes wrong
    collect = gc.get_threshold()
    # The history is kept, so scanning it would cost a quarter of the time.
    gc.set_threshold(50_000, 20, 50)
    try:
        run_virtual(lambda loop: _Player(loop, taken, plan, played, progress).play())
    finally:
        gc.set_threshold(*collect)
        logging.disable(level)
        random.setstate(luck)
    return played


class _Player:
    def __init__(
        self,
        loop: VirtualTimeLoop,
        taken: TapeFacts,
        plan: Plan,
        played: Played,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._taken = taken
        self._plan = plan
        self._played = played
        self._progress = progress
        first = min(
            [told.at for told in taken.told] + [one.at for one in taken.happened],
            default=EPOCH,
        )
        self._stage = stage = Stage(
            loop,
            switches=Switches(mode="pass" if plan.policy.mode.closes_after_end else "release"),
            catalogue=plan.catalogue,
            policy=plan.policy,
            keep_mode=True,
            begins=first,
            salt=_SALT,
            model=TapedSwitchboard,
        )
        board = stage.sandbox.switchboard
        assert isinstance(board, TapedSwitchboard)  # noqa: S101 - because of `model` above
        record = played.record
        record.key, record.app_key = (
            stage.sandbox.integration_key.id,
            stage.sandbox.app_key.id,
        )
        record.closes_for_others = plan.policy.app_key
        self._world = World(board, taken, plan.policy, plan.me, (record.key, record.app_key))
        last = taken.told[-1].at if taken.told else first
        self._injector = FaultInjector(stage, plan.faults, plan.seed, last + FAULTS_STOP_AFTER)
        self._first_sent: dict[str, datetime] = {}
        self._called: dict[int, Called] = {}  # by request, while in flight
        # Wrapped by `_post`, to record what was acknowledged.
        self._stage_post = stage.sandbox.sender._post  # noqa: SLF001
        stage.sandbox.sender._post = self._post  # noqa: SLF001
        stage.sandbox.server.faults = self._call
        self._headers = {API_KEY_HEADER: stage.sandbox.secret}
        loop.set_exception_handler(self._unhandled)

    async def play(self) -> None:
        async with self._stage as stage:
            await stage.start_process()
            await self._play_tape()
            while self._injector.is_busy:
                await stage.wait(_POLL_INTERVAL)
            if not stage.alive:
                await stage.start_process()
            self._played.record.rests = await self._rest()
            self._world.finish()
            await self._keep()

    async def _play_tape(self) -> None:
        happened, delivered = iter(self._taken.happened), 0
        following = next(happened, None)
        for at, group in groupby(self._taken.told, key=lambda told: told.at):
            # First what happened up to this moment, then the deliveries that report it.
            while following is not None and following.at <= at:
                await self._until(following.at)
                self._world.happens(following)
                following = next(happened, None)
            await self._until(at)
            together = list(group)
            if len(together) == 1:
                await self._tell(together[0])
            else:  # simultaneous on the tape, so simultaneous here
                await asyncio.gather(*(self._tell(told) for told in together))
            delivered += sum(len(told.ids) for told in together)
            if self._progress and delivered >= 500:
                self._progress(delivered)
                delivered = 0
        if self._progress:
            self._progress(delivered)

    async def _until(self, at: datetime) -> None:
        wait = (at - self._stage.clock.now()).total_seconds()
        if wait > 0:
            await asyncio.sleep(wait)

    async def _tell(self, told: Arrival) -> None:
        shown = zip(told.ids, told.body["events"], strict=True)
        events = [self._shown(event_id, raw) if event_id else raw for event_id, raw in shown]
        body = {**told.body, "events": [event for event in events if event is not None]}
        if body["events"]:
            await self._injector.deliver(self._hand_in, wire.write_json(body))

    def _shown(self, event_id: str, raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The event as it is delivered now; a repeated message is delivered again."""
        first = self._taken.twins.get(event_id)
        shown = self._world.shown.get(first or event_id)
        return {**shown, "id": raw.get("id")} if first and shown else shown

    async def _hand_in(self, body: bytes) -> int:
        return await self._post(URL, self._headers, body)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        assert self._stage_post is not None  # noqa: S101
        events: list[Any] = json.loads(body)["events"]
        now = self._stage.clock.now()
        known = [event for event in events if isinstance(event, dict)]
        ids = [wire.event_id(event) for event in known]
        for event_id in ids:
            self._first_sent.setdefault(event_id, now)
        status = await self._stage_post(url, headers, body)
        if 200 <= status < 300:
            now = self._stage.clock.now()
            for event_id, event in zip(ids, known, strict=True):
                told = Acknowledged(now, self._first_sent[event_id], {**event, "id": event_id})
                self._played.record.acknowledged.append(told)
        return status

    def _call(self, request: ApiRequest, moment: Moment) -> Fault | None:
        given = self._plan.api(request, moment) if self._plan.api else None
        fault = given or self._injector.api(request, moment)
        now = self._stage.clock.now()
        if moment is Moment.BEFORE:
            body = json.loads(request.body) if request.body else {}
            called = Called(now, request.method, request.path, body)
            after = self._injector.is_unclear(request)
            called.told = fault is None and not after
            called.unclear = after or (fault is not None and fault.status != 429 and not fault.refuse)
            self._played.record.calls.append(called)
            self._called[id(request)] = called
            self._played.operations.append((request.operation, request.conversation_id))
        elif called_before := self._called.pop(id(request), None):
            called_before.place, called_before.answered = (
                len(self._stage.sandbox.switchboard.history),
                now,
            )
            if given is not None:
                called_before.told, called_before.unclear = False, True
        return fault or (_LATENCY if moment is Moment.BEFORE else None)

    async def _rest(self) -> bool:
        """Let time pass until ended conversations are closed and nothing is owed.

        With `until_quiet`, until nothing is left to do at all.
        """
        if self._plan.until_quiet:
            return await self._stage.quiet(REST_TIMEOUT_UNTIL_QUIET)
        end = self._stage.clock.now() + REST_TIMEOUT
        pause = _POLL_INTERVAL
        while not (rests := await self._settled()) and self._stage.clock.now() < end:
            await self._stage.wait(pause)
            pause = min(pause * 1.5, timedelta(minutes=2))
        return rests

    async def _settled(self) -> bool:
        stage = self._stage
        counts = await stage.store.counts(stage.clock.now())
        if counts.owed or counts.inbox or counts.outbox:
            return False
        if counts.ended_open and stage.policy.app_key:
            return False
        return stage.sandbox.sender.is_idle

    async def _keep(self) -> None:
        record, board = self._played.record, self._stage.sandbox.switchboard
        record.history = list(board.history)
        ids = dict.fromkeys(board.history.conversations())
        record.holders = {conversation_id: board.holder(conversation_id) for conversation_id in ids}
        for conversation_id in ids:
            state: Conversation | None = await self._stage.state(conversation_id)
            if state:
                record.states[conversation_id] = state
        record.inbox = self._stage.event_statuses()
        for (
            conversation_id,
            since,
            closed_at,
            action,
            reason,
            attempts,
            answer,
            proof,
        ) in self._stage.duties():
            closed = None if closed_at is None else from_micros(closed_at)
            owed = Owed(
                from_micros(since),
                action,
                reason,
                attempts,
                closed,
                proof or "",
                answer or "",
            )
            self._played.duties.setdefault(conversation_id, []).append(owed)
        self._played.set_aside = [key for key, status in record.inbox.items() if status == "set_aside"]
        self._played.diverged = self._world.diverged
        self._played.said = self._world.said

    def _unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, ProcessDiedError):
            self._played.record.errors.append(f"{context.get('message')}: {error!r}")
