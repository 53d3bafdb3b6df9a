"""`sandbox --flows`: a changed file counts at once, an error is shown, and conversations, ports, breakpoints stay."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

ROOT = Path(__file__).parents[2]
GREET = """
from bot import Chat, flow
from words import HELLO

@flow("greet")
async def greet(chat: Chat) -> None:
    answer = await chat.ask(HELLO)
    await chat.say("You said: " + answer.text)
"""
BREAKS = """
from bot import Chat, flow

@flow("greet")
async def greet(chat: Chat) -> None:
    name = "nobody"
    breakpoint()
    await chat.ask(f"Hello, {name}.")
"""


class Developer:
    """Somebody with a terminal, an editor and the chat page."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process, http: aiohttp.ClientSession) -> None:
        self.folder, self.process, self.http = folder, process, http
        self.links = ""
        self.url = ""

    def writes(self, **files: str) -> None:
        """Save files; each save is told from the one before by its size or time."""
        for name, text in files.items():
            (self.folder / f"{name}.py").write_text(text, encoding="utf-8")

    async def reads(self, wanted: str) -> str:
        """What the terminal shows, up to a part of a line."""
        text = ""
        assert self.process.stdout
        async with asyncio.timeout(60):
            while wanted not in text:
                piece = await self.process.stdout.read(1000)
                assert piece, text
                text += piece.decode()
        return text

    async def says(self, text: str, conversation: str = "") -> str:
        """Write, in a new conversation if none is given; returns its URL."""
        if not conversation:
            async with self.http.get(f"{self.url}api/state") as answer:
                user = (await answer.json())["firstUser"]
            async with self.http.post(f"{self.url}api/users/{user}/conversations", json={}) as answer:
                conversation = f"{self.url}api/conversations/{(await answer.json())['id']}"
        await self.http.post(f"{conversation}/user/say", json={"text": text})
        return conversation

    async def hears(self, wanted: str, conversation: str) -> list[str]:
        """Wait until that is the last message."""
        async with asyncio.timeout(60):
            while True:
                async with self.http.get(conversation) as answer:
                    said = [message["text"] for message in (await answer.json())["messages"]]
                if said[-1:] == [wanted]:
                    return said
                await asyncio.sleep(0.05)


@asynccontextmanager
async def _sandbox(folder: Path, *options: str) -> AsyncIterator[Developer]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bot", "sandbox", "--flows", "my_flows", "--opening-flow", "greet", *options),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with aiohttp.ClientSession() as http:
            developer = Developer(folder, process, http)
            developer.links = await developer.reads("Ctrl-C")
            developer.url = re.findall(r"http://127\.0\.0\.1:\d+/", developer.links)[0]
            yield developer
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(60):
                await process.wait()
            assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.timeout(180)
async def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    """Also one that the flows import. Who waits goes on, or begins anew. What can't be imported changes nothing."""
    (tmp_path / "my_flows.py").write_text(GREET, encoding="utf-8")
    (tmp_path / "words.py").write_text('HELLO = "Hello."', encoding="utf-8")
    async with _sandbox(tmp_path, "--port", "0") as developer:
        first = await developer.says("hi")
        await developer.hears("Hello.", first)

        developer.writes(my_flows=GREET.replace("You said", "I heard"))
        assert "my_flows.py changed: the bot runs with the new code" in await developer.reads("new code")
        await developer.says("tea", first)
        await developer.hears("I heard: tea", first)

        waiting = await developer.says("hi")
        await developer.hears("Hello.", waiting)
        developer.writes(words='HELLO = "Moin."')
        await developer.reads("words.py changed: the bot runs with the new code")
        await developer.says("tea", waiting)
        await developer.hears("Moin.", waiting)
        second = await developer.says("hi")
        await developer.hears("Moin.", second)

        developer.writes(words='HELLO = "Moin.')
        shown = await developer.reads("SyntaxError")
        assert "words.py changed, but is broken; the bot runs the old code:" in shown
        assert 'words.py", line 1' in shown
        developer.writes(words="HELLO = undefined_name")
        await developer.reads("NameError: name 'undefined_name' is not defined")
        developer.writes(my_flows=GREET.replace('"greet"', '"other"'), words='HELLO = "Servus."')
        await developer.reads("OPENING_FLOW: there is no flow 'greet'")
        third = await developer.says("hi")
        await developer.hears("Moin.", third)

        developer.writes(my_flows=GREET)
        await developer.reads("my_flows.py changed: the bot runs with the new code")
        await developer.hears("Servus.", await developer.says("hi"))
        async with developer.http.get(f"{developer.url}api/state") as answer:
            assert (await answer.json())["running"]
    assert not (tmp_path / "__pycache__").exists()


def _free_port() -> int:
    """One whose two neighbours are free as well, as far as one can tell."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port if port < 65_000 else _free_port()


@pytest.mark.timeout(180)
async def test_conversations_and_ports_stay_over_a_restart(tmp_path: Path) -> None:
    """With `--state`: the user goes on where the flow has asked, at the same address."""
    (tmp_path / "my_flows.py").write_text(GREET, encoding="utf-8")
    (tmp_path / "words.py").write_text('HELLO = "Hello."', encoding="utf-8")
    options = ("--port", str(_free_port()), "--state", "sandbox.json")
    async with _sandbox(tmp_path, *options) as developer:
        conversation = await developer.says("hi")
        await developer.hears("Hello.", conversation)
        links = developer.links
    async with _sandbox(tmp_path, *options) as developer:
        assert re.sub("token.*", "", developer.links) == re.sub("token.*", "", links)
        await developer.says("tea", conversation)
        assert await developer.hears("You said: tea", conversation) == ["hi", "Hello.", "tea", "You said: tea"]


@pytest.mark.timeout(180)
async def test_a_breakpoint_stops_the_flow_and_lets_it_go_on(tmp_path: Path) -> None:
    """The debugger has the terminal. Longer than a lease lasts, and nothing runs twice."""
    (tmp_path / "my_flows.py").write_text(BREAKS, encoding="utf-8")
    async with _sandbox(tmp_path, "--port", "0") as developer:
        saying = asyncio.create_task(developer.says("hi"))
        await developer.reads("(Pdb)")
        assert developer.process.stdin
        developer.process.stdin.write(b"name = 'Ada'\n")
        await asyncio.sleep(9)
        developer.process.stdin.write(b"continue\n")
        conversation = await saying
        assert await developer.hears("Hello, Ada.", conversation) == ["hi", "Hello, Ada."]
