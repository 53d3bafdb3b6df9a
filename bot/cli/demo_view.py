"""What the demo prints: each conversation as a block of lines, and the closing table."""

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

AT_LEAST, A_CHARACTER, AT_MOST = 0.5, 0.02, 2.0  # seconds to read what is new before a person goes on
A_VERDICT = 1.0  # seconds to read how a conversation closed
WIDE = 80  # columns that the whole table needs
_MODES = {
    "pass": "at the user's end the platform passes control on, and whoever has it must release it",
    "release": "at the user's end the platform releases; a bot that is done must release earlier",
}
_SPEAKERS = {"user": "cyan", "bot": "magenta", "agent": "yellow", "platform": "blue"}
_BY_API = (Cause.PASS, Cause.RELEASE)


@dataclass(frozen=True, slots=True)
class Closed:
    """One row of the closing table.

    Attributes:
        number: the conversation's, in the blocks and in the table.
        seconds: how long it stayed open: from the user's end to nobody being active. None while somebody is.
        proof: how the bot knows it; empty without proof.
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
        """Is it closed, and proven so?"""
        return self.seconds is not None and bool(self.proof) and not self.problem


@dataclass(frozen=True, slots=True)
class Line:
    """Something that happened: when (seconds of the demo), who did it, and what, with a style."""

    at: float
    who: str
    what: str
    style: str = ""

    def show(self) -> None:
        """Print it; what is too long goes on below its beginning."""
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
    """A conversation that its user has ended, and that is still open: who is active, and for how many seconds."""

    holder: str
    seconds: float


@dataclass(slots=True)
class Block:
    """The lines of one conversation; `unread` counts the characters that nobody has had time to read yet."""

    number: int
    heading: str
    lines: list[Line] = field(default_factory=list)
    unread: int = 0
    is_over: bool = False  # the user has ended it


@dataclass(slots=True)
class Screen:
    """What the demo shows, and how fast.

    Attributes:
        watched: conversations one after another at reading speed, each line as it happens.
        prints: print anything at all.
        began: the beginning of the one clock of all conversations.
    """

    watched: bool = False
    prints: bool = False
    began: datetime = field(default_factory=lambda: SystemClock().now())
    _done: dict[int, tuple[Block, str, str]] = field(default_factory=dict)  # and not shown yet
    _next: int = 0  # the number of the block to show next, where all are played at once

    def opening(self) -> None:
        """Say what is shown."""
        self._say(("switchboard-bot demo", "bold"), ": the bot and a stand-in of the platform, on this machine")
        if self.watched:
            self._say(
                "One conversation after another, for about two minutes. Ctrl-C ends it; --fast plays all at once."
            )

    def naive_chapter(self) -> None:
        """Say what comes first."""
        self._chapter("The problem: a naive bot, which answers, and never gives control up")

    def chapter(self, mode: str) -> None:
        """Say what comes in a control mode."""
        self._chapter(f"The bot in {mode} mode: {_MODES[mode]}")

    def block(self, number: int, mode: str, title: str) -> Block:
        """Begin with a conversation."""
        block = Block(number, f"{number:>2}  {title} ({mode} mode)")
        if self.watched:
            self._head(block)
        return block

    def follow(self, block: Block, sandbox: Sandbox, conversation_id: str) -> None:
        """Take down what happens in a conversation; while it is watched, people read before they go on."""

        def notice(entry: Entry) -> None:
            if entry.conversation_id == conversation_id:
                self._note(block, entry, sandbox)

        async def pace() -> None:
            unread, block.unread = block.unread, 0
            await asyncio.sleep(min(AT_LEAST + A_CHARACTER * unread, AT_MOST))

        for entry in sandbox.switchboard.history.of(conversation_id):
            notice(entry)
        sandbox.observers.append(notice)
        if self.watched:
            sandbox.pace = pace

    async def closed(self, block: Block, row: Closed) -> None:
        """Show how a conversation of the bot closed."""
        if row.ok:
            after = "before the user's end" if row.released_by == "-" else f"{row.seconds:.1f} s after the user's end"
            self._end(block, f"closed {after}; proof: {proof(row)}", "green")
        else:
            self._end(block, f"stays open: {row.problem or 'no proof'}", "red")
        await self.pause(A_VERDICT)

    def left_open(self, block: Block, left: LeftOpen | None) -> None:
        """Show that a conversation is still open."""
        if left:
            self._end(
                block, f"OPEN {left.seconds:.1f} s after the user's end: the {left.holder} is still active", "red"
            )

    def table(self, rows: Sequence[Closed], naive: LeftOpen | None) -> None:
        """Show the closing table; last comes the naive bot's conversation."""
        if self.prints:
            _show_table(rows, naive)

    async def pause(self, seconds: float) -> None:
        """Give time to read."""
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
            if who == "platform" and block.is_over:  # the chat says, too, that the user has left
                return None
            return Line(at, who if who in _SPEAKERS else "bot", entry.text)
        case Kind.HOLDER:
            how = f"{actor(entry, sandbox)}: {entry.cause}" if entry.cause in _BY_API else str(entry.cause)
            style = "bold green" if entry.holder is None else "bold"
            return Line(at, "", f"→ {short(entry.holder)} is active ({how})", style)
        case Kind.ENDED:
            block.is_over = True
            return Line(at, "user", "■ ends the conversation", "bold red")
        case _:
            return None


def short(holder: str | None) -> str:
    """The switchboard integrations in a word."""
    return {BOT: "bot", WORKSPACE: "agent"}.get(holder or "", holder or "nobody")


def actor(entry: Entry, sandbox: Sandbox) -> str:
    """Who moved control."""
    if entry.actor == sandbox.integration_key.id:
        return "bot"
    if entry.actor == sandbox.app_key.id:
        return "bot (app key)"
    return "platform"


def proof(row: Closed) -> str:
    """How the bot knows that it is closed, in a word or two."""
    return row.proof.rpartition("shown by a ")[2]


def _red(text: str) -> terminal.Cell:
    return terminal.line((text, "bold red"))


def _show_table(rows: Sequence[Closed], naive: LeftOpen | None) -> None:
    terminal.say()
    terminal.say(("Every ended conversation, and how it closed", "bold"))
    is_wide = terminal.width() >= WIDE
    headings = ("", "conversation", "mode", "open for", *(("released by", "proof") if is_wide else ()))
    table = terminal.Table(*headings, right=("", "open for"))
    for row in rows:
        time = _red("OPEN") if row.seconds is None else f"{row.seconds:.1f} s"
        by = "earlier" if row.released_by == "-" else row.released_by
        more = (by, proof(row).removesuffix(" event")) if is_wide else ()
        table.row(str(row.number), row.story, row.mode, time, *more)
    if naive and is_wide:
        table.row("0", "the naive bot's", "pass", _red(f"{naive.seconds:.0f} s"), _red("STILL OPEN"), "none")
    elif naive:
        table.row("0", "the naive bot's", "pass", _red(f"OPEN {naive.seconds:.0f} s"))
    table.show()
    for row in rows:
        if not row.ok:
            why = row.problem or ("somebody is still active" if row.seconds is None else "there is no proof")
            terminal.say(("stays open", "red"), f": {row.conversation} ({row.mode}, {row.story}): {why}")
    if all(row.ok for row in rows):
        terminal.say_wrapped((f"The bot's {len(rows)} ended conversations are closed, each with proof.", "green"))
    if naive:
        terminal.say_wrapped(
            ("The naive bot's is still open", "red"), ": it never gives control up, and nobody else will."
        )
