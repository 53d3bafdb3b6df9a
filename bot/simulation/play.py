"""Plays a scenario with its faults, then lets the bot come to rest without faults."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from bot.control.by_hand import prospect
from bot.control.modes import mode_named
from bot.control.policy import Policy
from bot.engine.orders import flow_order, release_order
from bot.flows.catalogue import Catalogue
from bot.replay.harness import Interference, Process, ProcessDied, Stage
from bot.replay.virtual_time import Stuck, VirtualTimeLoop, run_virtual
from bot.sandbox.api import ApiRequest
from bot.sandbox.errors import ApiError, NotPossibleError
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.history import Entry, Kind
from bot.sandbox.records import Caller
from bot.sandbox.switchboard import ANSWERS, BOT, WORKSPACE
from bot.sandbox.users import Visitor
from bot.signals import Signal
from bot.simulation import flows
from bot.simulation.outside import Outside
from bot.simulation.record import Acknowledged, Called, Ordered, Record
from bot.simulation.scenario import Act, Incident, Scenario
from bot.store.interface import Unavailable
from webhooks.inbox import NewEvent

FAULTS_STOP = timedelta(hours=2)  # after the last act
REST_TIMEOUT = timedelta(hours=30)  # more than twice the slowest watch interval
RESTART_AFTER = 2.0  # seconds
JITTER_LASTS = 3.0  # seconds
MOST_HAND_BACKS = 40  # enough for the checks to notice
OTHER_BOT = Caller("the other bot", "app")
ELSEWHERE = Caller("another system", "app")
WRITES = frozenset({"receive", "claim", "save", "renew", "spread", "set_aside"})


def play(scenario: Scenario) -> Record:
    """Play a scenario to its end in virtual time."""
    record = Record(
        closes_for_others=scenario.app_key,
        tells_holders=scenario.outside.half_told != "nothing",
        is_faultless=not scenario.incidents and scenario.outside == Outside(),
    )
    try:
        run_virtual(lambda loop: _Run(scenario, record, loop).play())
    except Stuck as error:
        record.errors.append(f"stuck: {error}")
    return record


class _Run:
    def __init__(self, scenario: Scenario, record: Record, loop: VirtualTimeLoop) -> None:
        self._scenario = scenario
        self._record = record
        self._loop = loop
        self._numbers = count(1)
        self._hand_backs: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._faults_on = True
        self._luck = random.Random(f"jitter {scenario.seed}")  # noqa: S311 - must be repeatable
        self._api_down_until = 0.0
        self._store_down_until = 0.0
        self._lost: set[bytes] = set()
        self._after: dict[int, Fault] = {}  # by request: the fault after it took effect
        self._called: dict[int, Called] = {}  # by request, while in flight
        self._first_sent: dict[str, datetime] = {}
        self._kill: tuple[str, Process] | None = None
        self._later: set[asyncio.Task[Any]] = set()
        made = (flows.opening, flows.closing, flows.endless, flows.reminder)
        known = {flow.name: flow for flow in made}
        catalogue = Catalogue(known, "opening", scenario.closing)
        policy = Policy(
            me=BOT,
            mode=mode_named(scenario.mode, WORKSPACE),
            closes=bool(scenario.closing),
            integration_key=scenario.integration_key,
            app_key=scenario.app_key,
        )
        self._stage = Stage(
            loop,
            switches=scenario.switches,
            catalogue=catalogue,
            policy=policy,
            keep_mode=scenario.keep_mode,
            batch=scenario.batch,
        )
        # Deliveries pass through `_deliver`, which adds the faults.
        self._post = self._stage.sandbox.sender._post  # noqa: SLF001
        self._stage.sandbox.sender._post = self._deliver  # noqa: SLF001
        self._stage.sandbox.server.faults = self._api_fault
        self._stage.interference = Interference(
            store=self._before_store,
            stored=self._after_store,
            transaction=self._in_transaction,
        )
        self._stage.observe = self._observe
        self._stage.answered = scenario.outside.answered
        self._jitter_until, self._jitter = 0.0, 0.0
        if scenario.other_bot:
            self._stage.sandbox.switchboard.observers.append(self._other_bot_sees)
        loop.set_exception_handler(self._unhandled)

    async def play(self) -> None:
        async with self._stage as stage:
            record = self._record
            record.key, record.app_key = (
                stage.sandbox.integration_key.id,
                stage.sandbox.app_key.id,
            )
            await stage.start_process()
            world = [self._spawn(self._happen(incident)) for incident in self._scenario.incidents]
            await asyncio.gather(
                *(self._talk(number, talk) for number, talk in enumerate(self._scenario.talks)),
            )
            await stage.wait(FAULTS_STOP)
            self._faults_on = False
            await asyncio.wait(world) if world else None
            if not stage.alive:
                await stage.start_process()
            record.rests = await stage.quiet(REST_TIMEOUT)
            record.history = list(stage.sandbox.switchboard.history)
            record.holders = {
                conversation_id: stage.sandbox.switchboard.holder(conversation_id)
                for conversation_id in stage.sandbox.switchboard.history.conversations()
            }
            for conversation_id in record.holders:
                if state := await stage.state(conversation_id):
                    record.states[conversation_id] = state
            record.inbox = stage.event_statuses()
            record.log += [
                f"{entry.at.isoformat()} {entry.kind} {entry.actor} {entry.conversation_id} {entry.holder} {entry.text}"
                for entry in record.history
            ]
            for task in self._later:
                task.cancel()

    # -- people ----------------------------------------------------------------------

    async def _talk(self, number: int, talk: tuple[Act, ...]) -> None:
        visitor = self._stage.sandbox.visitor(f"Visitor {number}")
        other = self._stage.sandbox.visitor(f"Other {number}")
        for act in talk:
            await asyncio.sleep(max(0.0, act.at - self._loop.time()))
            try:
                await self._act(act, visitor, other)
            except (NotPossibleError, ApiError, LookupError):
                continue

    async def _act(self, act: Act, visitor: Visitor, other: Visitor) -> None:
        match act.who:
            case "user":
                await self._user_acts(act, visitor)
            case "agent":
                self._agent_acts(act, visitor.conversation_id)
            case "trigger":
                now = self._stage.clock.now()
                self._stage.sandbox.switchboard.trigger_says(
                    visitor.conversation_id,
                    "We are busy.",
                    now,
                )
            case "system":
                await self._flow_begins(visitor.conversation_id)
            case "operator":
                await self._operator_acts(act, visitor.conversation_id)
            case _:
                self._platform_acts(act, visitor, other)

    async def _user_acts(self, act: Act, visitor: Visitor) -> None:
        match act.what:
            case "opens":
                await visitor.opens()
            case "says":
                await visitor.says(act.text)
            case "answers":
                await visitor.taps("Good")
            case _:
                await visitor.ends()

    def _agent_acts(self, act: Act, conversation_id: str) -> None:
        board, now = self._stage.sandbox.switchboard, self._stage.clock.now()
        match act.what:
            case "says":
                board.agent_says(conversation_id, "agent here", now)
            case "closes":
                board.close_ticket(conversation_id, now)
            case "emails":
                board.transfer_to_email(conversation_id, now)
            case _:
                board.agent_ends(conversation_id, now)

    async def _operator_acts(self, act: Act, conversation_id: str) -> None:
        """Order a release from a process without other work; `takes` confirms a take-over."""
        state, now = await self._stage.state(conversation_id), self._stage.clock.now()
        if state is None:
            return
        foreseen = prospect(state, self._stage.policy)
        against = foreseen.against if act.what == "takes" else None
        order = release_order(
            conversation_id,
            by="operator",
            now=now,
            order_id=str(len(self._record.orders)),
            against=against,
        )
        if await self._order(order):
            who = str(state.holder) if against else None
            self._record.orders.append(Ordered(order.id, now, conversation_id, who))
            self._stage.look(conversation_id)

    async def _flow_begins(self, conversation_id: str) -> None:
        """Begin a flow by the API, even if something is in the way: the engine decides."""
        number, now = next(self._numbers), self._stage.clock.now()
        order = flow_order(
            conversation_id,
            flows.reminder.name,
            {"number": number},
            key=str(number),
            now=now,
        )
        if await self._order(order):
            self._stage.look(conversation_id)

    async def _order(self, order: NewEvent) -> bool:
        """Write an order from a process of its own, unaffected by a pending kill."""
        kill, self._kill = self._kill, None
        try:
            return await self._stage.store.order(order)
        finally:
            self._kill = kill

    def _platform_acts(self, act: Act, visitor: Visitor, other: Visitor) -> None:
        board, now = self._stage.sandbox.switchboard, self._stage.clock.now()
        match act.what:
            case "takes":
                board.pass_control(visitor.conversation_id, ELSEWHERE, WORKSPACE, now)
            case "gives":
                board.pass_control(visitor.conversation_id, ELSEWHERE, BOT, now)
            case "merges":
                board.merge_users(visitor.user.id, other.user.id, now=now)
            case "removes_user":
                board.remove_user(visitor.user.id, now=now)
            case _:
                board.remove_conversation(visitor.conversation_id, now=now)

    def _other_bot_sees(self, entry: Entry) -> None:
        if entry.kind is Kind.HOLDER and entry.holder == ANSWERS and entry.conversation_id:
            self._hand_backs[entry.conversation_id] += 1
            if self._hand_backs[entry.conversation_id] <= MOST_HAND_BACKS:
                self._spawn(self._other_bot_hands_back(entry.conversation_id))

    async def _other_bot_hands_back(self, conversation_id: str) -> None:
        await asyncio.sleep(0.1 + self._scenario.latency)
        board = self._stage.sandbox.switchboard
        if board.holder(conversation_id) == ANSWERS:
            board.pass_control(conversation_id, OTHER_BOT, BOT, self._stage.clock.now())

    # -- faults ----------------------------------------------------------------------

    def _incidents(self, where: str) -> list[Incident]:
        """Return the incidents due at the next event of this kind."""
        self._counts[where] += 1
        if not self._faults_on:
            return []
        nth = self._counts[where]
        return [i for i in self._scenario.incidents if i.where == where and i.nth == nth]

    async def _deliver(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        for event in json.loads(body)["events"]:
            self._first_sent.setdefault(event["id"], self._stage.clock.now())
        if self._scenario.latency:
            await asyncio.sleep(self._scenario.latency)
        if self._loop.time() < self._jitter_until:
            await asyncio.sleep(self._luck.uniform(0, self._jitter))
        if body in self._lost:
            raise ConnectionResetError("lost for good")
        answer_lost = False
        for incident in self._incidents("delivery"):
            match incident.kind:
                case "delay":
                    await asyncio.sleep(min(incident.seconds, 19.0))
                case "drop":
                    raise ConnectionResetError("dropped")
                case "answer_lost":
                    answer_lost = True
                case "lost_for_good":
                    self._lost.add(body)
                    raise ConnectionResetError("lost for good")
                case _:
                    self._spawn(self._again(incident.seconds, url, headers, body))
        status = await self._hand_in(url, headers, body)
        if answer_lost:
            raise ConnectionResetError("the answer was lost")
        return status

    async def _hand_in(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        assert self._post is not None  # noqa: S101
        status = await self._post(url, headers, self._scenario.outside.delivered(body))
        if 200 <= status < 300:
            at = self._stage.clock.now()
            for event in json.loads(body)["events"]:
                self._record.acknowledged.append(
                    Acknowledged(at, self._first_sent[event["id"]], event),
                )
        self._record.log.append(f"{self._loop.time():.6f} delivery {status}")
        return status

    async def _again(
        self,
        seconds: float,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        await asyncio.sleep(seconds)
        try:
            await self._hand_in(url, headers, body)
        except OSError:
            return

    def _api_fault(self, request: ApiRequest, moment: Moment) -> Fault | None:
        latency = Fault(delay=self._scenario.latency) if self._scenario.latency else None
        if moment is Moment.AFTER:
            fault = self._after.pop(id(request), None) or latency
            called = self._called.pop(id(request))
            called.place = len(self._stage.sandbox.switchboard.history)
            called.answered = self._stage.clock.now() + timedelta(
                seconds=fault.delay if fault else 0,
            )
            return fault
        called = Called(self._stage.clock.now(), request.method, request.path, _read(request.body))
        self._record.calls.append(called)
        self._called[id(request)] = called
        self._record.log.append(f"{self._loop.time():.6f} api {request.method} {request.path}")
        fault = Fault(status=503) if self._loop.time() < self._api_down_until else None
        called.unclear = fault is not None
        control = self._incidents("control") if request.path.endswith("Control") else []
        for incident in (*self._incidents("api"), *control):
            kind, _, when = incident.kind.partition("_")
            if fault or (kind == "ignored" and not request.path.endswith("Control")):
                continue
            made = _api_fault(kind, incident.kind, incident.seconds)
            called.told = called.told and kind == "slow"
            called.unclear = kind in ("503", "reset", "timeout") or (called.unclear and when == "after")
            if when == "after":
                self._after[id(request)] = made
            else:
                fault = made
        called.told = called.told and (fault is None or fault.status is None)
        return fault or latency

    async def _before_store(self, process: Process, operation: str) -> None:
        if self._loop.time() < self._store_down_until:
            raise Unavailable("the database is out of reach")
        for incident in self._incidents("store"):
            match incident.kind:
                case "unavailable" if operation in WRITES:
                    raise Unavailable("the disk is full")
                case "kill_before":
                    self._die(process)
                case "kill_inside" | "kill_after":
                    self._kill = (incident.kind, process)
                case "pause":
                    self._pause(incident.seconds)
                    await asyncio.sleep(incident.seconds)
                case _:
                    pass

    async def _after_store(self, process: Process, _: str) -> None:
        if self._kill and self._kill[1] is process:
            self._kill = None
            self._die(process)

    def _in_transaction(self, moment: str) -> None:
        if self._kill and self._kill[0] == "kill_inside" and moment == "before_commit":
            process, self._kill = self._kill[1], None
            self._die(process)

    def _die(self, process: Process) -> None:
        self._record.log.append(f"{self._loop.time():.6f} {process.name} dies")
        self._kill = None  # otherwise another process's transaction would trigger it
        self._pause(RESTART_AFTER)
        self._spawn(self._restart())
        process.die_here()

    async def _restart(self) -> None:
        await asyncio.sleep(RESTART_AFTER)
        await self._stage.start_process()

    async def _happen(self, incident: Incident) -> None:
        if incident.where != "world":
            return
        await asyncio.sleep(incident.nth)
        match incident.kind:
            case "jump":
                self._pause(incident.seconds)
                self._loop.jump(timedelta(seconds=incident.seconds))
            case "restart":
                for process in self._stage.alive:
                    process.kill()
                self._pause(incident.seconds)
                await asyncio.sleep(incident.seconds)
                await self._stage.start_process()
            case "second_process":
                second = await self._stage.start_process()
                await asyncio.sleep(incident.seconds)
                await second.stop()
                if not self._stage.alive:
                    await self._stage.start_process()
            case "jitter":
                self._jitter_until, self._jitter = (
                    self._loop.time() + JITTER_LASTS,
                    incident.seconds,
                )
            case "store_outage":
                self._pause(incident.seconds)
                self._store_down_until = self._loop.time() + incident.seconds
            case _:
                now = self._stage.clock.now()
                self._record.cut_off.append((now, now + timedelta(seconds=incident.seconds)))
                self._api_down_until = self._loop.time() + incident.seconds

    def _pause(self, seconds: float) -> None:
        """Record that the bot can't work from now on for so many seconds."""
        now = self._stage.clock.now()
        self._record.paused.append((now, now + timedelta(seconds=seconds)))

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)
        return task

    def _observe(self, signal: Signal) -> None:
        self._record.signals.append((self._stage.clock.now(), signal))
        self._record.log.append(
            f"{self._loop.time():.6f} {signal.event} {signal.conversation_id} {dict(signal.fields)}",
        )

    def _unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, ProcessDied):
            self._record.errors.append(f"{context.get('message')}: {error!r}")


def _read(body: bytes) -> Mapping[str, Any]:
    return json.loads(body) if body else {}


def _api_fault(kind: str, whole: str, seconds: float) -> Fault:
    match kind:
        case "429":
            return Fault(
                status=429,
                retry_after=str(int(seconds) or 1) if whole.endswith("retry_after") else None,
            )
        case "reset":
            return Fault(reset=True)
        case "refuse":
            return Fault(refuse=True)
        case "timeout":
            return Fault(delay=31.0)
        case "slow":
            return Fault(delay=min(seconds, 9.0))
        case "ignored":  # accepted, but without effect
            return Fault(status=200)
        case _:
            return Fault(status=int(kind))
