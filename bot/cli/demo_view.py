"""The output of the demo: a block of lines per conversation, and the closing table."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot import terminal
from bot.clock import SystemClock
from bot.sandbox.history import Cause, Entry, Kind
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.switchboard import BOT, WORKSPACE

MIN_PAUSE, PAUSE_PER_CHARACTER, MAX_PAUSE = 0.5, 0.02, 2.0  # seconds, to read new lines
VERDICT_PAUSE = 1.0  # seconds
MIN_WIDTH = 80  # columns for the full table
_MODES = {
    "pass": "when the user ends, the platform passes control, and the recipient must release it",
    "release": "when the user ends, the platform releases; a bot that is done must release before",
}
_SPEAKERS = {"user": "cyan", "bot": "magenta", "agent": "yellow", "platform": "blue"}
_BY_API = (Cause.PASS, Cause.RELEASE)


@dataclass(frozen=True, slots=True)
class Closed:
    """A row of the closing table.

    Attributes:
        number: the conversation's number, in the blocks and in the table.
        seconds: time from the user's end until nobody was active. None if still open.
        proof: the bot's proof; empty if it has none.
    """

    number: int
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
        """Whether the conversation is closed, with proof."""
        return self.seconds is not None and bool(self.proof) and not self.problem


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a conversation: when (seconds since the start), who, what, and a style."""

    at: float
    who: str
    what: str
    style: str = ""

    def show(self) -> None:
        """Print the line, wrapped with an indent."""
        table = terminal.Table()
        colour = _SPEAKERS.get(self.who, "")
        table.row(
            terminal.line((f"{self.at:6.1f}s", "dim")),
            terminal.line((f"{self.who:<8}", colour)),
            terminal.line((self.what, self.style)),
        )
        table.show()


@dataclass(frozen=True, slots=True)
class LeftOpen:
    """An ended conversation that is still open: the holder, and seconds since the end."""

    holder: str
    seconds: float


@dataclass(slots=True)
class Block:
    """The lines of one conversation. `unread` counts characters since the last pause."""

    number: int
    heading: str
    lines: list[Line] = field(default_factory=list)
    unread: int = 0
    is_over: bool = False  # the user ended it


@dataclass(slots=True)
class Screen:
    """The screen of the demo.

    Attributes:
        watched: show conversations one after another, live, at reading speed.
        prints: whether to print anything.
        began: zero of the time shown on lines.
    """

    watched: bool = False
    prints: bool = False
    began: datetime = field(default_factory=lambda: SystemClock().now())
    _done: dict[int, tuple[Block, str, str]] = field(default_factory=dict)  # not yet shown
    _next: int = 0  # the number of the next block to show, when all are played at once

    def opening(self) -> None:
        """Print the introduction."""
        self._say(
            ("switchboard-bot demo", "bold"),
            ": the bot and a stand-in for the platform, on this machine",
        )
        if self.watched:
            self._say("One conversation after another, for about two minutes. Ctrl-C stops; --fast plays all at once.")

    def naive_chapter(self) -> None:
        """Print the heading for the naive bot."""
        self._chapter("The problem: a naive bot, which answers but never releases control")

    def chapter(self, mode: str) -> None:
        """Print the heading for a control mode."""
        self._chapter(f"The bot in {mode} mode: {_MODES[mode]}")

    def block(self, number: int, mode: str, title: str) -> Block:
        """Start the block of a conversation."""
        block = Block(number, f"{number:>2}  {title} ({mode} mode)")
        if self.watched:
            self._head(block)
        return block

    def follow(self, block: Block, sandbox: Sandbox, conversation_id: str) -> None:
        """Record the lines of a conversation. If watched, scripted people pause for reading."""

        def notice(entry: Entry) -> None:
            if entry.conversation_id == conversation_id:
                self._note(block, entry, sandbox)

        async def pace() -> None:
            unread, block.unread = block.unread, 0
            await asyncio.sleep(min(MIN_PAUSE + PAUSE_PER_CHARACTER * unread, MAX_PAUSE))

        for entry in sandbox.switchboard.history.of(conversation_id):
            notice(entry)
        sandbox.observers.append(notice)
        if self.watched:
            sandbox.pace = pace

    async def closed(self, block: Block, row: Closed) -> None:
        """Show the verdict on a conversation with the bot."""
        if row.ok:
            late = f"{row.seconds:.1f} s after the user's end"
            when = "before the user's end" if row.released_by == "-" else late
            self._end(block, f"closed {when}; proof: {proof(row)}", "green")
        else:
            self._end(block, f"stays open: {row.problem or 'no proof'}", "red")
        await self.pause(VERDICT_PAUSE)

    def left_open(self, block: Block, left: LeftOpen | None) -> None:
        """Show that a conversation is still open."""
        if left:
            since = f"{left.seconds:.1f} s after the user's end"
            self._end(block, f"OPEN {since}: the {left.holder} is still active", "red")

    def table(self, rows: Sequence[Closed], naive: LeftOpen | None) -> None:
        """Show the closing table, with the naive bot's conversation last."""
        if self.prints:
            _show_table(rows, naive)

    async def pause(self, seconds: float) -> None:
        """Pause for reading, if watched."""
        if self.watched:
            await asyncio.sleep(seconds)

    def _say(self, *parts: terminal.Styled) -> None:
        if self.prints:
            terminal.say_wrapped(*parts)

    def _chapter(self, text: str) -> None:
        if self.watched:
            self._say()
            self._say((text, "bold underline"))

    def _head(self, block: Block) -> None:
        self._say()
        self._say((block.heading, "bold"))

    def _note(self, block: Block, entry: Entry, sandbox: Sandbox) -> None:
        line = _line(block, (entry.at - self.began).total_seconds(), entry, sandbox)
        if line is None:
            return
        block.lines.append(line)
        block.unread += len(line.what)
        if self.watched:
            line.show()

    def _end(self, block: Block, verdict: str, style: str) -> None:
        if self.watched:
            _show_verdict(verdict, style)
            return
        self._done[block.number] = block, verdict, style
        while self.prints and self._next in self._done:
            self._show_whole(*self._done.pop(self._next))
            self._next += 1

    def _show_whole(self, block: Block, verdict: str, style: str) -> None:
        self._head(block)
        for line in block.lines:
            line.show()
        _show_verdict(verdict, style)


def _show_verdict(verdict: str, style: str) -> None:
    table = terminal.Table()
    table.row(" " * 7, " " * 8, terminal.line((verdict, style)))
    table.show()


def _line(block: Block, at: float, entry: Entry, sandbox: Sandbox) -> Line | None:
    match entry.kind:
        case Kind.MESSAGE if entry.text:
            who = entry.actor.partition(":")[0]
            if who == "platform" and block.is_over:  # the platform's note about the end
                return None
            return Line(at, who if who in _SPEAKERS else "bot", entry.text)
        case Kind.HOLDER:
            by_api = entry.cause in _BY_API
            how = f"{actor(entry, sandbox)}: {entry.cause}" if by_api else str(entry.cause)
            style = "bold green" if entry.holder is None else "bold"
            return Line(at, "", f"→ {short(entry.holder)} is active ({how})", style)
        case Kind.ENDED:
            block.is_over = True
            return Line(at, "user", "■ ends the conversation", "bold red")
        case _:
            return None


def short(holder: str | None) -> str:
    """Return a one-word name for a switchboard integration."""
    return {BOT: "bot", WORKSPACE: "agent"}.get(holder or "", holder or "nobody")


def actor(entry: Entry, sandbox: Sandbox) -> str:
    """Return who moved control."""
    if entry.actor == sandbox.integration_key.id:
        return "bot"
    if entry.actor == sandbox.app_key.id:
        return "bot (app key)"
    return "platform"


def proof(row: Closed) -> str:
    """Return the bot's proof in one or two words."""
    return row.proof.rpartition("shown by a ")[2]


def _red(text: str) -> terminal.Cell:
    return terminal.line((text, "bold red"))


def _show_table(rows: Sequence[Closed], naive: LeftOpen | None) -> None:
    terminal.say()
    terminal.say(("Every ended conversation, and how it closed", "bold"))
    is_wide = terminal.width() >= MIN_WIDTH
    more_headings = ("released by", "proof") if is_wide else ()
    headings = ("", "conversation", "mode", "open for", *more_headings)
    table = terminal.Table(*headings, right=("", "open for"))
    for row in rows:
        time = _red("OPEN") if row.seconds is None else f"{row.seconds:.1f} s"
        by = "earlier" if row.released_by == "-" else row.released_by
        more = (by, proof(row).removesuffix(" event")) if is_wide else ()
        table.row(str(row.number), row.story, row.mode, time, *more)
    if naive and is_wide:
        seconds = _red(f"{naive.seconds:.0f} s")
        table.row("0", "the naive bot's", "pass", seconds, _red("STILL OPEN"), "none")
    elif naive:
        table.row("0", "the naive bot's", "pass", _red(f"OPEN {naive.seconds:.0f} s"))
    table.show()
    for row in rows:
        if not row.ok:
            no_proof = "someone is still active" if row.seconds is None else "there is no proof"
            text = f": {row.conversation} ({row.mode}, {row.story}): {row.problem or no_proof}"
            terminal.say(("stays open", "red"), text)
    if all(row.ok for row in rows):
        closed = f"The bot's {len(rows)} ended conversations are closed, each with proof."
        terminal.say_wrapped((closed, "green"))
    if naive:
        terminal.say_wrapped(
            ("The naive bot's is still open", "red"),
            ": it never releases control, and nobody else will.",
        )
