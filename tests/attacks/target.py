"""A bot to attack: a process of its own, valid webhooks that go on meanwhile, and what all of it costs."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

SECRET = "the-secret-of-the-attacked-bot"
KEY = f"X-API-Key: {SECRET}\r\n"
PATH = "/webhooks/sunshine"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Figures:
    """What an attack has cost.

    Attributes:
        waits: seconds that each valid webhook waited for its answer.
        failed: how many of them got none within 20 s, or another one than 200.
        log_bytes: what the bot wrote to standard error.
        cpu: seconds of the processor that the bot took.
        memory: its largest resident size, in bytes.
        notes: what else there is to tell.
    """

    waits: list[float] = field(default_factory=list)
    failed: int = 0
    log_bytes: int = 0
    cpu: float = 0.0
    memory: int = 0
    notes: list[str] = field(default_factory=list)


class Target:
    """A running bot.

    Attributes:
        port: where it listens.
        figures: what has been measured so far.
    """

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.figures = Figures()
        self._pid = pid

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to it."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def sends(self, request: bytes, within: float = 60.0) -> bytes:
        """Send something on a connection of its own, and return the beginning of what comes back."""
        writer = None
        try:
            async with asyncio.timeout(within):
                reader, writer = await self.connect()
                writer.write(request)
                return await reader.read(4096)
        except (OSError, TimeoutError):
            return b""
        finally:
            if writer is not None:
                writer.transport.abort()

    def measure(self) -> None:
        """Look at what the process has used."""
        with suppress(OSError):
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
            self.figures.cpu = (int(fields[11]) + int(fields[12])) / _TICKS
            status = Path(f"/proc/{self._pid}/status").read_text()
            peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            self.figures.memory = int(peak.split()[1]) * 1024


def request(method: str, path: str, body: bytes = b"", headers: str = "") -> bytes:
    """An HTTP request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bot\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def delivery(*events: object) -> bytes:
    """The body of a webhook."""
    body = {"webhook": {"id": "w", "version": "v2"}, "events": events}
    return json.dumps(body, separators=(",", ":")).encode()


@asynccontextmanager
async def attacked(
    root: Path, database_url: str, settings: Mapping[str, str] | None = None, descriptors: int | None = None
) -> AsyncIterator[Target]:
    """Start a bot, and end it.

    Args:
        root: the folder of its code; another one than this checkout's shows how it was before.
        database_url: "" for a new SQLite file.
        settings: environment variables beside the usual ones.
        descriptors: its limit of open files, which it can't raise.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(root),
            "DATABASE_URL": database_url or f"sqlite:///{folder}/bot.db",
            "HOST": "127.0.0.1",
            "PORT": str(_free_port()),
            "SUNSHINE_BASE_URL": "http://127.0.0.1:1/sc",
            "SUNSHINE_APP_ID": "app",
            "SUNSHINE_KEY_ID": "int_attacked",
            "SUNSHINE_KEY_SECRET": "secret of the attacked",
            "SUNSHINE_SWITCHBOARD_INTEGRATION": "bot",
            "SUNSHINE_WEBHOOK_SECRET": SECRET,
            "CONSOLE_TOKEN": "token of the attacked console",
            "CONTROL_MODE": "release",
            **(settings or {}),
        }
        for command in ("migrate", "serve"):
            with log.open("wb") as errors:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "bot", command,
                    env=environment, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=errors,
                    preexec_fn=lambda: _limit(descriptors),
                )  # fmt: skip
            if command == "migrate" and await process.wait():
                raise RuntimeError(f"it does not migrate: {log.read_text()[-500:]}")
        target = Target(int(environment["PORT"]), process.pid)
        try:
            await _until_ready(target, log)
            yield target
            target.measure()
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(15):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            target.figures.log_bytes = log.stat().st_size


async def _until_ready(target: Target, log: Path) -> None:
    for _ in range(600):
        if (await target.sends(request("GET", "/readyz"))).startswith(b"HTTP/1.1 200"):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"it never got ready: see {log}")


def _limit(descriptors: int | None) -> None:
    if descriptors is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
