"""`demo`: play scripted conversations in both modes over real HTTP, and show a closing table."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import Annotated, TypeVar

import typer

from bot import terminal
from bot.app import WEBHOOK_PATH, running
from bot.cli.demo_view import Block, Closed, LeftOpen, Screen, actor, short
from bot.observability import configure_logs
from bot.sandbox.history import Kind
from bot.sandbox.naive_bot import NaiveBot
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.scripted_people import Visitor
from bot.sandbox.stories import STORIES, Story
from bot.sandbox.switches import Switches
from bot.settings import load_settings
from bot.store import Store, migrate

T = TypeVar("T")

PROOF_TIMEOUT = 20.0  # seconds
MODES = ("pass", "release")
LEFT_OPEN_PAUSE = 2.0  # seconds, to see that nothing more happens
IDLE_TIMEOUT = "4s"  # longer than a viewer needs to read


def demo(
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print only the closing table, as JSON."),
    ] = False,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Play all at once (the default without a terminal)."),
    ] = False,
) -> None:
    """Play sixteen conversations on this machine and show that each one closes."""
    configure_logs("console", "ERROR")
    screen = Screen(watched=terminal.is_watched() and not fast and not as_json, prints=not as_json)
    rows = asyncio.run(_play_all(screen))
    if as_json:
        terminal.say_json([asdict(row) | {"ok": row.ok} for row in rows])
    if not all(row.ok for row in rows):
        raise typer.Exit(1)


async def _play_all(screen: Screen) -> list[Closed]:
    screen.opening()
    with tempfile.TemporaryDirectory() as folder:
        plays = [
            partial(
                play_mode,
                mode,
                f"sqlite:///{folder}/{mode}.db",
                screen,
                first=1 + place * len(STORIES),
            )
            for place, mode in enumerate(MODES)
        ]
        async with _naive(screen) as naive:
            both = await _all(plays, screen)
            rows = [row for rows in both for row in rows]
            screen.table(rows, naive())
    return rows


async def play_mode(mode: str, database_url: str, screen: Screen, *, first: int = 1) -> list[Closed]:
    """Play all stories in one control mode, numbered from `first`. Migrates the database."""
    switches = Switches(mode="pass" if mode == "pass" else "release")
    async with Sandbox(switches=switches, time_scale=0.05) as sandbox:
        migrate(database_url)
        environment = {name.lower(): value for name, value in sandbox.settings_for_bot().items()}
        settings = load_settings(
            _env_file=None,
            **environment,
            database_url=database_url,
            host="127.0.0.1",
            port=0,
            flows=["bot.sandbox.demo_flows", "bot.flows.survey"],
            opening_flow="demo",
            closing_flow="survey",
            flow_idle_timeout=IDLE_TIMEOUT,
            release_grace="1s",
        )
        async with running(settings, hooks=()) as bot:
            sandbox.connect(f"http://127.0.0.1:{bot.port}{WEBHOOK_PATH}")
            screen.chapter(mode)
            plays = [
                partial(_play, story, sandbox, bot.store, screen, first + place) for place, story in enumerate(STORIES)
            ]
            return await _all(plays, screen)


async def _all(plays: Sequence[Callable[[], Awaitable[T]]], screen: Screen) -> list[T]:
    """Run one after another while someone watches, else all at once."""
    if screen.watched:
        return [await play() for play in plays]
    return list(await asyncio.gather(*(play() for play in plays)))


@asynccontextmanager
async def _naive(screen: Screen) -> AsyncIterator[Callable[[], LeftOpen | None]]:
    """Play the first story with a naive bot. Yields a function that checks its conversation."""
    bot, story = NaiveBot(), STORIES[0]
    async with Sandbox(switches=Switches(mode="pass"), post=bot.receive) as sandbox:
        bot.connect(sandbox)
        visitor = sandbox.visitor("Visitor 0")
        screen.naive_chapter()
        block = screen.block(0, "pass", story.title)
        try:
            await _played(story, sandbox, visitor, screen, block)
            await screen.pause(LEFT_OPEN_PAUSE)
            screen.left_open(block, _left_open(sandbox, visitor))
            await screen.pause(LEFT_OPEN_PAUSE)
            yield lambda: _left_open(sandbox, visitor)
        finally:
            await bot.close()


def _left_open(sandbox: Sandbox, visitor: Visitor) -> LeftOpen | None:
    """Return how long an ended conversation has stayed open; None if it is closed or live."""
    entries = sandbox.switchboard.history.of(visitor.conversation_id)
    end = next((entry for entry in entries if entry.kind is Kind.ENDED), None)
    holder = sandbox.switchboard.holder(visitor.conversation_id)
    if end is None or holder is None:
        return None
    return LeftOpen(short(holder), (sandbox.clock.now() - end.at).total_seconds())


async def _play(story: Story, sandbox: Sandbox, store: Store, screen: Screen, number: int) -> Closed:
    visitor = sandbox.visitor(f"Visitor {number}")
    block = screen.block(number, sandbox.switches.mode, story.title)
    problem = await _played(story, sandbox, visitor, screen, block)
    proof = await _wait_for_proof(store, visitor, PROOF_TIMEOUT)
    row = _row(story, sandbox, visitor, number, proof, problem)
    await screen.closed(block, row)
    return row


async def _played(
    story: Story,
    sandbox: Sandbox,
    visitor: Visitor,
    screen: Screen,
    block: Block,
) -> str:
    """Play a story. Return what went wrong; empty if nothing did."""
    screen.follow(block, sandbox, await visitor.opens())
    try:
        await story.play(sandbox, visitor)
    except TimeoutError as error:
        return str(error)
    return ""


async def _wait_for_proof(store: Store, visitor: Visitor, timeout: float) -> str:
    """Poll the bot's database for the proof; empty after `timeout` seconds."""
    for _ in range(int(timeout * 10)):
        known = await store.find(visitor.conversation_id)
        if known and known.ended and known.ended.proof:
            return known.ended.proof.how
        await asyncio.sleep(0.1)
    return ""


def _row(
    story: Story,
    sandbox: Sandbox,
    visitor: Visitor,
    number: int,
    proof: str,
    problem: str,
) -> Closed:
    history = sandbox.switchboard.history
    entries = history.of(visitor.conversation_id)
    end = next((entry for entry in entries if entry.kind is Kind.ENDED), None)
    seconds, released_by, ended_with = None, "", ""
    if end is not None:
        changes = [entry for entry in entries if entry.kind is Kind.HOLDER]
        before = [entry for entry in changes if entry.number < end.number]
        ended_with = short(before[-1].holder if before else None)
        moves = [entry for entry in changes if entry.number > end.number]
        if not sandbox.switchboard.is_open(visitor.conversation_id):
            seconds = round((moves[-1].at - end.at).total_seconds(), 2) if moves else 0.0
            released_by = actor(moves[-1], sandbox) if moves else "-"
    mode = sandbox.switches.mode
    return Closed(
        number,
        visitor.conversation_id,
        mode,
        story.title,
        ended_with,
        released_by,
        seconds,
        proof,
        problem,
    )
