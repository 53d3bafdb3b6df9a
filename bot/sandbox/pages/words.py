"""Describes in plain sentences what the switchboard did in a conversation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.sandbox.history import Cause, Entry, Kind
from bot.sandbox.pages.about_bot import BotView
from bot.sandbox.switchboard import BOT, WORKSPACE

_PARTIES = {BOT: "the bot", WORKSPACE: "the agent workspace", None: "nobody"}
_MODES = {"release": "In release control mode", "pass": "In pass control mode"}
_SESSION_ENDS = {
    Cause.USER_ENDED: "the conversation has ended",
    Cause.TICKET_CLOSED: "the ticket was closed",
    Cause.TRANSFER_TO_EMAIL: "the conversation continues by e-mail",
    Cause.AGENT_ENDED: "the agent ended the session",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline.

    Attributes:
        at: the time.
        text: a sentence.
        holder: the holder from then on: `bot`, `agent`, `other`, `nobody`.
        kind: `moved`, `ended`, `proof` or `note`.
    """

    at: datetime
    text: str
    holder: str
    kind: str = "note"


@dataclass(frozen=True, slots=True)
class Actors:
    """The names of actors: the bot's keys, and the end user's name (or "You")."""

    user: str
    integration_keys: Collection[str]
    app_key: str

    def named(self, actor: str) -> str:
        """An entry's actor at the start of a sentence."""
        kind, _, name = actor.partition(":")
        match kind:
            case "user":
                return self.user
            case "agent":
                return f"The agent {name}"
            case key if key in self.integration_keys:
                return "The bot"
            case self.app_key:
                return "The bot (with its app key)"
            case "platform":
                return "The platform"
            case _:
                return "Somebody"


def short(holder: str | None) -> str:
    """A holder as a CSS class: `bot`, `agent`, `other`, `nobody`."""
    return {BOT: "bot", WORKSPACE: "agent", None: "nobody"}.get(holder, "other")


def party(holder: str | None) -> str:
    """A holder within a sentence."""
    return _PARTIES.get(holder, str(holder))


def timeline(entries: Sequence[Entry], actors: Actors, bot: BotView) -> list[Line]:
    """The switchboard's actions and the bot's reports, oldest first, without messages."""
    lines = []
    for place, entry in enumerate(entries):
        text = _sentence(entry, entries[place + 1 :], actors)
        if text:
            kind = {Kind.HOLDER: "moved", Kind.ENDED: "ended"}.get(entry.kind, "note")
            lines.append(Line(entry.at, text, short(entry.holder), kind))
    said_by_proof = bot.proof.at if bot.proof else None  # the proof tells that release
    told = [
        Line(note.at, note.text, "")
        for note in bot.notes
        if not (note.proves and said_by_proof and note.at >= said_by_proof)
    ]
    if bot.proof:
        told.append(Line(bot.proof.at, f"Closed, proven: {bot.proof.text}.", "", "proof"))
    return _merged(lines, told)


def standing(entries: Sequence[Entry], actors: Actors, bot: BotView) -> tuple[str, str]:
    """The status as a CSS class and a sentence.

    The class is `open`, `idle`, `stuck`, `unproven` or `closed`.
    """
    last = entries[-1]
    active = party(last.holder)
    if not last.ended:
        if last.holder is None:
            return (
                "idle",
                "Open, but nobody is active: the default responder gets the next message.",
            )
        return "open", f"Open: {active} is active."
    if last.holder is not None:
        return (
            "stuck",
            f"{actors.user} ended it, but it is still open: {active} has control and must release it.",
        )
    if not bot.can_tell:
        return "closed", "Closed: it was ended, and nobody is active."
    if bot.proof is None:
        return "unproven", "Ended, and nobody is active. The bot has no proof of it yet."
    return "closed", "Closed: nobody is active, and the bot has the proof."


def _merged(lines: list[Line], told: list[Line]) -> list[Line]:
    """Merge both by time; the bot's reports don't change the holder."""
    made: list[Line] = []
    for line in sorted([*lines, *told], key=lambda line: line.at):
        holder = line.holder or (made[-1].holder if made else "nobody")
        made.append(Line(line.at, line.text, holder, line.kind))
    return made


def _sentence(entry: Entry, later: Sequence[Entry], actors: Actors) -> str:
    who = actors.named(entry.actor)
    match entry.kind:
        case Kind.CREATED:
            return f"{who} began a conversation."
        case Kind.HOLDER:
            return _moved(entry, who)
        case Kind.ENDED:
            return f"{who} ended the conversation.{_stays(entry, later)}"
        case Kind.REOPENED:
            return f"{who} wrote again, so the conversation is open again."
        case Kind.TICKET:
            return f"Ticket {entry.detail['ticket']}: {entry.text}."
        case Kind.REFUSED:
            return f"The platform refused a {entry.cause} (403): the caller had no right to it."
        case Kind.FAILURE:
            return f"The platform could not carry out a request: {entry.text}."
        case _:
            return ""


def _moved(entry: Entry, who: str) -> str:
    to = party(entry.holder)
    match entry.cause:
        case Cause.CREATED:
            return f"{to.capitalize()} is active from the start, as the default responder."
        case Cause.DEFAULT_RESPONDER:
            return f"Nobody was active, so {to} became active silently, without a webhook."
        case Cause.PASS:
            return f"{who} passed control to {to}."
        case Cause.RELEASE:
            return f"{who} released control: nobody is active."
        case Cause.AGENT_WROTE:
            return f"{who} wrote, and {to} became active."
        case cause if cause in _SESSION_ENDS:
            why, mode = _SESSION_ENDS[cause], _MODES[entry.detail["mode"]]
            if entry.holder is None:
                return f"{mode} the platform releases control by itself: {why}."
            return f"{mode} the platform passes control to {to}, which must release it: {why}."
        case cause:
            return f"Control went to {to}: {cause}."


def _stays(end: Entry, later: Sequence[Entry]) -> str:
    """Text for an end that moved no control."""
    moved = any(entry.cause is Cause.USER_ENDED for entry in later)
    if moved or end.holder is None:
        return ""
    return f" {_MODES[end.detail['mode']]} control stays with {party(end.holder)}, which must release it."
