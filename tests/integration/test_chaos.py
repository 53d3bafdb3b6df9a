"""Several processes under fire, on PostgreSQL: G1 to G5 hold, by the platform's history and the database.

Two `web` and four `worker` processes (in the short form, one and two) serve people who talk. Meanwhile any of the
processes is killed (`kill -9`) and started again, connections to the database are cut, a worker is paused past its
lease and woken again, and in the middle PostgreSQL itself is restarted, as after a crash.

    CHAOS_SECONDS=600 pytest tests/integration/test_chaos.py --log-cli-level=INFO

does it for ten minutes in each control mode, and logs the figures; SEED chooses other moments.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from battle import MODES, Battle
from bot_program import Program, free_port, launched
from postgres_server import NoServer, PostgresServer
from tiers import combined

from bot.store import open_store

GIVEN = os.environ.get("CHAOS_SECONDS")
FLEET = (2, 4)  # processes that are `web`, and that are `worker`
FORMS = (
    [(mode, float(GIVEN), FLEET) for mode in MODES]
    if GIVEN
    else combined(("pass", 10.0, FLEET), ("release", 10.0, FLEET), count=0)
)  # control mode, seconds under fire, and the fleet
SEED = int(os.environ.get("SEED", "1"))
LEASE = 6.0  # seconds, even shorter than in production: a pause has to outlast it
PAUSE = LEASE + 1.0
AWAY = 40.0  # seconds for which no web is there, at most, on a slow machine

_log = logging.getLogger(__name__)

# The bot's own program, with a short lease, and with its name on every request, so that it is known whose answers are
# lost when it dies.
_PROGRAM = """
import os
from datetime import timedelta

import bot.app
from bot.cli import main
from bot.sunshine import AiohttpTransport

send = AiohttpTransport.handle_async_request

async def signed(self, request):
    request.headers["User-Agent"] = os.environ["NAME"]
    return await send(self, request)

AiohttpTransport.handle_async_request = signed
bot.app.LEASE = timedelta(seconds=float(os.environ["LEASE"]))
main()
"""

_CUT = """
    SELECT count(pg_terminate_backend(pid)) FROM (
        SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'switchboard-bot%' ORDER BY random() LIMIT $1
    ) AS victims
"""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server that keeps what it has committed, as in production."""
    try:
        server = PostgresServer(durable=True, port=free_port())
    except NoServer as error:
        pytest.skip(str(error))
    yield server
    server.remove()


@pytest.mark.timeout(300 + 5 * float(GIVEN or 0))
@pytest.mark.parametrize(("mode", "seconds", "fleet"), FORMS)
async def test_several_processes_under_fire(
    mode: str, seconds: float, fleet: tuple[int, int], tmp_path: Path, server: PostgresServer
) -> None:
    """Every ended conversation closes with proof, nothing is lost, said twice, out of order, or taken from others."""
    rng = random.Random(f"{SEED} {mode}")  # noqa: S311 - repeatable is what it must be
    chaos = Chaos(mode, tmp_path, rng, server, fleet)
    await chaos.fought(seconds)
    _log.info("%s: %s", mode, chaos.figures)
    chaos.judge(least=round(seconds / 4))
    assert chaos.figures["restarts of PostgreSQL"] == 1
    assert chaos.figures["pauses past the lease"] >= 1
    assert chaos.figures["kill -9"] >= 2


class Chaos(Battle):
    """A fleet of processes on one database, and what happens to it."""

    def __init__(
        self, mode: str, folder: Path, rng: random.Random, server: PostgresServer, fleet: tuple[int, int]
    ) -> None:
        super().__init__(mode, folder, rng, outage=AWAY, pace=0.6)
        self._server = server
        self._database = server.new_database()
        self._programs: dict[str, Program] = {}
        self._done: Counter[str] = Counter()
        self._paused: dict[str, asyncio.Task[None]] = {}
        self._webs = [f"web-{number}" for number in range(fleet[0])]
        self._workers = [f"worker-{number}" for number in range(fleet[1])]
        self._ports = {name: str(free_port()) for name in (*self._webs, *self._workers)}
        self._posted = 0

    async def fought(self, seconds: float) -> None:
        """Play it all."""
        async with self._field() as self._stderr:
            self.sandbox.connect("http://127.0.0.1:1/webhooks/sunshine")
            try:
                await asyncio.gather(*(self._start(name) for name in (*self._webs, *self._workers)))
                await asyncio.gather(*(self._programs[name].until_ready(60) for name in self._webs))
                async with self._watched():
                    async with self._people():
                        await self._fire(seconds / 2)
                        await self._restart_server()
                        await self._fire(seconds / 2)
                        await asyncio.gather(*self._paused.values())
                    await self._at_rest()
                # One that has just begun does not know SIGTERM yet.
                await asyncio.gather(*(program.until_ready() for program in self._programs.values()))
                codes = await asyncio.gather(*(program.told_to_stop(30) for program in self._programs.values()))
                assert codes == [0] * len(self._programs)
            finally:
                for program in self._programs.values():
                    await program.swept()
        self.figures |= self._done

    async def _fire(self, seconds: float) -> None:
        """Something happens every second or two, and everything at least once."""
        shots = [self._pause, self._kill_worker, self._cut_connections, self._kill_web, self._kill_worker]
        end = asyncio.get_running_loop().time() + seconds
        number = 0
        while asyncio.get_running_loop().time() < end:
            await (shots[number] if number < len(shots) else self._rng.choice(shots))()
            number += 1
            await asyncio.sleep(self._rng.uniform(0.3, 1.5))

    async def _kill_worker(self) -> None:
        running = [name for name in self._workers if name not in self._paused]
        await self._kill(self._rng.choice(running))

    async def _kill_web(self) -> None:
        await self._kill(self._rng.choice(self._webs))

    async def _kill(self, name: str) -> None:
        with suppress(ProcessLookupError):  # it has ended by itself, for want of a database
            self._programs[name].process.kill()
            self._done["kill -9"] += 1

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """As everywhere, somebody starts what has ended again."""

        async def watch(name: str) -> None:
            while True:
                await self._programs[name].process.wait()
                self._cut_off(name)
                await asyncio.sleep(self._rng.uniform(0, 0.3))
                await self._start(name)
                self._done["starts again"] += 1

        watching = [asyncio.create_task(watch(name)) for name in self._programs]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _pause(self) -> None:
        """A worker stands still for longer than its leases last, and goes on as if nothing had been."""
        if self._paused:
            return
        name = self._rng.choice(self._workers)
        self._paused[name] = asyncio.create_task(self._stand_still(name))

    async def _stand_still(self, name: str) -> None:
        process = self._programs[name].process
        try:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(PAUSE + self._rng.uniform(0, 2))
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            del self._paused[name]
        self._done["pauses past the lease"] += 1

    async def _cut_connections(self) -> None:
        cut = await asyncio.to_thread(self._server.query, _CUT, self._rng.randint(1, 6))
        self._done["connections cut"] += cut[0][0]

    async def _restart_server(self) -> None:
        since = self.sandbox.clock.now()
        await asyncio.to_thread(self._server.stop, "immediate")
        await asyncio.sleep(self._rng.uniform(0, 1))
        await asyncio.to_thread(self._server.start)
        # Meanwhile no worker could learn of what has been acknowledged just before, and it takes them two seconds to
        # listen again.
        self.record.paused.append((since, self.sandbox.clock.now()))
        self._done["restarts of PostgreSQL"] += 1

    async def _start(self, name: str) -> None:
        settings = {
            **self.settings,
            "DATABASE_URL": self._database,
            "NAME": name,
            "LEASE": str(LEASE),
            "LOG_LEVEL": "WARNING",
            "PORT" if name in self._webs else "METRICS_PORT": self._ports[name],
        }
        command = name.partition("-")[0]
        program = await launched(command, self._folder, settings, self._stderr, program=("-c", _PROGRAM))
        program.url = f"http://127.0.0.1:{self._ports[name]}"
        self._programs[name] = program

    async def _at_rest(self) -> None:
        store = open_store(self._database)
        await store.start()
        try:
            await self._until_rest(store)
        finally:
            await store.stop()
        self.record.inbox = dict(await asyncio.to_thread(self._inbox))

    def _inbox(self) -> list[tuple[str, str]]:
        return self._server.query("SELECT id, status FROM inbox", url=self._database)

    def _doors(self, _: str) -> list[str]:
        """One web after the other, and the next one if nobody is at home, as load balancers do."""
        self._posted += 1
        ports = [self._ports[name] for name in self._webs]
        first = self._posted % len(ports)
        return [f"http://127.0.0.1:{port}/webhooks/sunshine" for port in (*ports[first:], *ports[:first])]
