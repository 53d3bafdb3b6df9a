"""Growth: turns a second and memory where 1,000, 1,000,000 and 100,000 still open conversations are stored.

The stored ones are copies, made within the database, of one that the bot itself has served: of a closed one (message,
answer, end, proven release), or of an open one that waits for its user.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack, closing
from functools import partial

from .databases import PROVEN, number
from .deliveries import control_released, user_ends, user_writes
from .figures import Figure, Sample, at_least, at_most, figure, rounds
from .load import BenchError, Sender
from .processes import bot
from .setting import Database, Setting
from .stub import RELEASE, SAY, platform
from .turns import USERS, Talk

FEW, MANY, OPEN = 1_000, 1_000_000, 100_000
SECONDS = 5.0  # a round
PATIENCE = 20.0
MODEL = "model-of-all"
RATE_GOAL, MEMORY_GOAL = at_least(0.95), at_most(1.1)
_WAITING = "SELECT count(*) FROM conversations WHERE lease_until IS NULL AND run_id IS NOT NULL"


async def measure(setting: Setting) -> list[Figure]:
    """SQLite, where the whole database is in the bot's own process."""
    database = setting.databases[0]
    stored = {"few": (FEW, False), "many": (setting.sized(MANY), False), "open": (setting.sized(OPEN), True)}
    async with AsyncExitStack() as stack:
        talks = {}
        for name, (conversations, open_) in stored.items():
            stub = await stack.enter_async_context(platform())
            url = await _filled(setting, database, name, conversations, open_=open_)
            process = await stack.enter_async_context(bot("serve", setting.folder, url, stub.port))
            talks[name] = Talk(process, stub)
        plays = {name: partial(_round, talk, setting.lasting(SECONDS)) for name, talk in talks.items()}
        for play in plays.values():
            await play()  # warm
        samples = await rounds(setting.rounds, plays)
    few, against = samples["few"], f"{FEW:,} stored"
    figures = []
    for name, what in (("many", f"{stored['many'][0]:,} stored"), ("open", f"{stored['open'][0]:,} open")):
        figures.append(figure("growth", f"{what}: turns", "turns/s", samples[name], against, few, "rate", RATE_GOAL))
        figures.append(figure("growth", f"{what}: memory", "MB", samples[name], against, few, "memory", MEMORY_GOAL))
    return figures


async def _round(talk: Talk, seconds: float) -> Sample:
    sample = await talk.round(seconds, 0.0, USERS)
    return {**sample, "memory": talk.contestant.memory_bytes / 1e6}


async def _filled(setting: Setting, database: Database, name: str, conversations: int, *, open_: bool) -> str:
    url = database.new(f"growth_{name}")
    async with platform() as stub, bot("serve", setting.folder, url, stub.port) as process:
        sender = Sender(process.port)

        def called(conversation_id: str, action: str) -> None:
            if action == SAY and not open_:
                sender.send(user_ends(conversation_id))
            elif action == RELEASE:
                sender.send(control_released(conversation_id))

        stub.on_call = called
        sender.send(user_writes(MODEL))
        await _until(url, _WAITING if open_ else PROVEN)
        sender.close()
    await asyncio.to_thread(_copy, url, conversations)
    return url


async def _until(url: str, question: str) -> None:
    for _ in range(int(PATIENCE / 0.1)):
        if await number(url, question):
            return
        await asyncio.sleep(0.1)
    raise BenchError(f"the model conversation did not come to rest within {PATIENCE:g} s")


def _copy(url: str, conversations: int) -> None:
    """Copy every row of the model, with its name replaced, as often as there are to be conversations."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        for quickly in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000"):
            connection.execute(f"PRAGMA {quickly}")
        connection.execute("BEGIN IMMEDIATE")
        for (table,) in connection.execute(_TABLES).fetchall():
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            if "conversation_id" not in names and table != "conversations":
                continue
            columns = [name for name in names if name != "seq"]
            copied = ", ".join(_copied(table, name) for name in columns)
            key = "id" if table == "conversations" else "conversation_id"
            insert = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {copied} FROM copies, {table} WHERE {key} = ?"  # noqa: S608
            connection.execute(f"{_COPIES} {insert}", (conversations, MODEL))
        connection.execute("COMMIT")


_COPIES = "WITH RECURSIVE copies (copy) AS (SELECT 1 UNION ALL SELECT copy + 1 FROM copies WHERE copy < ?)"
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"


def _copied(table: str, column: str) -> str:
    """What a copy has in a column: texts name their own conversation, and ids of events their number."""
    if table == "inbox" and column == "id":
        return "id || '-' || copy"
    if column in {"id", "conversation_id", "effect_id", "state"}:
        return f"replace({column}, '{MODEL}', 'stored-' || copy)"
    return column
