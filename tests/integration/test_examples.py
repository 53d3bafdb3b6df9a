"""`examples/`: the commands of their page, as they stand there, begin a sandbox in which the flow speaks."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tiers import combined

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMANDS = re.findall(r"^\.\./\.venv/bin/switchboard-bot (.+)$", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
SAYS = {
    "order_status": "What is the number of your order?",
    "lead_form": "What is your name?",
    "assistant": "I know about orders. Try “Where is order 12345”.",
    "appointment": "Which time suits you?",
    "feedback": "How did we do?",
}


@asynccontextmanager
async def _sandbox(command: str, temporary: Path) -> AsyncIterator[str]:
    """Run a command of the page in its folder; gives the address of the sandbox's pages."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *shlex.split(command), "--port", "0"),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(EXAMPLES.parent), "TMPDIR": str(temporary)},
        cwd=EXAMPLES,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        text = ""
        assert process.stdout
        async with asyncio.timeout(60):
            while "Ctrl-C" not in text:
                line = await process.stdout.readline()
                assert line, text
                text += line.decode()
        yield re.findall(r"http://127\.0\.0\.1:\d+/", text)[0]
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def test_each_example_has_its_command() -> None:
    """And its tests."""
    flows = {file.stem for file in EXAMPLES.glob("*.py") if not file.name.startswith("test_")}
    assert {shlex.split(command)[2] for command in COMMANDS} == flows == set(SAYS)
    assert all((EXAMPLES / f"test_{name}.py").exists() for name in flows)


@pytest.mark.parametrize(("flow", "command"), combined(*((shlex.split(line)[2], line) for line in COMMANDS)))
async def test_the_flow_speaks(tmp_path: Path, flow: str, command: str) -> None:
    """The opening flows to a user who says hello, the closing flow once the agent has closed the ticket."""
    async with _sandbox(command, tmp_path) as url, aiohttp.ClientSession() as http, asyncio.timeout(60):
        async with http.get(f"{url}api/state") as answer:
            user = (await answer.json())["firstUser"]
        async with http.post(f"{url}api/users/{user}/conversations", json={}) as answer:
            conversation = f"{url}api/conversations/{(await answer.json())['id']}"
        await http.post(f"{conversation}/user/say", json={"text": "hello"})
        said: list[str] = []
        while SAYS[flow] not in said:
            async with http.get(conversation) as answer:
                state = await answer.json()
            said = [message["text"] for message in state["messages"]]
            if "--closing-flow" in command and state["holder"] == "agent":
                await http.post(f"{conversation}/agent/close", json={})
            await asyncio.sleep(0.05)
