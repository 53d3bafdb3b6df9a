"""`switchboard-bot sandbox` as a program: it prints where to go, ends at once, and says what is wrong in one line."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tiers import some

ROOT = Path(__file__).parents[2]
OWN = """
from bot import Chat, flow

@flow("greet")
async def greet(chat: Chat) -> None:
    await chat.ask("Hello, this is mine.")
"""


_PROCESSES: list[asyncio.subprocess.Process] = []


@pytest.fixture(autouse=True)
async def _swept() -> AsyncIterator[None]:
    """No process outlives its test, whatever becomes of it."""
    yield
    for process in _PROCESSES:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    _PROCESSES.clear()


async def _started(folder: Path, *options: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bot", "sandbox", *options),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _PROCESSES.append(process)
    return process


async def _links(process: asyncio.subprocess.Process) -> str:
    """What it prints up to "Ctrl-C"."""
    text = ""
    assert process.stdout
    async with asyncio.timeout(60):
        while "Ctrl-C" not in text:
            line = await process.stdout.readline()
            assert line, text
            text += line.decode()
    return text


def _files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def _refused(folder: Path, *options: str) -> str:
    process = await _started(folder, *options)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert len(err.splitlines()) == 1
    return err.decode()


@pytest.mark.parametrize("how", some([signal.SIGINT, signal.SIGTERM]))
async def test_it_runs_until_it_is_told_to_stop(tmp_path: Path, how: signal.Signals) -> None:
    """The links work; then it ends within two seconds, also with a page open, and leaves nothing behind."""
    process = await _started(tmp_path, "--port", "0", "--mode", "release")
    links = await _links(process)
    url, console = re.findall(r"http://127\.0\.0\.1:\d+/(?!agent)\S*", links)
    assert console.endswith("/console")
    assert f"{url}agent" in links
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.get(f"{url}api/state") as answer:
            state = await answer.json()
        assert (state["account"], state["bot"], state["running"]) == ("release", "release", True)
        async with http.get(f"{url}console") as answer:
            assert (answer.status, str(answer.url)) == (200, console)  # signed in by the way there
        async with http.get(f"{url}console?conversation=../<x") as answer:
            assert (answer.status, answer.url.raw_path) == (404, "/console/conversations/..%2F%3Cx")
        async with http.get(f"{url}api/changes") as stream:
            await stream.content.readline()
            before = time.monotonic()
            process.send_signal(how)
            async with asyncio.timeout(60):
                _, err = await process.communicate()
            took = time.monotonic() - before
    assert (process.returncode, err) == (0, b"")
    assert took < 4.5  # a stop that waits for open streams takes five seconds
    assert _files(tmp_path) == []


async def test_flows_of_ones_own(tmp_path: Path) -> None:
    """`--flows` names a module beside which it is started; the tea shop's flows are not asked for then."""
    (tmp_path / "my_flows.py").write_text(OWN, encoding="utf-8")
    process = await _started(tmp_path, "--port", "0", "--flows", "my_flows", "--opening-flow", "greet")
    links = await _links(process)
    url = re.findall(r"http://127\.0\.0\.1:\d+/", links)[0]
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{url}api/state") as answer:
            user = (await answer.json())["firstUser"]
        async with http.post(f"{url}api/users/{user}/conversations", json={}) as answer:
            conversation = f"{url}api/conversations/{(await answer.json())['id']}"
        await http.post(f"{conversation}/user/say", json={"text": "hello"})
        said: list[str] = []
        async with asyncio.timeout(60):
            while said != ["hello", "Hello, this is mine."]:
                async with http.get(conversation) as answer:
                    said = [message["text"] for message in (await answer.json())["messages"]]
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        await process.communicate()
    assert process.returncode == 0


@pytest.mark.long
async def test_a_database_of_its_own_stays(tmp_path: Path) -> None:
    """`--database` names a file, which is there afterwards."""
    process = await _started(tmp_path, "--port", "0", "--database", "mine.db")
    await _links(process)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        await process.communicate()
    assert process.returncode == 0
    assert "mine.db" in _files(tmp_path)


@pytest.mark.long
async def test_what_it_refuses(tmp_path: Path) -> None:
    """One line each, and code 2: a host that others reach, flows that are not there, no database."""
    assert "--anyone" in await _refused(tmp_path, "--host", "0.0.0.0")  # noqa: S104 - it is what must not be
    assert "--flows: " in await _refused(tmp_path, "--port", "0", "--flows", "no_such_module")
    assert "--opening-flow: " in await _refused(tmp_path, "--port", "0", "--opening-flow", "none")
    assert "DATABASE_URL" in await _refused(tmp_path, "--port", "0", "--database", "mysql://there")


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """One line, and code 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = await _refused(tmp_path, "--port", str(port))
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in told
