"""Claims conversations that have something to be done, and sleeps until the next is due."""

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

POLL = timedelta(seconds=30)  # the safety net under wake-ups and due times
LOOK_AGAIN = timedelta(milliseconds=100)  # for a slot, while all are taken
SOON = timedelta(milliseconds=20)  # until the next look after sessions that have ended: one for all of them
MOST_WAITING = 10  # times as many conversations as slots: those whose flow waits for something else take none
STOP_PATIENCE = timedelta(seconds=8)


class Worker:
    """Takes the turns of conversations, each in a session of its own.

    Args:
        context: the engine's surroundings.
        concurrency: how many conversations something is done in at once. Half as many more are taken ahead, so that no
            slot is empty while they are fetched; those whose flow only waits are not counted.
        poll: the longest time between two looks at the database. Short where another process takes the webhooks.
    """

    def __init__(self, context: Context, concurrency: int, poll: timedelta = POLL) -> None:
        self._context = context
        self._slots = Slots(concurrency)
        self._concurrency = concurrency + concurrency // 2
        self._poll = poll
        self._delivery = Delivery(context.clients, context.clock)
        self._sessions: dict[str, tuple[Session, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._crowded = False  # is more waiting than there were slots for?
        self._freed = 0  # slots, since the last look
        self._look_soon: asyncio.TimerHandle | None = None
        self._stopping = False
        self._failures = 0
        self._reconciled = False
        self._failing_since: datetime | None = None  # the database
        self._spread_at: datetime | None = None  # when to look for events of no single conversation; None: now

    def wake(self, conversation_ids: Iterable[str | None]) -> None:
        """Events of these conversations are in the inbox (None: of no single one)."""
        for conversation_id in conversation_ids:
            self._spread_at = self._spread_at if conversation_id else None
            at_work = self._sessions.get(conversation_id) if conversation_id else None
            if at_work:
                at_work[0].wake()
            else:
                self._wake.set()

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is at work has been given back."""
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
        """What a look at the database says; where it fails, how long to wait before the next."""
        try:
            pause = await look()
        except StoreError as error:
            level = Level.ERROR
            if isinstance(error, Unavailable):
                level = Level.DEBUG  # told once for all tries
                database_failed(self._context.troubles, error)
                self._failing_since = self._failing_since or self._context.clock.now()
            return self._failed(Signal("store_unavailable", level, fields={"error": str(error)}))
        except Exception as error:  # noqa: BLE001 - a worker that ends while its process lives would release nothing
            return self._failed(Signal("worker_failed", Level.ERROR, fields={"error": type(error).__name__}))
        self._failures = 0
        if self._failing_since and self._context.clock.now() - self._failing_since >= PAUSE:
            self._reconciled = False  # webhooks could not be stored, and the platform may have given them up
        self._failing_since = None
        return pause

    async def _round(self) -> timedelta | None:
        """Claim what can be claimed, and say how long to wait; None: not long, and ask first what is due."""
        if not self._reconciled:
            await reconcile_after_start(self._context)
            self._reconciled = True
        self._crowded, self._freed = True, 0
        free = self._concurrency - sum(not session.takes_no_slot for session, _ in self._sessions.values())
        if free <= 0 or len(self._sessions) >= self._concurrency * MOST_WAITING:
            await self._spread_if_due()  # an erasure doesn't wait for a slot
            return min(self._poll, LOOK_AGAIN)
        now = self._context.clock.now()
        works = await self._context.store.claim(
            owner=self._context.owner, now=now, lease=self._context.lease, limit=free
        )
        for work in works:
            at_work = self._sessions.get(work.lease.conversation_id)
            if at_work and at_work[0].keeps(work.lease):  # its lease ran out while the database was out of reach
                continue
            session = Session(self._context, self._delivery, work, self._slots, self._look_again)
            self._start(session, work.lease.conversation_id)
        # Afterwards, so that no release waits for it.
        if await self._spread_if_due():
            return timedelta(0)
        if len(works) == free:
            return min(self._poll, LOOK_AGAIN)
        self._crowded = False
        return None if works else await self._until_due()

    async def _spread_if_due(self) -> bool:
        """Give events of no single conversation to those that they concern. True if there may be more to do at once."""
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
        """How long there is nothing to claim."""
        due = await self._context.store.next_due(self._context.clock.now())
        if due is None:
            return self._poll
        ahead = due - self._context.clock.now()
        return min(self._poll, ahead if ahead > timedelta(0) else SOON)  # due, and not to be had: ask, but don't spin

    def _failed(self, signal: Signal) -> timedelta:
        self._failures += 1
        self._context.observe(signal)
        return backoff(self._failures, self._context.owner, cap=self._poll)

    async def _woken(self, pause: timedelta) -> bool:
        """Wait, and say whether something has ended the wait."""
        try:
            async with asyncio.timeout(pause.total_seconds()):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def _start(self, session: Session, conversation_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self._work(session, conversation_id), name=conversation_id)
        self._sessions[conversation_id] = (session, task)

    async def _work(self, session: Session, conversation_id: str) -> None:
        try:
            await session.run()
        except Exception as error:  # noqa: BLE001 - one conversation's trouble must not stop the others
            fields = {"error": type(error).__name__}
            self._context.observe(Signal("session_failed", Level.ERROR, conversation_id, fields))
        finally:
            at_work = self._sessions.get(conversation_id)
            if at_work and at_work[0] is session:  # not if its lease ran out and the conversation was claimed again
                del self._sessions[conversation_id]
            self._look_again()

    def _look_again(self) -> None:
        """A slot is free: look for more, at once only if a tenth of the slots is, and more was waiting for them.

        Else one look will do for all sessions that end within a moment. (A conversation of theirs may be due again.)
        """
        self._freed += 1
        if self._crowded and 10 * self._freed >= self._concurrency:
            self._wake.set()
        elif self._look_soon is None:
            self._look_soon = asyncio.get_running_loop().call_later(SOON.total_seconds(), self._look)

    def _look(self) -> None:
        self._look_soon = None
        self._wake.set()

    async def _end_sessions(self) -> None:
        """Let what is being delivered end, within bounds; what is left is taken over from the database later."""
        for session, _ in self._sessions.values():
            session.end_soon()
        tasks = [task for _, task in self._sessions.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_PATIENCE.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
