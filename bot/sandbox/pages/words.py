"""What the switchboard did in a conversation, in plain sentences."""

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
    Cause.TRANSFER_TO_EMAIL: "the conversation goes on by e-mail",
    Cause.AGENT_ENDED: "the agent ended the session",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline.

    Attributes:
        at: when.
        text: a sentence.
        holder: who is active from then on: `bot`, `agent`, `other`, `nobody`.
        kind: `moved`, `ended`, `proof` or `note`.
    """

    at: datetime
    text: str
    holder: str
    kind: str = "note"


@dataclass(frozen=True, slots=True)
class Actors:
    """Who is who: the keys of the bot, and what the reader calls the end user ("You", or a name)."""

    user: str
    integration_keys: Collection[str]
    app_key: str

    def named(self, actor: str) -> str:
        """An entry's actor at the beginning of a sentence."""
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
    """A holder as a word for style sheets: `bot`, `agent`, `other`, `nobody`."""
    return {BOT: "bot", WORKSPACE: "agent", None: "nobody"}.get(holder, "other")


def party(holder: str | None) -> str:
    """A holder within a sentence."""
    return _PARTIES.get(holder, str(holder))


def timeline(entries: Sequence[Entry], actors: Actors, bot: BotView) -> list[Line]:
    """What the switchboard did and what the bot told, oldest first. What was said is not in it."""
    lines = []
    for place, entry in enumerate(entries):
        text = _sentence(entry, entries[place + 1 :], actors)
        if text:
            kind = {Kind.HOLDER: "moved", Kind.ENDED: "ended"}.get(entry.kind, "note")
            lines.append(Line(entry.at, text, short(entry.holder), kind))
    said_by_proof = bot.proof.at if bot.proof else None  # the release of an ended conversation is not told twice
    told = [
        Line(note.at, note.text, "")
        for note in bot.notes
        if not (note.proves and said_by_proof and note.at >= said_by_proof)
    ]
    if bot.proof:
        told.append(Line(bot.proof.at, f"Closed, proven: {bot.proof.text}.", "", "proof"))
    return _merged(lines, told)


def standing(entries: Sequence[Entry], actors: Actors, bot: BotView) -> tuple[str, str]:
    """How it stands: a word for style sheets (`open`, `idle`, `stuck`, `unproven`, `closed`), and a sentence."""
    last = entries[-1]
    active = party(last.holder)
    if not last.ended:
        if last.holder is None:
            return (
                "idle",
                "Open, and nobody is active: whoever is the default responder gets the next message.",
            )
        return "open", f"Open: {active} is active."
    if last.holder is not None:
        return (
            "stuck",
            f"{actors.user} ended it, but it is still open: {active} has control, and has to release it.",
        )
    if not bot.can_tell:
        return "closed", "Closed: it was ended, and nobody is active."
    if bot.proof is None:
        return "unproven", "Ended, and nobody is active. The bot has no proof of it yet."
    return "closed", "Closed: nobody is active, and the bot has the proof."


def _merged(lines: list[Line], told: list[Line]) -> list[Line]:
    """Both in the order of time; what the bot told leaves the holder as it was."""
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
            return f"{who} wrote again, and so the conversation is open again."
        case Kind.TICKET:
            return f"Ticket {entry.detail['ticket']}: {entry.text}."
        case Kind.REFUSED:
            return f"The platform refused a {entry.cause} (403): it was not theirs to do."
        case Kind.FAILURE:
            return f"The platform could not do what was asked: {entry.text}."
        case _:
            return ""


def _moved(entry: Entry, who: str) -> str:
    to = party(entry.holder)
    match entry.cause:
        case Cause.CREATED:
            return f"{to.capitalize()} is active from the start: the default responder."
        case Cause.DEFAULT_RESPONDER:
            return f"Nobody was active, so {to} became active silently: no webhook tells of it."
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
            return f"{mode} the platform passes control on to {to}, which has to release it: {why}."
        case cause:
            return f"Control went to {to}: {cause}."


def _stays(end: Entry, later: Sequence[Entry]) -> str:
    """The end moved no control: said with the end itself."""
    moved = any(entry.cause is Cause.USER_ENDED for entry in later)
    if moved or end.holder is None:
        return ""
    return f" {_MODES[end.detail['mode']]} control stays with {party(end.holder)}, which has to release it."
