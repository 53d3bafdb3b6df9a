"""Wake-ups between processes (LISTEN/NOTIFY): whoever stores events notifies the workers.

Nothing hangs on it: what is not heard is found by the next look at the database. So telling waits for nobody, is not
durable, and is not tried again; and whoever begins to listen again looks for everything.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import asyncpg

from bot.signals import Level, Observe, Signal, silent
from bot.store.interface import StoreError
from bot.store.postgres.errors import explain
from bot.store.postgres.pool import CONNECT, Pool

Heard = Callable[[Iterable[str | None]], None]

_CHANNEL = "switchboard_bot"
_MOST_BYTES = 7000  # PostgreSQL takes 8000
_STILL_THERE = 15.0  # seconds between two looks whether the connection still stands
_AGAIN = 2.0  # seconds before connecting again
_TOLD = (1, 30, 120, 480)  # of the tries in a row that fail: at once, and after 1, 4, and 16 minutes

# A commit that nobody waits for; otherwise it would wait for the disk, with a lock that all who notify share.
_NOTIFY = f"SELECT set_config('synchronous_commit', 'off', true), pg_notify('{_CHANNEL}', $1)"


def new_teller() -> str:
    """Return a name for a process in what it tells, unlike any other's."""
    return secrets.token_hex(4)


class News:
    """The notifications that a process sends and receives.

    Args:
        pool: its connections.
        teller: its name: a process has no need to hear of itself.
        observe: gets `not_listening`.
    """

    def __init__(self, pool: Pool, teller: str, observe: Observe = silent) -> None:
        self._pool = pool
        self._observe = observe
        self._own = teller
        self._untold: dict[str, None] = {}
        self._telling: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None

    def tell(self, conversation_ids: Iterable[str | None]) -> None:
        """Notify others of new events of these conversations (None: app-level events)."""
        self._untold.update(dict.fromkeys(id_ or "" for id_ in conversation_ids))
        if self._untold and self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell(), name="notify")

    def listen(self, heard: Heard) -> None:
        """Call `heard` with notifications of others, until `stop`. Does nothing behind a proxy without LISTEN."""
        dsn = self._pool.listens_at
        if dsn is not None and self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen(dsn, heard), name="listen")

    async def stop(self) -> None:
        """Send pending notifications, and stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
            self._listening = None
        if self._telling is not None:
            await self._telling

    async def _tell(self) -> None:
        try:
            while self._untold:
                told, self._untold = self._untold, {}
                for payload in payloads(self._own, told):
                    await self._pool.fetch(_NOTIFY, payload)
        except StoreError:
            self._untold = {}
        finally:
            self._telling = None

    async def _listen(self, dsn: str, heard: Heard) -> None:
        def on_notify(_: object, __: int, ___: str, payload: str) -> None:
            teller, *ids = payload.split("\n")
            if teller != self._own:
                heard([id_ or None for id_ in ids])

        failures = 0
        while True:
            try:
                await _listened(dsn, on_notify, heard)
                failures = 0
            except Exception as error:  # noqa: BLE001 - whatever it is, looking is what is left
                if await self._answers():  # else that is told, and is the reason
                    failures += 1
                    if failures in _TOLD:
                        reason = explain(error, self._pool.place)
                        known = isinstance(reason, StoreError)
                        fields = {"error": str(reason) if known else type(reason).__name__}
                        self._observe(Signal("not_listening", Level.WARNING, fields=fields))
            await asyncio.sleep(_AGAIN)

    async def _answers(self) -> bool:
        try:
            await self._pool.fetch("SELECT 1")
        except StoreError:
            return False
        return True


def payloads(teller: str, ids: Iterable[str]) -> list[str]:
    """Return the payloads: the sender and the ids, one per line, within PostgreSQL's size limit."""
    found, lines, size = [], [teller], 0
    for id_ in ids:
        length = len(id_.encode(errors="replace")) + 1
        if size + length > _MOST_BYTES:
            found.append("\n".join(lines))
            lines, size = [teller], 0
        lines.append(id_)
        size += length
    return [*found, "\n".join(lines)]


async def _listened(dsn: str, on_notify: Callable[..., None], heard: Heard) -> None:
    """Listen while the connection lasts."""
    connection: Any = await asyncpg.connect(
        dsn,
        timeout=CONNECT,
        command_timeout=CONNECT,
        statement_cache_size=0,
        server_settings={"application_name": "switchboard-bot listening"},
    )
    over = asyncio.Event()
    connection.add_termination_listener(lambda _: over.set())
    try:
        await connection.add_listener(_CHANNEL, on_notify)
        heard([None])  # of what came before, nobody has told
        while not over.is_set():
            await connection.execute("SELECT 1")
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _STILL_THERE)
    finally:
        connection.terminate()
