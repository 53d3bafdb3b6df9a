"""What is measured runs in processes of its own, which are started, watched and ended here."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from .deliveries import BOT, SECRET
from .load import BenchError

ROOT = Path(__file__).parents[2]
START_PATIENCE = 60.0  # seconds
STOP_PATIENCE = 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Contestant:
    """A running process.

    Attributes:
        port: where it listens; 0: nowhere.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self._process = process
        self._log = log
        self.port = port

    async def ready(self) -> None:
        """Wait until something listens on its port. Raises `BenchError` if it ends before."""
        until = time.monotonic() + START_PATIENCE
        while time.monotonic() < until:
            self.check()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise BenchError(f"{self._log.stem} did not listen within {START_PATIENCE:g} s, see {self._log}")

    def check(self) -> None:
        """Raise `BenchError` if it has ended."""
        if self._process.poll() is not None:
            lines = self._log.read_text(errors="replace").splitlines()[-5:]
            raise BenchError(f"{self._log.stem} ended by itself: " + " | ".join(lines))

    @property
    def cpu_seconds(self) -> float:
        """Of all its threads, so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def memory_bytes(self) -> int:
        """What it holds in memory that is its own: no file pages that the kernel can drop."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return 1024 * int(line.split()[1])
        raise BenchError("this kernel does not tell a process's memory")

    def wait_for_success(self) -> None:
        """Wait for its end. Raises `BenchError` if it failed."""
        if self._process.wait(START_PATIENCE):
            self.check()

    def kill(self) -> None:
        """`kill -9`, and wait for its end."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that is not enough."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_PATIENCE)
        if self._process.poll() is None:
            self.kill()


@contextmanager
def launched(
    name: str, command: list[str], folder: Path, environment: Mapping[str, str], port: int | None = None
) -> Iterator[Contestant]:
    """Run a command until the end of the block.

    Args:
        name: for its log, `<name>.log` in the folder.
        command: what to run.
        folder: where.
        environment: what it is told, besides its PORT.
        port: where it is to listen; None: on a free one.
    """
    port = free_port() if port is None else port
    log = folder / f"{name}.log"
    known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOST": "127.0.0.1", "PORT": str(port)}
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            command, cwd=folder, env={**known, **environment}, stdout=output, stderr=output
        )
        contestant = Contestant(process, port, log)
        try:
            yield contestant
        finally:
            contestant.stop()


@asynccontextmanager
async def served(
    name: str, folder: Path, environment: Mapping[str, str] | None = None, python: str = sys.executable
) -> AsyncIterator[Contestant]:
    """A module of `tests.bench.contestants`, ready."""
    command = [python, "-m", f"tests.bench.contestants.{name}"]
    with launched(name, command, folder, environment or {}) as contestant:
        await contestant.ready()
        yield contestant


@asynccontextmanager
async def bot(
    part: str, folder: Path, database_url: str, platform_port: int, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Contestant]:
    """A command of the bot (`serve`, `web`, `worker`), ready; the database is made by `migrate`, as in production."""
    environment = {**bot_settings(database_url, platform_port), **(settings or {})}
    with launched("migrate", [sys.executable, "-m", "bot", "migrate"], folder, environment) as migration:
        await asyncio.to_thread(migration.wait_for_success)
    with launched(f"bot-{part}", [sys.executable, "-m", "bot", part], folder, environment) as contestant:
        if part != "worker":
            await contestant.ready()
        yield contestant


def bot_settings(database_url: str, platform_port: int) -> dict[str, str]:
    """The bot's environment; log level ERROR, so that no terminal is measured."""
    return {
        "DATABASE_URL": database_url,
        "SUNSHINE_BASE_URL": f"http://127.0.0.1:{platform_port}",
        "SUNSHINE_APP_ID": "5fapp",
        "SUNSHINE_KEY_ID": "int_benchmark",
        "SUNSHINE_KEY_SECRET": "benchmark-benchmark",
        "SUNSHINE_SWITCHBOARD_INTEGRATION": BOT["id"],
        "SUNSHINE_WEBHOOK_SECRET": SECRET,
        "CONTROL_MODE": "pass",
        "FLOWS": "tests.bench.contestants.bot_flows",
        "OPENING_FLOW": "endless",
        "LOG_LEVEL": "ERROR",
    }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
