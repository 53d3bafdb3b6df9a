"""The HTML report: one self-contained page, a lane per conversation, all text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from bot.replay.result import Action, Happened, Held, Lane, Result, Spoken

_READS = ("Get", "List")

FEW = 20
"""Number of conversations shown unfolded; with more, only those with problems are."""
MOST = 1000
"""Number of conversations without problems shown per tape; those with problems all are."""


def report(results: Sequence[Result]) -> str:
    """Render one self-contained page, which can be mailed and opened offline."""
    good = all(result.closed for result in results)
    lanes = sum(len(result.lanes) for result in results)
    wrong = sum(not lane.ok for result in results for lane in result.lanes)
    verdict = "All closed" if good else f"{wrong} of {lanes} conversations have problems"
    if not good and not wrong:
        verdict = "The guarantee is broken"
    environment = Environment(
        loader=PackageLoader("bot.replay"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html").render(
        results=results,
        verdict=verdict,
        good=good,
        lanes=lanes,
        wrong=wrong,
        rows=_rows,
        shown_of=_shown,
        FEW=FEW,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a lane.

    Attributes:
        at: when it happened.
        order: of what happened at the same time.
        kind: a class of the style sheet.
        entry: what happened; None: the user ended the conversation.
        band: the colour of who was active: bot, other or nobody.
    """

    at: datetime
    order: int
    kind: str
    entry: Held | Happened | Spoken | Action | None
    band: str

    @property
    def time(self) -> str:
        """To the millisecond."""
        return f"{self.at:%H:%M:%S}.{self.at.microsecond // 1000:03d}"


def _shown(result: Result) -> list[tuple[int, Lane]]:
    """The conversations that are shown, each with its place."""
    left, shown = MOST, []
    for place, lane in enumerate(result.lanes):
        left -= lane.ok
        if left >= 0 or not lane.ok:
            shown.append((place, lane))
    return shown


def _rows(lane: Lane) -> list[Row]:
    """What happened, in order, each beside the colour of who was active."""

    def row(at: datetime, order: int, kind: str, entry: Held | Happened | Spoken | Action | None) -> Row:
        holder = next((one.holder for one in reversed(lane.holders) if one.at <= at), "")
        return Row(at, order, kind, entry, {"": "nobody", "bot": "bot"}.get(holder, "other"))

    rows = [row(one.at, 1, "moved", one) for one in lane.holders]
    rows += [row(event.at, 3, "event", event) for event in lane.events]
    rows += [row(message.at, 2, f"message {_word(message.who)}", message) for message in lane.messages]
    rows += [
        row(action.at, 0, "read" if action.call.startswith(_READS) else "action", action)
        for action in lane.actions
        if action.call != "PostMessage"
    ]
    if lane.ended_at is not None:
        rows.append(row(lane.ended_at, 2, "end", None))
    return sorted(rows, key=lambda row: (row.at, row.order))


def _word(who: str) -> str:
    return who if who in ("user", "bot", "agent", "platform") else "other"
