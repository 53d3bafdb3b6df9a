"""An account that has never seen the bot, on a real HTTP sandbox, and the commands that set it up and look at it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bot_program import free_port
from typer.testing import CliRunner, Result

from bot.app import running
from bot.cli import app
from bot.sandbox import Sandbox, Switches
from bot.settings import load_settings
from bot.store import migrate

ALL_OF_IT = ("--default-responder", "--yes")
WRITING = ("POST", "PATCH", "PUT", "DELETE")


@dataclass(slots=True)
class Place:
    """A sandbox, a settings file, and perhaps a running bot.

    Attributes:
        sandbox: the platform.
        file: the settings file.
        mode: `release` or `pass`.
        url: what the bot's public URL is.
        findings: of the last `doctor`, without those that are ok, as (level, name).
    """

    sandbox: Sandbox
    file: Path
    mode: str
    url: str
    findings: list[tuple[str, str]] = field(default_factory=list)
    _bot: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def account(self) -> dict[str, str]:
        """What a person brings along: the environment for `setup`."""
        return {
            "SUNSHINE_BASE_URL": self.sandbox.base_url,
            "SUNSHINE_APP_ID": self.sandbox.app_id,
            "SUNSHINE_APP_KEY_ID": self.sandbox.app_key.id,
            "SUNSHINE_APP_KEY_SECRET": self.sandbox.app_key.secret,
        }

    async def run(self, *command: str, **environment: str | None) -> Result:
        """Run a command to its end, as from a script."""
        arguments = [*command, "--env-file", str(self.file)]
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, env={"COLUMNS": "300", **environment})

    async def setup(self, *options: str, **environment: str | None) -> Result:
        """`setup` with the account's key in the environment."""
        command = ("setup", "--mode", self.mode, "--public-url", self.url, *options)
        return await self.run(*command, **{**self.account, **environment})

    async def doctor(self) -> Result:
        """`doctor --json`, with nothing but the file, and a flow where the file names none."""
        named = "OPENING_FLOW=" in self.file.read_text()
        result = await self.run("doctor", "--json", OPENING_FLOW=None if named else "triage")
        shown = json.loads(result.stdout)
        self.findings = [(one["level"], one["name"]) for one in shown["findings"] if one["level"] != "ok"]
        return result

    async def restart(self) -> None:
        """End the bot if it runs, and start it with what the file says now."""
        await self._bot.aclose()
        settings = load_settings(_env_file=self.file)
        database = self.file.parent / "bot.db"
        if not database.exists():
            database.write_bytes(migrated())
        await self._bot.enter_async_context(running(settings, hooks=()))

    async def stop(self) -> None:
        """End the bot if it runs."""
        await self._bot.aclose()

    def writes(self) -> list[str]:
        """The requests that could have changed something, since the last look."""
        found = [request.operation for request in self.sandbox.server.requests if request.method in WRITING]
        self.sandbox.server.requests.clear()
        return found

    def set(self, **values: str | None) -> None:
        """Change lines of the file by hand; None takes one out."""
        lines = [line for line in self.file.read_text().splitlines() if line.partition("=")[0] not in values]
        lines += [f"{name}={value}" for name, value in values.items() if value is not None]
        self.file.write_text("\n".join([*lines, ""]))

    def change(self, name: str, **changes: Any) -> None:
        """Change a switchboard integration behind everybody's back."""
        board = self.sandbox.switchboard
        assert board.switchboard_id
        board.update_switchboard_integration(board.switchboard_id, board.member(name).id, changes)


@cache
def migrated() -> bytes:
    """A database at this version's schema."""
    with TemporaryDirectory() as folder:
        migrate(f"sqlite:///{folder}/bot.db")
        return Path(folder, "bot.db").read_bytes()


@asynccontextmanager
async def fresh(folder: Path, mode: str, time_scale: float = 1.0) -> AsyncIterator[Place]:
    """An account without the bot, in which answerBot answers first; and an almost empty settings file.

    `time_scale`: what the waits between attempts of a delivery are multiplied with.
    """
    switches = Switches(mode="pass" if mode == "pass" else "release")
    async with Sandbox(switches=switches, untouched=True, time_scale=time_scale) as sandbox:
        sandbox.forget_bot()
        port = free_port()
        file = folder / ".env"
        file.write_text(
            f"# ours\nDATABASE_URL=sqlite:///{folder}/bot.db\nHOST=127.0.0.1\nPORT={port}  # free\n\nLOG_LEVEL=ERROR\n"
        )
        yield Place(sandbox, file, mode, f"http://127.0.0.1:{port}")


@asynccontextmanager
async def set_up(folder: Path, mode: str, time_scale: float = 1.0) -> AsyncIterator[Place]:
    """The same after `setup`, with the bot running."""
    async with fresh(folder, mode, time_scale) as place:
        result = await place.setup(*ALL_OF_IT)
        assert result.exit_code == 0, result.output
        await place.restart()
        place.writes()
        try:
            yield place
        finally:
            await place.stop()
