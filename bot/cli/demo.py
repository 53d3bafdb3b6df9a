"""`demo`: sandbox and bot in one process, scripted users in both modes over real HTTP, and a closing table."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated

import typer

from bot import terminal
from bot.app import WEBHOOK_PATH, running
from bot.observability import configure_logs
from bot.sandbox.history import Cause, Entry, Kind
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.stories import STORIES, Story
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.sandbox.switches import Switches
from bot.sandbox.users import Visitor
from bot.settings import load_settings
from bot.store import Store, migrate

PATIENCE = 20.0  # seconds for each story, and again for its proof
MODES = ("release", "pass")
Tell = Callable[..., None]  # `terminal.say`, or nothing
LANES = ("cyan", "magenta", "yellow", "green", "blue", "bright_red", "bright_cyan", "bright_magenta")


@dataclass(frozen=True, slots=True)
class Closed:
    """One row of the closing table.

    Attributes:
        seconds: how long it stayed open: from the user's end to nobody being active. None while somebody is.
        proof: how the bot knows it; empty without proof.
    """

    conversation: str
    mode: str
    story: str
    ended_with: str
    released_by: str
    seconds: float | None
    proof: str
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Is it closed, and proven so?"""
        return self.seconds is not None and bool(self.proof) and not self.problem


def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print the closing table as JSON, and nothing else.")] = False,
) -> None:
    """Play sixteen conversations against the bot on this machine, and show that each ended one is closed."""
    configure_logs("console", "ERROR")
    rows = asyncio.run(_play_all(_nothing if as_json else terminal.say))
    if as_json:
        terminal.say_json([asdict(row) | {"ok": row.ok} for row in rows])
    else:
        _show(rows)
    if not all(row.ok for row in rows):
        raise typer.Exit(1)


def _nothing(*_: terminal.Styled) -> None:
    """Tell nobody."""


async def _play_all(tell: Tell) -> list[Closed]:
    tell(("switchboard-bot demo", "bold"), ": sandbox and bot on loopback, both control modes at once")
    tell()
    with tempfile.TemporaryDirectory() as folder:
        urls = {mode: f"sqlite:///{folder}/{mode}.db" for mode in MODES}
        both = await asyncio.gather(*(play_mode(mode, urls[mode], tell) for mode in MODES))
    return [row for rows in both for row in rows]


async def play_mode(mode: str, database_url: str, tell: Tell) -> list[Closed]:
    """Play all stories in one control mode, on a database that may be empty, and tell each step."""
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
            flow_idle_timeout="3s",
            release_grace="1s",
        )
        async with running(settings, hooks=()) as bot:
            sandbox.connect(f"http://127.0.0.1:{bot.port}{WEBHOOK_PATH}")
            timeline = _Timeline(sandbox, mode, tell)
            return list(
                await asyncio.gather(
                    *(_play(story, sandbox, bot.store, mode, timeline, number) for number, story in enumerate(STORIES))
                )
            )


async def _play(story: Story, sandbox: Sandbox, store: Store, mode: str, timeline: _Timeline, number: int) -> Closed:
    await asyncio.sleep(number * 0.05)
    visitor = sandbox.visitor(f"Visitor {number + 1}")
    problem = ""
    try:
        await visitor.opens()
        timeline.follow(visitor, number)
        await story.play(sandbox, visitor)
    except TimeoutError as error:
        problem = str(error)
    proof = await _proof(store, visitor, PATIENCE)
    return _row(story, sandbox, visitor, mode, proof, problem)


async def _proof(store: Store, visitor: Visitor, patience: float) -> str:
    """Ask the bot's database for the proof, until there is one or patience ends."""
    for _ in range(int(patience * 10)):
        known = await store.find(visitor.conversation_id)
        if known and known.ended and known.ended.proof:
            return known.ended.proof.how
        await asyncio.sleep(0.1)
    return ""


def _row(story: Story, sandbox: Sandbox, visitor: Visitor, mode: str, proof: str, problem: str) -> Closed:
    history = sandbox.switchboard.history
    entries = history.of(visitor.conversation_id)
    end = next((entry for entry in entries if entry.kind is Kind.ENDED), None)
    seconds, released_by, ended_with = None, "", ""
    if end is not None:
        before = [entry for entry in entries if entry.number < end.number and entry.kind is Kind.HOLDER]
        ended_with = _short(before[-1].holder if before else None)
        moves = [entry for entry in entries if entry.kind is Kind.HOLDER and entry.number > end.number]
        if not sandbox.switchboard.is_open(visitor.conversation_id):
            seconds = round((moves[-1].at - end.at).total_seconds(), 2) if moves else 0.0
            released_by = _actor(moves[-1], sandbox) if moves else "-"
    return Closed(visitor.conversation_id, mode, story.title, ended_with, released_by, seconds, proof, problem)


def _short(holder: str | None) -> str:
    """The switchboard integrations in a word."""
    return {BOT: "bot", WORKSPACE: "agent"}.get(holder or "", holder or "nobody")


def _actor(entry: Entry, sandbox: Sandbox) -> str:
    if entry.actor == sandbox.integration_key.id:
        return "bot"
    if entry.actor == sandbox.app_key.id:
        return "bot (app key)"
    return "platform"


class _Timeline:
    """Prints what happens on the platform, a line each, as it happens."""

    def __init__(self, sandbox: Sandbox, mode: str, tell: Tell) -> None:
        self._tell = tell
        self._mode = mode
        self._sandbox = sandbox
        self._began = sandbox.clock.now()
        self._lanes: dict[str, tuple[str, str]] = {}
        sandbox.observers.append(self._noticed)

    def follow(self, visitor: Visitor, number: int) -> None:
        """Show a visitor's conversation."""
        self._lanes[visitor.conversation_id] = (f"{self._mode}/{number + 1}", LANES[number % len(LANES)])

    def _noticed(self, entry: Entry) -> None:
        lane = self._lanes.get(entry.conversation_id or "")
        said = _in_words(entry, self._sandbox)
        if lane is None or said is None:
            return
        name, colour = lane
        self._tell((f"{_since(self._began, entry.at):6.2f}s ", "dim"), (f"{name:<10}", colour), said)


def _since(began: datetime, at: datetime) -> float:
    return (at - began).total_seconds()


def _in_words(entry: Entry, sandbox: Sandbox) -> terminal.Styled | None:
    match entry.kind:
        case Kind.MESSAGE if entry.text:
            return f"{_SPEAKERS.get(entry.actor.partition(':')[0], 'bot')}: {entry.text}"
        case Kind.HOLDER:
            now = _short(entry.holder)
            how = f"{_actor(entry, sandbox)}, {entry.cause}" if entry.cause in _BY_API else str(entry.cause)
            return f"→ {now} is active ({how})", "bold green" if entry.holder is None else "bold"
        case Kind.ENDED:
            return "■ the user ends the conversation", "bold red"
        case _:
            return None


_SPEAKERS = {"user": "user", "agent": "agent", "platform": "platform"}
_BY_API = (Cause.PASS, Cause.RELEASE)


def _show(rows: list[Closed]) -> None:
    terminal.say()
    terminal.say("Every ended conversation, and how it closed")
    table = terminal.Table("", "mode", "conversation", "held by", "released", "open for", "proof", right=("open for",))
    for row in rows:
        table.row(
            terminal.line(("closed", "green") if row.ok else ("OPEN", "red")),
            row.mode,
            row.story,
            row.ended_with,
            row.released_by,
            "" if row.seconds is None else f"{row.seconds:.1f} s",
            row.proof.rpartition("shown by a ")[2].removesuffix(" event"),
        )
    table.show()
    for row in rows:
        if not row.ok:
            why = row.problem or ("somebody is still active" if row.seconds is None else "there is no proof")
            terminal.say(("stays open", "red"), f": {row.conversation} ({row.mode}, {row.story}): {why}")
    if all(row.ok for row in rows):
        terminal.say((f"All {len(rows)} ended conversations are closed, each with proof.", "green"))
