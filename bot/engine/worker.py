"""Claims conversations that have something to do, and sleeps until the next is due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta

from bot.control.policy import backoff
from bot.engine.app_events import spread_app_events
from bot.engine.context import Context
from bot.engine.delivery import Delivery
from bot.engine.reconcile import PAUSE, reconcile_after_start
from bot.engine.session import Session
from bot.engine.slots import Slots
from bot.signals import Level, Signal
from bot.store.interface import StoreError, Unavailable
from bot.troubles import database_failed

POLL = timedelta(seconds=30)  # safety net for lost wake-ups
LOOK_AGAIN = timedelta(milliseconds=100)  # while all slots are taken
SOON = timedelta(milliseconds=20)  # one look for all sessions that end within this time
MOST_WAITING = 10  # sessions per slot, as those that only wait take none
STOP_PATIENCE = timedelta(seconds=8)


class Worker:
    """Runs conversations, each in a session of its own.

    Args:
        context: dependencies of the engine.
        concurrency: number of sessions that do something at the same time. Half as many
            again are claimed ahead, so that no slot stays empty; sessions that only
            wait don't count.
        poll: longest interval between looks at the database. Short if another process
            takes the webhooks.
    """

    def __init__(self, context: Context, concurrency: int, poll: timedelta = POLL) -> None:
        self._context = context
        self._slots = Slots(concurrency)
        self._concurrency = concurrency + concurrency // 2
        self._poll = poll
        self._delivery = Delivery(context.clients, context.clock)
        self._sessions: dict[str, tuple[Session, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._crowded = False  # more work was waiting than slots were free
        self._freed = 0  # slots since the last look
        self._look_soon: asyncio.TimerHandle | None = None
        self._stopping = False
        self._failures = 0
        self._reconciled = False
        self._failing_since: datetime | None = None  # the database
        # When to look for app-level events; None: now.
        self._spread_at: datetime | None = None

    def wake(self, conversation_ids: Iterable[str | None]) -> None:
        """Announce new events of these conversations in the inbox (None: app-level events)."""
        for conversation_id in conversation_ids:
            self._spread_at = self._spread_at if conversation_id else None
            at_work = self._sessions.get(conversation_id) if conversation_id else None
            if at_work:
                at_work[0].wake()
            else:
                self._wake.set()

    def stop(self) -> None:
        """Claim nothing more. `run` returns when all sessions have given their leases back."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Work until `stop`."""
        try:
            while not self._stopping:
                self._wake.clear()
                pause = await self._tried(self._round)
                if pause is None and not await self._woken(SOON):
                    pause = await self._tried(self._until_due)
                if pause is not None:
                    await self._woken(pause)
        finally:
            await self._end_sessions()

    async def _tried(self, look: Callable[[], Awaitable[timedelta | None]]) -> timedelta | None:
        """Return the pause that a look at the database asks for; after a failure, a backoff."""
        try:
            pause = await look()
        except StoreError as error:
            level = Level.ERROR
            if isinstance(error, Unavailable):
                level = Level.DEBUG  # reported once by `troubles`
                database_failed(self._context.troubles, error)
                self._failing_since = self._failing_since or self._context.clock.now()
            return self._failed(Signal("store_unavailable", level, fields={"error": str(error)}))
        except Exception as error:  # noqa: BLE001 - a dead worker releases nothing
            return self._failed(Signal("worker_failed", Level.ERROR, fields={"error": type(error).__name__}))
        self._failures = 0
        if self._failing_since and self._context.clock.now() - self._failing_since >= PAUSE:
            self._reconciled = False  # webhooks may be lost for good
        self._failing_since = None
        return pause

    async def _round(self) -> timedelta | None:
        """Claim conversations and start their sessions.

        Returns:
            The pause until the next round; None: wait briefly, then ask what is due.
        """
        if not self._reconciled:
            await reconcile_after_start(self._context)
            self._reconciled = True
        self._crowded, self._freed = True, 0
        free = self._concurrency - sum(not session.takes_no_slot for session, _ in self._sessions.values())
        if free <= 0 or len(self._sessions) >= self._concurrency * MOST_WAITING:
            await self._spread_if_due()  # erasure doesn't wait for a slot
            return min(self._poll, LOOK_AGAIN)
        now = self._context.clock.now()
        works = await self._context.store.claim(
            owner=self._context.owner, now=now, lease=self._context.lease, limit=free
        )
        for work in works:
            at_work = self._sessions.get(work.lease.conversation_id)
            # The lease may have expired while the database was out of reach.
            if at_work and at_work[0].keeps(work.lease):
                continue
            session = Session(self._context, self._delivery, work, self._slots, self._look_again)
            self._start(session, work.lease.conversation_id)
        # After claiming, so that no release waits for it.
        if await self._spread_if_due():
            return timedelta(0)
        if len(works) == free:
            return min(self._poll, LOOK_AGAIN)
        self._crowded = False
        return None if works else await self._until_due()

    async def _spread_if_due(self) -> bool:
        """Fan app-level events out to conversations. Return True if more work may be waiting."""
        now = self._context.clock.now()
        if self._spread_at is not None and now < self._spread_at:
            return False
        self._spread_at = now + self._poll
        told, more = await spread_app_events(self._context)
        for conversation_id in told & self._sessions.keys():
            self._sessions[conversation_id][0].wake()
        if more:
            self._spread_at = None
        return bool(told) or more

    async def _until_due(self) -> timedelta:
        """Return the time until something can be claimed."""
        due = await self._context.store.next_due(self._context.clock.now())
        if due is None:
            return self._poll
        ahead = due - self._context.clock.now()
        # Due but not claimable: ask again, but don't spin.
        return min(self._poll, ahead if ahead > timedelta(0) else SOON)

    def _failed(self, signal: Signal) -> timedelta:
        """Report a failure. Return the backoff."""
        self._failures += 1
        self._context.observe(signal)
        return backoff(self._failures, self._context.owner, cap=self._poll)

    async def _woken(self, pause: timedelta) -> bool:
        """Wait. Return True if woken before the time is over."""
        try:
            async with asyncio.timeout(pause.total_seconds()):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def _start(self, session: Session, conversation_id: str) -> None:
        """Start a session as a task."""
        task = asyncio.get_running_loop().create_task(
            self._work(session, conversation_id),
            name=conversation_id,
        )
        self._sessions[conversation_id] = (session, task)

    async def _work(self, session: Session, conversation_id: str) -> None:
        """Run a session to its end. Its failure must not stop the others."""
        try:
            await session.run()
        except Exception as error:  # noqa: BLE001 - must not stop other sessions
            fields = {"error": type(error).__name__}
            self._context.observe(Signal("session_failed", Level.ERROR, conversation_id, fields))
        finally:
            at_work = self._sessions.get(conversation_id)
            # Another session may have it, if the lease expired and it was claimed again.
            if at_work and at_work[0] is session:
                del self._sessions[conversation_id]
            self._look_again()

    def _look_again(self) -> None:
        """Look for more work because a slot is free.

        At once only if a tenth of the slots is free and more work was waiting for them.
        Otherwise one look serves all sessions that end within a moment, and finds those
        due again.
        """
        self._freed += 1
        if self._crowded and 10 * self._freed >= self._concurrency:
            self._wake.set()
        elif self._look_soon is None:
            self._look_soon = asyncio.get_running_loop().call_later(
                SOON.total_seconds(),
                self._look,
            )

    def _look(self) -> None:
        """Wake the worker for one look."""
        self._look_soon = None
        self._wake.set()

    async def _end_sessions(self) -> None:
        """Let effects in progress finish, within limits.

        The rest is taken over from the database later.
        """
        for session, _ in self._sessions.values():
            session.end_soon()
        tasks = [task for _, task in self._sessions.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_PATIENCE.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
