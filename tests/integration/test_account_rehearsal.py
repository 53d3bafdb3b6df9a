"""The newcomer's way, command by command as in docs/connect.md: account, setup, serve, doctor, chat, end, proof."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from bot_program import ROOT
from dotenv import dotenv_values
from tiers import combined, some

from bot.sandbox import BOT, WORKSPACE

KEY = "SUNSHINE_APP_KEY_SECRET="
PATIENCE = 60.0  # seconds; each command is a process of its own

pytestmark = pytest.mark.timeout(400)


class Desk:
    """A folder with a `.env`, the programs that run in it, and the platform's pages.

    Attributes:
        port: the account's; its pages are at the next one.
        bot_port: the bot's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.bot_port = _two_ports(), _two_ports()
        self.env = folder / ".env"
        self._programs: list[asyncio.subprocess.Process] = []

    async def begin(self, *command: str, **environment: str) -> asyncio.subprocess.Process:
        """Start a command that goes on."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", *command),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "300", **environment},
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._programs.append(process)
        return process

    async def run(self, *command: str) -> tuple[int, str]:
        """Run a command to its end: its exit code, and what it said."""
        process = await self.begin(*command)
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate()
        return int(process.returncode or 0), said.decode()

    async def account(self, *options: str) -> tuple[asyncio.subprocess.Process, str]:
        """Start an account: the process, and the `.env` that it prints."""
        process = await self.begin("sandbox", "--account", "--port", str(self.port), *options)
        assert process.stdout
        printed = ""
        async with asyncio.timeout(PATIENCE):
            while "CONTROL_MODE" not in printed:
                line = (await process.stdout.readline()).decode()
                assert line, printed
                printed += line
        return process, printed

    async def bot(self) -> asyncio.subprocess.Process:
        """Start `serve`, and wait until it is ready."""
        process = await self.begin("serve", LOG_LEVEL="WARNING")
        await self.until(f"http://127.0.0.1:{self.bot_port}/readyz", lambda _: True)
        return process

    async def page(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the platform's pages ask for, and what people do there."""
        url = f"http://127.0.0.1:{self.port + 1}/api/{path}"
        async with aiohttp.ClientSession() as http:
            answer = await (http.get(url) if body is None else http.post(url, json=body))
            assert answer.ok, await answer.text()
            return await answer.json()

    async def until(self, url: str, fits: Callable[[bytes], bool]) -> bytes:
        """Ask until the answer fits."""
        async with aiohttp.ClientSession() as http, asyncio.timeout(PATIENCE):
            while True:
                with suppress(aiohttp.ClientError):
                    async with http.get(url) as answer:
                        content = await answer.read()
                        if answer.ok and fits(content):
                            return content
                await asyncio.sleep(0.1)

    async def conversation(self, conversation_id: str, fits: Callable[[Any], bool]) -> Any:
        """Look at a conversation's page until it fits."""
        url = f"http://127.0.0.1:{self.port + 1}/api/conversations/{conversation_id}"
        return json.loads(await self.until(url, lambda content: fits(json.loads(content))))

    async def sweep(self) -> None:
        """No program outlives its test."""
        for process in self._programs:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """An empty folder."""
    made = Desk(tmp_path)
    yield made
    await made.sweep()


def from_the_page(command: str) -> list[str]:
    """The arguments of a command in the chapter "Rehearse it"."""
    page = (ROOT / "docs" / "connect.md").read_text(encoding="utf-8")
    chapter = page.partition("## Rehearse it")[2].partition("\n## ")[0]
    lines = re.findall(rf"^switchboard-bot ({command}.*)$", chapter, re.MULTILINE)
    assert len(lines) == 1
    return str(lines[0]).partition("|")[0].split()


@pytest.mark.parametrize("mode", some(["pass", "release"]))
async def test_from_nothing_to_a_proof(desk: Desk, mode: str) -> None:
    """The chapter's commands, on other ports: what the account prints is a `.env`; the end is proven."""
    assert from_the_page("serve") == ["serve"]
    _, printed = await desk.account("--mode", mode, *from_the_page("sandbox")[2:])
    desk.env.write_text(f"{printed}HOST=127.0.0.1\nPORT={desk.bot_port}\n", encoding="utf-8")
    code, said = await desk.run(*(one.replace("8080", str(desk.bot_port)) for one in from_the_page("setup")))
    assert code == 0, said
    await desk.bot()
    code, said = await desk.run(*from_the_page("doctor"))
    assert (code, "No errors" in said) == (0, True), said

    user = (await desk.page("state"))["firstUser"]
    conversation = (await desk.page(f"users/{user}/conversations", {}))["id"]
    await desk.page(f"conversations/{conversation}/user/say", {"text": "hello"})
    view = await desk.conversation(conversation, lambda view: any(one["from"] == "bot" for one in view["messages"]))
    assert view["holder"] == "bot"
    await desk.page(f"conversations/{conversation}/user/end", {})
    view = await desk.conversation(conversation, lambda view: view["holder"] == "nobody")
    assert (view["state"], view["ended"]) == ("closed", True)
    for _ in range(20):
        _, said = await desk.run("conversations", "show", conversation)
        if "proven" in said:
            return
    pytest.fail(f"no proof: {said}")


@pytest.mark.long
@pytest.mark.parametrize("what", ["webhook", "key"])
async def test_secrets_are_rotated(desk: Desk, what: str) -> None:
    """Run after run, each on a restarted bot, until it is finished; then all is well, and a chat closes."""
    _, printed = await desk.account("--untouched")
    desk.env.write_text(f"{printed}HOST=127.0.0.1\nPORT={desk.bot_port}\n", encoding="utf-8")
    url = f"http://127.0.0.1:{desk.bot_port}"
    await desk.run("setup", "--public-url", url, "--default-responder", "--yes")
    before = dotenv_values(desk.env)
    said = ""
    for _ in range(3 if what == "webhook" else 2):
        assert "The rotation is finished." not in said
        bot = await desk.bot()
        code, said = await desk.run("setup", "--rotate", what, *(("--yes",) if what == "key" else ()))
        assert code == 0, said
        bot.send_signal(signal.SIGTERM)
        await bot.communicate()
    assert "The rotation is finished." in said
    now = dotenv_values(desk.env)
    changed = {name for name in now if now[name] != before.get(name)}
    webhook, key = {"SUNSHINE_WEBHOOK_SECRET"}, {"SUNSHINE_KEY_ID", "SUNSHINE_KEY_SECRET"}
    assert changed == (webhook if what == "webhook" else key)

    await desk.bot()
    code, said = await desk.run("doctor")
    assert (code, "No errors." in said) == (0, True), said
    user = (await desk.page("state"))["firstUser"]
    conversation = (await desk.page(f"users/{user}/conversations", {}))["id"]
    await desk.page(f"conversations/{conversation}/user/say", {"text": "hello"})
    await desk.conversation(conversation, lambda view: any(one["from"] == "bot" for one in view["messages"]))
    await desk.page(f"conversations/{conversation}/user/end", {})
    await desk.conversation(conversation, lambda view: view["holder"] == "nobody")


@pytest.mark.long
async def test_the_account_outlives_a_kill(desk: Desk) -> None:
    """With --state, an account that is killed and started again is the same; what comes then is new to the bot."""
    account, printed = await desk.account("--untouched", "--state", "account.json")
    desk.env.write_text(f"{printed}HOST=127.0.0.1\nPORT={desk.bot_port}\n", encoding="utf-8")
    url = f"http://127.0.0.1:{desk.bot_port}"
    code, said = await desk.run("setup", "--public-url", url, "--default-responder", "--yes")
    assert code == 0, said
    await desk.bot()
    user = (await desk.page("state"))["firstUser"]
    first = (await desk.page(f"users/{user}/conversations", {}))["id"]
    await desk.page(f"conversations/{first}/user/say", {"text": "hello"})
    await desk.conversation(first, lambda view: any(one["from"] == "bot" for one in view["messages"]))
    await asyncio.sleep(0.2)  # the file follows a change within a twentieth of a second

    account.kill()
    await account.communicate()
    _, again = await desk.account("--state", "account.json")

    assert [line for line in again.splitlines() if KEY in line] == [
        line for line in printed.splitlines() if KEY in line
    ]
    code, said = await desk.run("doctor")
    assert code == 0, said
    second = (await desk.page(f"users/{user}/conversations", {}))["id"]
    await desk.page(f"conversations/{second}/user/say", {"text": "hello again"})
    view = await desk.conversation(second, lambda view: any(one["from"] == "bot" for one in view["messages"]))
    assert view["holder"] == "bot"
    assert (await desk.page(f"conversations/{first}"))["messages"][0]["text"] == "hello"


@pytest.mark.long
async def test_an_account_that_knows_the_bot(desk: Desk) -> None:
    """Without --untouched nothing has to be set up: the `.env` is whole, and the same at each start."""
    account, printed = await desk.account("--mode", "release")
    values = dict(line.split("=", 1) for line in printed.splitlines() if not line.startswith("#"))
    account.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        rest, _ = await account.communicate()
    assert account.returncode == 0
    values |= dict(line.split("=", 1) for line in rest.decode().splitlines() if line)
    assert values["SUNSHINE_SWITCHBOARD_INTEGRATION"] == BOT
    assert values["PASS_TO"] == WORKSPACE
    assert values["CONTROL_MODE"] == "release"
    assert values["SUNSHINE_BASE_URL"] == f"http://127.0.0.1:{desk.port}/sc"

    _, again = await desk.account("--mode", "release")

    assert set(again.splitlines()) <= {*printed.splitlines(), *rest.decode().splitlines()}


REFUSALS = [
    ("--account --port 0 --state other.json", "--state: other.json is not the state"),
    ("--untouched", "--untouched: requires --account"),
    ("--account --flows mine --open", "--flows, --open: not allowed with --account, which runs no bot"),
    ("--account --port 0 --state none/a.json", "--state: none/a.json can't be written: No such file"),
    ("--account --host 0.0.0.0", "--host: other machines can reach 0.0.0.0"),
    ("--account --port TAKEN", "Address already in use. Choose another port"),
]


@pytest.mark.parametrize(("options", "told"), combined(*REFUSALS, count=0))
async def test_what_it_refuses(desk: Desk, options: str, told: str) -> None:
    """One line each, and code 2: options of the other form, a state that is none, a port that is taken."""
    (desk.folder / "other.json").write_text("{}", encoding="utf-8")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, said = await desk.run("sandbox", *options.replace("TAKEN", port).split())
        assert (code, len(said.splitlines())) == (2, 1), said
        assert told in said
    assert re.fullmatch(r"\{\}", (desk.folder / "other.json").read_text(encoding="utf-8"))


def _two_ports() -> int:
    """A port that nobody listens on, nor on the one after it."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    pytest.fail("no two free ports")
