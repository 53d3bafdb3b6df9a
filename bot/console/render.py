"""From what the store knows to HTML: the templates, and what they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from bot.console import words
from bot.console.lines import Line, lines_of
from bot.control.modes import Mode
from bot.control.state import Who
from bot.store.interface import Counts
from bot.store.operators import Before, Listed, Page, Place, Standing, Timeline
from bot.store.times import from_micros, to_micros
from bot.troubles import Trouble

HOME = "/console"

LONGEST_NUMBER = 19  # digits
LONGEST_TEXT = 4096  # characters of one text on a page; a message of the platform has no more

STATIC = {"console.css": "text/css", "console.js": "text/javascript", "icon.svg": "image/svg+xml"}

AGES = {"": "any time", "1m": "1 minute", "15m": "15 minutes", "1h": "1 hour", "1d": "1 day"}
"""What the list can be narrowed to, as a duration of the settings."""

STANDINGS = {
    Standing.ALL: ("All", "Known for", "all that the bot has heard of; the newest first"),
    Standing.HELD: ("Held", "Held for", "the bot is active; the longest first"),
    Standing.OWED: ("Owed", "Owed for", "the bot has to release or pass control; the longest first"),
    Standing.OVERDUE: ("Overdue", "Owed for", "the same, for more than a minute"),
    Standing.OPEN: ("Ended, open", "Ended for", "ended by the user, and not yet proven that nobody is active"),
    Standing.ENDED: ("Ended", "Ended for", "ended by the user; the newest first"),
    Standing.FAILED: ("Failed", "Failed for", "a flow failed there, or an event was set aside; the newest first"),
    Standing.MISMATCH: ("Other mode", "So for", "the platform acted there as in the other control mode"),
}
"""The name of each list, what its times are, and what is in it."""

MODES = {
    "release": "The platform releases control by itself when a user ends a conversation or a ticket closes.",
    "pass": "The platform hands control on when a user ends a conversation or a ticket closes. "
    "It stays open until whoever got control has released it: the bot does.",
}


@dataclass(frozen=True, slots=True)
class Overview:
    """The first page: the numbers, the mode, and one page of conversations.

    Attributes:
        mismatches: conversations in which the platform has lately acted as in the other mode, the newest first.
        troubles: what fails in this process, and has not worked since.
        query: the query of this list, without the place in it.
    """

    now: datetime
    counts: Counts
    mode: Mode
    mismatches: Page
    page: Page
    troubles: Sequence[Trouble] = ()
    query: str = ""

    @property
    def mark(self) -> str:
        """The same for as long as nothing has changed but the time."""
        known = replace(self.counts, oldest_owed_seconds=0.0, inbox=0, outbox=0)
        failing = [(trouble.what, trouble.where, trouble.problem) for trouble in self.troubles]
        return repr((known, self.mismatches, self.page, failing))


class Templates:
    """Renders pages. Everything that is put into them is escaped."""

    def __init__(self) -> None:
        self._environment = _environment()

    def render(self, name: str, **values: Any) -> str:
        """A page, or a part of one whose name begins with an underscore."""
        return self._environment.get_template(name).render(**values)


@cache
def _environment() -> Environment:
    """All templates, compiled: a tenth of a second, once, and not while webhooks wait."""
    made = Environment(
        loader=PackageLoader("bot.console"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"age": words.age, "moment": words.moment, "owes": words.owes, "flow": words.flow}
    made.globals |= {
        "STANDINGS": STANDINGS,
        "AGES": AGES,
        "MODES": MODES,
        "badges": words.badges,
        "MEANINGS": words.MEANINGS,
        "COLUMNS": words.COLUMNS,
        "holder_name": holder_name,
        "address": address,
        "place": place,
        "older": older,
    }
    for name in made.list_templates(extensions=["html"]):
        made.get_template(name)
    return made


def static(name: str) -> bytes:
    """One of the files that pages need."""
    return files("bot.console").joinpath("static", name).read_bytes()


def holder_name(listed: Listed) -> str:
    """Who is active, in words."""
    holder = listed.state.holder
    names = {Who.BOT: "the bot", Who.NOBODY: "nobody", Who.UNKNOWN: "not known", Who.OTHER: str(holder)}
    return names[holder.who]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a timeline in which one was active, and how that came to be known."""

    who: Who
    name: str
    how: str
    lines: Sequence[Line]


def stretches(timeline: Timeline) -> list[Stretch]:
    """The timeline, cut where another becomes active."""
    untold = "an older page tells who was active" if timeline.older else "nothing told yet who is active"
    found = []
    for (who, name), grouped in groupby(lines_of(timeline), key=lambda line: (line.holder, line.holder_name)):
        lines = list(grouped)
        how = lines[0].what.partition(", ")[2] if lines[0].turns else untold
        shown = [
            replace(line, text=_clipped(line.text), value=_clipped(line.value)) for line in lines if not line.turns
        ]
        found.append(Stretch(who, name, how, shown))
    return found


def _clipped(text: str) -> str:
    """Cut off what no message of the platform has, so that a page stays small."""
    return (
        text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text) - LONGEST_TEXT:,} more characters)"
    )


def address(conversation_id: str) -> str:
    """The address of a conversation's page."""
    return f"{HOME}/conversations/{quote(conversation_id, safe='')}"


def place(after: Place) -> str:
    """A place in a listing, as it stands in an address."""
    return f"{'' if after.since is None else to_micros(after.since)}~{after.id}"


def older(before: Before) -> str:
    """A place in a timeline, as it stands in an address."""
    return f"{before.event}.{before.effect}.{before.duty}.{before.moment}.{before.step}"


def read_older(text: str) -> Before:
    """The place that `older` wrote. Raises `ValueError`."""
    event, effect, duty, moment, step = map(read_number, text.split("."))
    return Before(event, effect, duty, moment, step)


def read_number(text: str) -> int:
    """A whole number of at most 63 bits. Raises `ValueError`."""
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER) or int(text) >= 2**63:
        raise ValueError("no such number")
    return int(text)


def read_place(text: str) -> Place:
    """The place that `place` wrote. Raises `ValueError`."""
    since, tilde, id_ = text.partition("~")
    if not tilde or not id_:
        raise ValueError("no place in a listing")
    return Place(id_, from_micros(int(since)) if since else None)
