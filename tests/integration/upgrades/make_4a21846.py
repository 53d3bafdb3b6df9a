"""Makes the databases beside this file, with the code of commit 4a21846: a bot that was killed in its work.

    git clone . /tmp/old && git -C /tmp/old checkout 4a21846
    .venv/bin/python tests/integration/upgrades/make_4a21846.py /tmp/old

The account is that version's stand-in; `web` and `worker` of that version run as processes of their own. People talk,
the API breaks down, more people talk, the worker is killed (-9), and people go on. Then the database is dumped as SQL,
with what the platform knows beside it, as a state file of today's stand-in. Conversations, by the name of their user:

==============  =====================================================================
asked           a flow waits for an answer, with a journal and a clean-up to come
napping         a flow sleeps
with_agent      an agent has control
surveyed        an agent has closed the ticket, and the closing flow waits for an answer
proven          the user has ended it; released, with proof
heard           the flow's first words were said, but the answer of the API was lost
talking         three lines, and control to be passed on, are in the outbox
owing           the user has answered; the last words, and control to be passed on, are in the outbox
unproven        the user has ended it while the bot held control; not released yet
unread          the user has written first, and no worker has seen it
answered        the user has answered, and no worker has seen it
ended_unread    the user has ended it, and no worker has seen it
==============  =====================================================================
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OLD = Path(sys.argv[1]).resolve()
sys.path[:0] = [str(OLD), str(OLD / "tests")]

from postgres_server import PostgresServer  # noqa: E402 - the old version's
from pydantic import TypeAdapter  # noqa: E402

import bot  # noqa: E402
from bot.sandbox import Fault, Moment, Sandbox, Switches, Visitor  # noqa: E402
from bot.sandbox.records import Conversation, Integration, SwitchboardIntegration, Ticket, User, Webhook  # noqa: E402

assert Path(str(bot.__file__)).is_relative_to(OLD), f"this is not the old version: {bot.__file__}"

PATIENCE = 20.0  # seconds


def main() -> None:
    """Make both."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bot.db"
        asyncio.run(make("sqlite", f"sqlite:///{path}", lambda: dumped_sqlite(path)))
    server = PostgresServer()
    try:
        url = server.new_database(migrated=False)
        asyncio.run(make("postgres", url, lambda: dumped_postgres(server, url)))
    finally:
        server.remove()


async def make(engine: str, url: str, dump: Callable[[], str]) -> None:
    """Play it on a database, and write both files."""
    port = free_port()
    target = f"http://127.0.0.1:{port}/webhooks/sunshine"
    sandbox = Sandbox(switches=Switches(mode="pass"), webhook_url=target)
    async with sandbox:
        environment = {
            **sandbox.settings_for_bot(),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{OLD}:{HERE}",
            "DATABASE_URL": url,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "CONTROL_MODE": "pass",
            "FLOWS": "upgrade_flows",
            "LOG_LEVEL": "ERROR",
        }
        environment["OPENING_FLOW"] = ""
        run(environment, "migrate").wait()
        web, worker = run(environment, "web"), run(environment, "worker")
        try:
            people = await play(sandbox, worker, port)
            at = datetime.now(UTC)
            script = dump()
        finally:
            web.kill()
            worker.kill()
            web.wait()
            worker.wait()
        state = platform(sandbox)
    about = {"at": at.isoformat(), "conversations": {name: one.conversation_id for name, one in people.items()}}
    head = f"-- made at {at.isoformat()} by {Path(__file__).name}, with the code of commit 4a21846\n"
    (HERE / f"{engine}_4a21846.sql").write_text(head + script, encoding="utf-8")
    known = json.dumps({"about": about, "state": state}, indent=1)
    (HERE / f"{engine}_4a21846.json").write_text(f"{known}\n", encoding="utf-8")


async def play(sandbox: Sandbox, worker: subprocess.Popen[bytes], port: int) -> dict[str, Visitor]:
    """What happens, up to the moment of the dump."""
    people: dict[str, Visitor] = {}

    async def comes(name: str, text: str, hears: str = "") -> Visitor:
        people[name] = sandbox.visitor(name)
        await people[name].says(text)
        if hears:
            await people[name].waits_for(hears, PATIENCE)
        return people[name]

    await until(lambda: listens(port))
    for name in ("asked", "owing", "unproven", "answered", "ended_unread"):
        await comes(name, "shop", "What would you like?")
    await comes("napping", "nap", "One moment.")
    for name in ("with_agent", "surveyed"):
        visitor = await comes(name, "quick")
        await sandbox.agent().waits_for_ticket(visitor, PATIENCE)
    closing_agent = sandbox.agent("Grace")
    await closing_agent.waits_for_ticket(people["surveyed"], PATIENCE)
    await closing_agent.says("Done.")
    await closing_agent.closes()
    await people["surveyed"].waits_for("How was it?", PATIENCE)
    await comes("proven", "shop", "What would you like?")
    await people["proven"].ends()
    await people["proven"].waits_until_closed(PATIENCE)
    await asyncio.sleep(2)  # until the proof is stored

    lost: list[str] = []

    def breaks_down(request: Any, moment: Moment) -> Fault | None:
        if not lost and request.operation == "PostMessage" and moment is Moment.AFTER:
            lost.append(request.operation)
            return Fault(reset=True)
        return Fault(status=503) if lost else None

    sandbox.server.faults = breaks_down
    await comes("heard", "shop", "What would you like?")
    await until(lambda: bool(lost))
    await comes("talking", "talker")
    await people["owing"].taps("Tea")
    await people["unproven"].ends()
    await asyncio.sleep(3)  # until all of it has been tried in vain
    worker.kill()
    worker.wait()
    await comes("unread", "shop")
    await people["answered"].taps("Cake")
    await people["ended_unread"].ends()
    await sandbox.sender.settled()
    return people


def platform(sandbox: Sandbox) -> dict[str, Any]:
    """What the platform knows, as today's stand-in keeps it in a file."""
    board = sandbox.switchboard
    kinds: Mapping[str, Any] = {
        "members": dict[str, SwitchboardIntegration],
        "integrations": dict[str, Integration],
        "webhooks": dict[str, Webhook],
        "users": dict[str, User],
        "conversations": dict[str, Conversation],
        "tickets": list[Ticket],
    }
    kept = {name: TypeAdapter(kind).dump_python(getattr(board, name), mode="json") for name, kind in kinds.items()}
    plain = ("app_id", "channel_id", "switchboard_id", "enabled", "default_id", "settings")
    keys = [sandbox.integration_key, sandbox.app_key]
    return {
        "version": 1,
        "made": 1000,
        "keys": [TypeAdapter(type(key)).dump_python(key, mode="json") for key in keys],
        "history": [],
        **{name: getattr(board, name) for name in plain},
        **kept,
        "clients": {},
        "attachments": {},
        "widget_seen": {},
    }


def run(environment: Mapping[str, str], command: str) -> subprocess.Popen[bytes]:
    """Start a command of the old version."""
    return subprocess.Popen([sys.executable, "-m", "bot", command], env=environment, cwd=HERE)  # noqa: S603


def dumped_sqlite(path: Path) -> str:
    """The database as SQL."""
    with closing(sqlite3.connect(path)) as connection:
        return "\n".join(connection.iterdump()) + "\n"


def dumped_postgres(server: PostgresServer, url: str) -> str:
    """The database as SQL that a driver takes: without psql's own commands and settings."""
    command = [str(server._binaries / "pg_dump"), "--inserts", "--no-owner", "--no-privileges", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    lines = [line for line in text.splitlines() if not re.match(r"\\|SET |SELECT pg_catalog.set_config|--|$", line)]
    return "\n".join(lines) + "\n"


def listens(port: int) -> bool:
    """Does somebody listen there?"""
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def until(look: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(PATIENCE):
        while not look():  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    main()
