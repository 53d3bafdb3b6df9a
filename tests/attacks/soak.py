"""`python -m tests.attacks.soak --minutes 60 [--database sqlite|postgres|both]`: does the bot last, in bad company?

People talk with a bot on each engine; meanwhile there are strangers, junk, connections that are held and clients that
do not read. Twice the disk under SQLite is full; PostgreSQL is restarted four times; the API goes away every now and
then. Exit 0 if memory has not grown by more than 10 % after the first sixth, G1 to G5 hold, and every delivery was
taken at once, or, where it came while the disk was full or the database away, later.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "integration")]

from battle import Battle  # noqa: E402
from bot_program import Program, free_port, launched  # noqa: E402
from postgres_server import PostgresServer  # noqa: E402

from bot.sandbox.faults import Fault, Moment  # noqa: E402
from bot.sandbox.history import Kind  # noqa: E402
from bot.simulation.checks import violations  # noqa: E402
from bot.store import open_store  # noqa: E402
from bot.store.export import Selection, State, stored_events  # noqa: E402

from .strangers import Company  # noqa: E402
from .target import Target  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bot.sandbox.api import ApiRequest

OUTAGE = 90.0  # seconds from the first try of a delivery to its last; whatever is away is away for less
AWAY = 12.0  # seconds that the disk is full, and at most seconds that the API is away
PACE = 3.0  # seconds between one visitor and the next, at most
GROWTH = 0.10  # of memory, after the first sixth
STATES: tuple[State, ...] = ("pending", "handled", "set_aside")
API_FAULTS = (
    (Moment.BEFORE, Fault(status=503)),
    (Moment.AFTER, Fault(status=503)),
    (Moment.BEFORE, Fault(status=429, retry_after="1")),
    (Moment.BEFORE, Fault(reset=True)),
    (Moment.AFTER, Fault(reset=True)),
    (Moment.AFTER, Fault(delay=AWAY)),
)


class Soak(Battle):
    """A bot on one engine.

    Args:
        folder: for all that it needs.
        seed: chooses.
        minutes: how long it takes.

    Attributes:
        memory: resident bytes of the bot, every two seconds.
        windows: when deliveries could not be stored.
        happened: what was done to it.
    """

    engine = "sqlite"

    def __init__(self, folder: Path, seed: int, minutes: float) -> None:
        rng = random.Random(f"{seed} {self.engine}")  # noqa: S311 - repeatable is what it must be
        super().__init__(("pass", "release")[seed % 2], folder, rng, outage=OUTAGE, pace=PACE)
        self._seconds = minutes * 60
        self._fault: tuple[Moment, Fault] | None = None
        self._program: Program
        self.settings |= {"LOG_LEVEL": "WARNING", "PORT": str(free_port())}
        self.memory: list[int] = []
        self.windows: list[tuple[datetime, datetime]] = []
        self.happened: list[str] = []

    async def run(self) -> list[str]:
        """Play it all, and return what is wrong."""
        async with self._field() as errors, AsyncExitStack() as stack:
            self.settings["DATABASE_URL"] = await asyncio.to_thread(self.prepared)
            stack.push_async_callback(asyncio.to_thread, self.removed)
            if self.settings["DATABASE_URL"].startswith("postgres"):
                await self._migrates(errors)
            self._program = await launched("serve", self._folder, self.settings, errors)
            stack.push_async_callback(self._program.swept)
            await self._program.until_ready(60)
            self.sandbox.connect(f"{self._program.url}/webhooks/sunshine")
            target = Target(int(self.settings["PORT"]), self._program.process.pid)
            company = Company(target, self.sandbox.secret, self._rng)
            beside = [company.keeps_coming(), self._weighs(), self._api_outages(), self._troubles()]
            tasks = [asyncio.create_task(each) for each in beside]
            async with self._people():
                await self._lasts(tasks)
                await tasks[-1]  # the last trouble is over before the end is judged
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._fault = None
            await self._at_rest()
            target.measure()
            code = await self._program.told_to_stop(30)
        self.figures |= {"exit code": code, "CPU s": target.figures.cpu, "log kB": self._errors.stat().st_size / 1000}
        self.figures |= {f"company answered {status}": number for status, number in sorted(company.answers.items())}
        return self._judged(code)

    async def _migrates(self, errors: int) -> None:
        migrating = await launched("migrate", self._folder, self.settings, errors)
        try:
            if code := await migrating.ended(60):
                raise RuntimeError(f"migrate ended with {code}")
        finally:
            await migrating.swept()

    def last_errors(self) -> list[str]:
        """Return the last lines that the bot's processes wrote to standard error."""
        return self._errors.read_text(errors="replace").splitlines()[-5:] if self._errors.exists() else []

    def prepared(self) -> str:
        """Make the database, and return its URL."""
        self._disk = self._folder / "disk"
        self._disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(self._disk)]
        self._mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603
        return f"sqlite:///{self._disk}/bot.db"

    def removed(self) -> None:
        """Take away what was made."""
        if self._mounted:
            subprocess.run(["umount", "-l", str(self._disk)], check=False, capture_output=True)  # noqa: S603, S607

    async def _troubles(self) -> None:
        """Fill the disk after a third, and after two thirds."""
        for _ in range(2):
            await asyncio.sleep(self._seconds / 3)
            async with self._cannot_store("full disk"):
                if self._mounted:
                    await self._fills_disk()
                else:
                    await self._cannot_write()

    async def _fills_disk(self) -> None:
        filler = self._disk / "filler"
        await asyncio.to_thread(_fill, filler)
        await asyncio.sleep(AWAY)
        filler.unlink()

    async def _cannot_write(self) -> None:
        """Where no file system can be mounted: no file of the bot may grow beyond its first page."""
        import resource

        pid = self._program.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
        await asyncio.sleep(AWAY)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

    @asynccontextmanager
    async def _cannot_store(self, why: str) -> AsyncIterator[None]:
        began = self.sandbox.clock.now()
        try:
            yield
        finally:
            self.windows.append((began, self.sandbox.clock.now()))
            self.record.paused.append(self.windows[-1])
            self.happened.append(why)

    async def _api_outages(self) -> None:
        while True:
            await asyncio.sleep(self._rng.uniform(self._seconds / 30, self._seconds / 15))
            self._fault = self._rng.choice(API_FAULTS)
            await asyncio.sleep(self._rng.uniform(AWAY / 4, AWAY))
            self._fault = None
            self.happened.append("API outage")

    async def _weighs(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        statm = Path(f"/proc/{self._program.process.pid}/statm")
        while True:
            with suppress(OSError):
                self.memory.append(int(statm.read_text().split()[1]) * page)  # noqa: ASYNC240 - no disk
            await asyncio.sleep(2)

    async def _lasts(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Wait, and tell every minute how it goes; nothing of it may end before its time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (left := began + self._seconds - loop.time()) > 0:
            done, _ = await asyncio.wait([*tasks], timeout=min(60, left), return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            if self._program.process.returncode is not None:
                raise RuntimeError(f"{self.engine}: the bot has ended: see {self._errors}")
            tried = self.sandbox.sender.attempts
            failed = sum(not attempt.delivered for attempt in tried)
            say(
                f"{self.engine:9}{(loop.time() - began) / 60:6.1f} min  {self.memory[-1] / 1e6:6.1f} MB  "
                f"{len(tried)} deliveries tried, {failed} not taken; {', '.join(self.happened[-3:])}"
            )

    def _latency(self, request: ApiRequest, moment: Moment) -> Fault | None:
        usual = super()._latency(request, moment)
        if self._fault is None or self._fault[0] is not moment:
            return usual
        called, fault = self._under_way[id(request)][0], self._fault[1]
        called.told, called.unclear = False, fault.status != 429
        return fault

    async def _at_rest(self) -> None:
        url = self.settings["DATABASE_URL"]
        store = open_store(url)
        await store.start()
        try:
            await self._until_rest(store)
        finally:
            await store.stop()
        self.record.inbox = await asyncio.to_thread(_statuses, url)

    def _judged(self, code: int) -> list[str]:
        wrong = [*violations(self.record)]
        ended = {entry.conversation_id for entry in self.record.history if entry.kind is Kind.ENDED}
        wrong += [f"still open: {id_}" for id_ in ended if id_ and self.record.holders[id_] is not None]
        tried = self.sandbox.sender.attempts
        wrong += [f"given up: {attempt.event_ids}" for attempt in tried if attempt.final and not attempt.delivered]
        for attempt in tried:
            late = timedelta(seconds=25)
            if not attempt.delivered and not any(since <= attempt.at <= until + late for since, until in self.windows):
                wrong.append(f"not taken at {attempt.at:%H:%M:%S}, try {attempt.number}: {attempt.status}")
        if code:
            wrong.append(f"it ended with {code}")
        self.figures["ended conversations"] = len(ended)
        self.figures["deliveries that took several tries"] = sum(a.delivered and a.number > 1 for a in tried)
        return wrong + self._grown()

    def _grown(self) -> list[str]:
        """Compare the memory after the first sixth with that at the end: medians over a twelfth of the time."""
        span = max(1, len(self.memory) // 12)
        before = statistics.median(self.memory[2 * span : 3 * span] or [1])
        after = statistics.median(self.memory[-span:] or [1])
        megabytes = {"after a sixth": before, "at the end": after, "peak": max(self.memory)}
        self.figures |= {f"MB {name}": size / 1e6 for name, size in megabytes.items()}
        self.figures["growth %"] = 100 * (after / before - 1)
        return [f"memory has grown by {100 * (after / before - 1):.1f} %"] if after > before * (1 + GROWTH) else []


class PostgresSoak(Soak):
    """The same on PostgreSQL, which is restarted: in good order, and as after a crash."""

    engine = "postgres"

    def prepared(self) -> str:
        """Start a server of its own."""
        self._server = PostgresServer(durable=True, port=free_port())
        return self._server.new_database(migrated=False)

    def removed(self) -> None:
        """End the server."""
        self._server.remove()

    async def _troubles(self) -> None:
        for mode in ("fast", "immediate", "fast", "immediate"):
            await asyncio.sleep(self._seconds / 5)
            async with self._cannot_store(f"restart ({mode})"):
                await asyncio.to_thread(self._server.stop, mode)
                await asyncio.sleep(self._rng.uniform(1, AWAY / 2))
                await asyncio.to_thread(self._server.start)


def _fill(filler: Path) -> None:
    """Write until the disk is full, to the last page."""
    with filler.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)


def _statuses(url: str) -> dict[str, str]:
    """The status of each event; junk is set aside, and is none of the checks' business."""
    found = {event.id: state for state in STATES for event in stored_events(url, Selection(state=state))}
    return {id_: str(state) for id_, state in found.items() if not id_.startswith(("junk-", "sha256:"))}


SOAKS: dict[str, list[Callable[..., Soak]]] = {
    "sqlite": [Soak],
    "postgres": [PostgresSoak],
    "both": [Soak, PostgresSoak],
}


async def _run(kinds: Sequence[Callable[..., Soak]], folder: Path, seed: int, minutes: float) -> bool:
    soaks = []
    for number, kind in enumerate(kinds):
        (place := folder / str(number)).mkdir()
        soaks.append(kind(place, seed + number, minutes))
    outcomes: list[Any] = await asyncio.gather(*(soak.run() for soak in soaks), return_exceptions=True)
    for soak, outcome in zip(soaks, outcomes, strict=True):
        wrong = (
            [f"the soak failed: {outcome!r}", *soak.last_errors()] if isinstance(outcome, BaseException) else outcome
        )
        say(f"\n{soak.engine}: {'; '.join(sorted(set(soak.happened)))}")
        for name, figure in soak.figures.items():
            say(f"  {name:40} {figure:g}")
        for line in wrong[:50]:
            say(f"  WRONG {line}")
        say(f"  {len(wrong)} wrong" if wrong else "  all is well")
    return all(outcome == [] for outcome in outcomes)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run it; 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--database", choices=SOAKS, default="both")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="copy the logs to this folder, if something is wrong")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as folder:
        well = asyncio.run(_run(SOAKS[given.database], Path(folder), given.seed, given.minutes))
        if not well and given.keep:
            shutil.copytree(folder, given.keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns("disk"))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
