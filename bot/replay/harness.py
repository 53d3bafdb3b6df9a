"""The real intake, store, engine and client on the sandbox, in one thread and virtual time.

`Stage` is the platform with its clock. A `Process` is one run of the bot's program on the
stage's database. A process can be killed at any point and replaced; only stored data
survives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import httpx2

from bot.clock import Clock
from bot.control.modes import mode_named
from bot.control.policy import Policy
from bot.control.state import Conversation
from bot.engine.context import Context
from bot.engine.delivery import Clients
from bot.engine.worker import Worker
from bot.flows.catalogue import Catalogue
from bot.flows.raised import Raised
from bot.observability.api_troubles import ApiKey, note_call
from bot.replay.guarded_store import guarded
from bot.replay.virtual_time import EPOCH, VirtualClock, VirtualTimeLoop
from bot.sandbox.history import Kind
from bot.sandbox.records import Ids
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.switchboard import BOT, WORKSPACE, Switchboard
from bot.sandbox.switches import Switches
from bot.sandbox.transport import SandboxTransport
from bot.signals import Observe, Signal, silent
from bot.store import SqliteStore, Unavailable
from bot.store.sqlite.claim import cut_leases
from bot.sunshine import Credentials, SunshineClient
from bot.troubles import Troubles
from webhooks.inbox import GroupCommit, NewEvent
from webhooks.intake import Intake
from webhooks.security import Secrets

POLL_FALLBACK = timedelta(hours=1)  # polls catch missed wake-ups, but none is missed here
URL = "http://127.0.0.1/webhooks/sunshine"


_DUTIES = """
    SELECT conversation_id, since, closed_at, action, reason, attempts, last_answer, proof
    FROM duties ORDER BY conversation_id, duty_id
"""


_PROGRESS = "SELECT (SELECT count(*) FROM journal), (SELECT count(*) FROM outbox)"


class ProcessDied(BaseException):
    """The bot's process is dead; raised wherever its code would still act."""


@dataclass(slots=True)
class Interference:
    """Hooks around a process; each may delay, raise or kill.

    Attributes:
        store: called before a store operation ("claim", "save", …); may raise
            `Unavailable`, or sleep.
        stored: called after its commit.
        transaction: called within a writing transaction: "begin", "before_commit",
            "after_commit".
    """

    store: Callable[[Process, str], Coroutine[Any, Any, None]] | None = None
    stored: Callable[[Process, str], Coroutine[Any, Any, None]] | None = None
    transaction: Callable[[str], None] | None = None


class Stage:
    """The platform, the bot's database, and their common clock.

    Args:
        loop: the virtual-time loop that runs everything.
        switches: the platform's undocumented behaviour.
        catalogue: the flows.
        policy: the bot's settings; `me`, and the mode unless `keep_mode`, are replaced by
            the sandbox's.
        batch: maximum number of events per webhook delivery.
        begins: the start time.
        salt: of the platform's ids.
        model: the class of the platform's model.
    """

    def __init__(
        self,
        loop: VirtualTimeLoop,
        *,
        switches: Switches | None = None,
        catalogue: Catalogue | None = None,
        policy: Policy | None = None,
        keep_mode: bool = False,
        batch: int = 1,
        begins: datetime = EPOCH,
        salt: int = 1,
        model: type[Switchboard] = Switchboard,
    ) -> None:
        self.loop = loop
        self.clock: Clock = VirtualClock(loop, begins - EPOCH)
        switches = switches or Switches()
        self.sandbox = Sandbox(
            switches=switches,
            clock=self.clock,
            ids=Ids(salt),
            post=self._post,
            batch=batch,
            model=model,
        )
        self.sandbox.connect(URL)
        self.catalogue = catalogue or Catalogue()
        given = policy or Policy(me=BOT, closes=bool(self.catalogue.closing), app_key=True)
        mode = given.mode if keep_mode else mode_named(switches.mode, WORKSPACE)
        self.policy = replace(given, me=BOT, mode=mode)
        self.store = SqliteStore(":memory:", inline=True, on_transaction=self._in_transaction)
        self.interference = Interference()
        self.processes: list[Process] = []
        self.observe: Observe = silent
        self.raised: Callable[[Raised], None] = lambda _: None
        self.restarts = False  # FLOW_MISMATCH=restart, for processes started from now on
        self.mismatch_text = ""
        self.resources: Any = None
        self.answered: Callable[[httpx2.Response], httpx2.Response] = lambda response: response

    async def __aenter__(self) -> Stage:
        """Open the database and start the webhook sender."""
        await self.store.start()
        await self.sandbox.sender.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything."""
        await self.sandbox.sender.stop()
        for process in self.processes:
            process.kill()
        await self.store.stop()

    async def start_process(self, *, web: bool = True, worker: bool = True) -> Process:
        """Start a process of the bot."""
        process = Process(self, f"process-{len(self.processes) + 1}", web=web, worker=worker)
        self.processes.append(process)
        return process

    @property
    def alive(self) -> list[Process]:
        """The running processes."""
        return [process for process in self.processes if process.is_alive]

    async def _post(self, _: str, headers: Mapping[str, str], body: bytes) -> int:
        webs = [process for process in self.alive if process.intake]
        if not webs:
            raise ConnectionRefusedError("no process takes webhooks")
        return await webs[len(self.sandbox.sender.attempts) % len(webs)].post(headers, body)

    async def wait(self, duration: timedelta) -> None:
        """Let time pass."""
        await asyncio.sleep(duration.total_seconds())

    async def quiet(self, within: timedelta) -> bool:
        """Let time pass until the bot is at rest; return False if it never is."""
        end = self.clock.now() + within
        pause = timedelta(seconds=1)
        while not (rests := await self.at_rest()) and self.clock.now() < end:
            await self.wait(pause)
            pause = min(pause * 1.5, timedelta(minutes=10))
        return rests

    async def at_rest(self) -> bool:
        """Return whether nothing is pending and the bot owes nothing."""
        counts = await self.store.counts(self.clock.now())
        if counts.owed or counts.inbox or counts.outbox or counts.held:
            return False
        if counts.ended_open and self.policy.app_key:  # without one, the bot can only keep watching
            return False
        return self.sandbox.sender.is_idle

    def event_statuses(self) -> dict[str, str]:
        """The status of each stored event by id: "pending", "handled" or "set_aside"."""
        connection = self.store._shared  # noqa: SLF001 - for checks, which read the database
        return dict(connection.execute("SELECT id, status FROM inbox ORDER BY id")) if connection else {}

    def duties(self) -> list[tuple[Any, ...]]:
        """All duties as rows of `_DUTIES`; times are in microseconds."""
        connection = self.store._shared  # noqa: SLF001 - for checks, which read the database
        return list(connection.execute(_DUTIES)) if connection else []

    def progress(self) -> tuple[int, int]:
        """The number of journal entries and of pending effects in the database."""
        connection = self.store._shared  # noqa: SLF001 - for checks, which read the database
        found = connection.execute(_PROGRESS).fetchone() if connection else (0, 0)
        return int(found[0]), int(found[1])

    def _in_transaction(self, moment: str) -> None:
        if self.interference.transaction:
            self.interference.transaction(moment)

    async def free_claims(self) -> None:
        """Release the leases of dead processes at once."""
        now = self.clock.now()
        await self.store._writer.run(lambda connection: cut_leases(connection, now))  # noqa: SLF001

    def ended(self) -> list[str]:
        """Ids of the conversations that were ended by their users."""
        history = self.sandbox.switchboard.history
        return [entry.conversation_id for entry in history if entry.kind is Kind.ENDED and entry.conversation_id]

    def look(self, conversation_id: str) -> None:
        """Wake workers for an order, as the short polls of a real bot do."""
        for process in self.alive:
            if process.worker:
                process.worker.wake([conversation_id])

    async def state(self, conversation_id: str) -> Conversation | None:
        """The bot's stored state of a conversation."""
        return await self.store.find(conversation_id)


class Process:
    """One run of the bot's program, from start to end or death."""

    def __init__(self, stage: Stage, name: str, *, web: bool, worker: bool) -> None:
        self.stage = stage
        self.name = name
        self.is_alive = True
        self.transport = SandboxTransport(stage.sandbox.api, stage.clock)
        self.transport.faults = lambda request, moment: (
            stage.sandbox.server.faults(request, moment) if stage.sandbox.server.faults else None
        )
        self.store = guarded(stage.store, self._before, self._after)
        self.troubles = Troubles(self._observe, stage.loop.time)
        own, app = ApiKey("SUNSHINE_KEY"), ApiKey("SUNSHINE_APP_KEY", app_scoped=True)
        self.clients = Clients(
            self._client(stage.sandbox.integration_key, own) if stage.policy.integration_key else None,
            self._client(stage.sandbox.app_key, app) if stage.policy.app_key else None,
        )
        self.context = Context(
            self.store,
            self.clients,
            stage.policy,
            stage.catalogue,
            stage.clock,
            name,
            self._observe,
            fetch_every=POLL_FALLBACK,
            troubles=self.troubles,
            raised=lambda raised: stage.raised(raised),
            restarts=stage.restarts,
            mismatch_text=stage.mismatch_text,
            resources=stage.resources,
        )
        self.worker = Worker(self.context, concurrency=50, poll=POLL_FALLBACK) if worker else None
        self.inbox = GroupCommit(
            self.store.receive,
            on_stored=self._stored,
            unavailable=(Unavailable, OSError),
        )
        secrets = Secrets([stage.sandbox.secret])
        self.intake = Intake(self.inbox, secrets, stage.clock.now) if web else None
        self._tasks: set[asyncio.Task[Any]] = set()
        if self.worker:
            self._spawn(self.worker.run())

    async def post(self, headers: Mapping[str, str], body: bytes) -> int:
        """Handle a delivery, as `POST /webhooks/sunshine` does.

        Raises `ConnectionError` if the process dies meanwhile.
        """
        if self.intake is None or not self.is_alive:
            raise ConnectionRefusedError(self.name)
        task = self._spawn(self.intake.receive(headers, body))
        try:
            answer = await asyncio.shield(task)
        except (ProcessDied, asyncio.CancelledError):
            if self.is_alive:
                raise
            raise ConnectionResetError(self.name) from None
        if not self.is_alive:
            raise ConnectionResetError(self.name)
        return int(answer.status)

    def kill(self) -> None:
        """End the process at once, as `kill -9` does; later steps have no effect."""
        self.is_alive = False
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """End the process cleanly, as SIGTERM does."""
        if self.worker:
            self.worker.stop()
        await self.inbox.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.is_alive = False

    def die_here(self) -> None:
        """Kill the process at the point of the call."""
        self.kill()
        raise ProcessDied(self.name)

    def check_alive(self) -> None:
        """Raise `ProcessDied` if the process is dead, so that its code has no effect."""
        if not self.is_alive:
            raise ProcessDied(self.name)

    async def _before(self, operation: str) -> None:
        self.check_alive()
        if hook := self.stage.interference.store:
            await hook(self, operation)
            self.check_alive()

    async def _after(self, operation: str) -> None:
        if hook := self.stage.interference.stored:
            await hook(self, operation)
            self.check_alive()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # ProcessDied is expected; any other error shows in the checks

    def _client(self, key: Any, known_as: ApiKey) -> SunshineClient:
        return SunshineClient(
            "http://127.0.0.1",
            self.stage.sandbox.app_id,
            Credentials(key.id, key.secret),
            transport=_GuardedTransport(self),
            clock=self.stage.clock,
            observe=lambda call: note_call(self.troubles, call, known_as),
        )

    def _stored(self, events: Sequence[NewEvent]) -> None:
        for process in self.stage.alive:
            if process.worker:
                process.worker.wake(dict.fromkeys(event.conversation_id for event in events))

    def _observe(self, signal: Signal) -> None:
        if self.is_alive:
            self.stage.observe(signal)


class _GuardedTransport(SandboxTransport):
    """One process's connection to the platform's API, closed if the process is dead."""

    def __init__(self, process: Process) -> None:
        super().__init__(process.stage.sandbox.api, process.stage.clock)
        self._process = process
        self.faults = process.transport.faults

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request to the platform and return its answer."""
        self._process.check_alive()
        response: httpx2.Response = await super().handle_async_request(request)
        self._process.check_alive()
        return self._process.stage.answered(response)
