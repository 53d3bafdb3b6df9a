"""A command of the bot as a process of its own, started and ended by tests."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import aiohttp
import pytest
from postgres_server import CHOSEN

ROOT = Path(__file__).parents[2]


class Program:
    """A running command.

    Attributes:
        url: where it listens.
        errors: what it wrote to standard error, once it has ended; empty unless that is a pipe.
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.errors = b""

    async def ended(self, within: float = 60.0) -> int:
        """Wait for its end, and return its exit code."""
        async with asyncio.timeout(within):
            _, errors = await self.process.communicate()
        self.errors = errors or b""  # None: it went to a file
        return int(self.process.returncode or 0)

    async def told_to_stop(self, within: float = 60.0) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.ended(within)

    async def killed(self) -> None:
        """`kill -9`."""
        self.process.kill()
        assert await self.ended() == -signal.SIGKILL

    async def swept(self) -> None:
        """End it if it still runs."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.communicate()

    async def until_ready(self, within: float = 60.0) -> None:
        """Wait until `/readyz` answers 200."""
        async with aiohttp.ClientSession() as http:
            for _ in range(round(within / 0.05)):
                with suppress(aiohttp.ClientError):
                    async with http.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                if self.process.returncode is not None:
                    code = await self.ended()
                    pytest.fail(f"it ended with {code}: {self.errors.decode() or 'see its standard error'}")
                await asyncio.sleep(0.05)
        pytest.fail("it never got ready")


async def launched(
    command: str,
    folder: Path,
    settings: Mapping[str, str],
    errors: IO[bytes] | int = asyncio.subprocess.PIPE,
    *,
    program: Sequence[str] = ("-m", "bot"),
) -> Program:
    """Start a command of the bot on the database `bot.db` of a folder, or where the test has chosen another `engine`.

    Args:
        command: as on the command line.
        folder: where it runs.
        settings: its environment; without PORT, it gets a free one.
        errors: where its standard error goes. A pipe that nobody reads must not fill up.
        program: what Python is to run.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": CHOSEN.url or f"sqlite:///{folder}/bot.db",
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, *program, command, env=environment, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=errors
    )
    return Program(process, int(environment["PORT"]))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
