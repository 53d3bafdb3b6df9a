"""Renders HTML from store data: the templates, and their values."""

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

from bot.console import formatting
from bot.console.lines import Line, lines_of
from bot.control.modes import Mode
from bot.control.state import Who
from bot.store.interface import Counts
from bot.store.operators import Before, Listed, Page, Place, Standing, Timeline
from bot.store.times import from_micros, to_micros
from bot.troubles import Trouble

HOME = "/console"

MAX_DIGITS = 19
MAX_TEXT_LENGTH = 4096  # characters on a page; the platform's messages are not longer

STATIC = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

AGES = {"": "any time", "1m": "1 minute", "15m": "15 minutes", "1h": "1 hour", "1d": "1 day"}
"""The choices for the minimum age in the list."""

STANDINGS = {
    Standing.ALL: ("All", "Known for", "all known conversations; newest first"),
    Standing.HELD: ("Held", "Held for", "the bot is active; longest first"),
    Standing.OWED: (
        "Owed",
        "Owed for",
        "the bot must release or pass control; longest first",
    ),
    Standing.OVERDUE: ("Overdue", "Owed for", "the same, for more than a minute"),
    Standing.OPEN: (
        "Ended, open",
        "Ended for",
        "ended by the user, but not yet proven released",
    ),
    Standing.ENDED: ("Ended", "Ended for", "ended by the user; newest first"),
    Standing.FAILED: (
        "Failed",
        "Failed for",
        "a flow failed, or an event was set aside; newest first",
    ),
    Standing.MISMATCH: (
        "Other mode",
        "So for",
        "the platform acted as in the other control mode",
    ),
}
"""The name of each list, the meaning of its times, and its contents."""

MODES = {
    "release": "When a user ends a conversation or a ticket closes, the platform releases control.",
    "pass": "When a user ends a conversation or a ticket closes, the platform passes control. "
    "The conversation stays open until the recipient releases it; the bot does.",
}


@dataclass(frozen=True, slots=True)
class Overview:
    """The values of the first page: counts, mode, and a page of conversations.

    Attributes:
        now: the current time.
        counts: the counts of the store.
        mode: the control mode.
        mismatches: conversations where the platform recently acted as in the other mode.
        page: a page of the list.
        troubles: ongoing troubles of this process.
        query: the query of the list, without the position.
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
        """A version of the content, independent of the time."""
        known = replace(self.counts, oldest_owed_seconds=0.0, inbox=0, outbox=0)
        failing = [(trouble.what, trouble.where, trouble.problem) for trouble in self.troubles]
        return repr((known, self.mismatches, self.page, failing))


class Templates:
    """Renders pages, escaping all values."""

    def __init__(self) -> None:
        self._environment = _environment()

    def render(self, name: str, **values: Any) -> str:
        """Render a page; or a part of one, for names that begin with an underscore."""
        return self._environment.get_template(name).render(**values)


@cache
def _environment() -> Environment:
    """Compile all templates at once: it takes 0.1 s, which must not delay webhooks later."""
    made = Environment(
        loader=PackageLoader("bot.console"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "age": formatting.age,
        "moment": formatting.moment,
        "owes": formatting.owes,
        "flow": formatting.flow,
    }
    made.globals |= {
        "STANDINGS": STANDINGS,
        "AGES": AGES,
        "MODES": MODES,
        "badges": formatting.badges,
        "MEANINGS": formatting.MEANINGS,
        "COLUMNS": formatting.COLUMNS,
        "holder_name": holder_name,
        "address": address,
        "place": place,
        "older": older,
    }
    for name in made.list_templates(extensions=["html"]):
        made.get_template(name)
    return made


def static(name: str) -> bytes:
    """Return a static file."""
    return files("bot.console").joinpath("static", name).read_bytes()


def holder_name(listed: Listed) -> str:
    """Return the display name of the active integration."""
    holder = listed.state.holder
    names = {
        Who.BOT: "the bot",
        Who.NOBODY: "nobody",
        Who.UNKNOWN: "unknown",
        Who.OTHER: str(holder),
    }
    return names[holder.who]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a timeline with the same holder, and the source of that fact."""

    who: Who
    name: str
    how: str
    lines: Sequence[Line]


def stretches(timeline: Timeline) -> list[Stretch]:
    """Split a timeline where the holder changes."""
    older = "see an older page for who was active"
    unknown = older if timeline.older else "no event has shown who is active"
    found = []

    def holder(line: Line) -> tuple[Who, str]:
        return line.holder, line.holder_name

    for (who, name), grouped in groupby(lines_of(timeline), key=holder):
        lines = list(grouped)
        how = lines[0].what.partition(", ")[2] if lines[0].turns else unknown
        shown = [
            replace(line, text=_clipped(line.text), value=_clipped(line.value)) for line in lines if not line.turns
        ]
        found.append(Stretch(who, name, how, shown))
    return found


def _clipped(text: str) -> str:
    """Truncate text to `MAX_TEXT_LENGTH`, to keep pages small."""
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    more = len(text) - MAX_TEXT_LENGTH
    return f"{text[:MAX_TEXT_LENGTH]}… ({more:,} more characters)"


def address(conversation_id: str) -> str:
    """Return the URL of a conversation's page."""
    return f"{HOME}/conversations/{quote(conversation_id, safe='')}"


def place(after: Place) -> str:
    """Encode a position in a list for a URL."""
    return f"{'' if after.since is None else to_micros(after.since)}~{after.id}"


def older(before: Before) -> str:
    """Encode a position in a timeline for a URL."""
    return f"{before.event}.{before.effect}.{before.duty}.{before.moment}.{before.step}"


def read_older(text: str) -> Before:
    """Decode the result of `older`. Raises `ValueError`."""
    event, effect, duty, moment, step = map(read_number, text.split("."))
    return Before(event, effect, duty, moment, step)


def read_number(text: str) -> int:
    """Parse a whole number of at most 63 bits. Raises `ValueError`."""
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    if not is_number or int(text) >= 2**63:
        raise ValueError("not a valid number")
    return int(text)


def read_place(text: str) -> Place:
    """Decode the result of `place`. Raises `ValueError`."""
    since, tilde, id_ = text.partition("~")
    if not tilde or not id_:
        raise ValueError("not a position in a list")
    return Place(id_, from_micros(int(since)) if since else None)
