"""The HTML report: one self-contained page, a lane per conversation, all text escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape

from bot.replay.report_style import STYLE
from bot.replay.result import Lane, Owed, Result

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
    body = "".join(_tape(number, result, unfold=lanes <= FEW) for number, result in enumerate(results))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Replay: {escape(verdict)}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>Replay</h1><p class="verdict {_class(good)}">{escape(verdict)}</p>'
        f"<p>{len(results)} {_plural('tape', len(results))}, {lanes} {_plural('conversation', lanes)}</p>"
        f"{_LEGEND}{_contents(results)}</header>"
        f"<main>{body}</main></body></html>\n"
    )


def _contents(results: Sequence[Result]) -> str:
    """Render links to the conversations with problems."""
    links = "".join(
        f'<li><a href="#lane-{number}-{place}">{escape(f"{result.tape} ({result.mode}): {lane.id}")}</a></li>'
        for number, result in enumerate(results)
        for place, lane in enumerate(result.lanes)
        if not lane.ok
    )
    return f'<ul class="contents">{links}</ul>' if links else ""


_LEGEND = (
    '<ul class="legend"><li><i class="bot"></i>the bot is active</li>'
    '<li><i class="other"></i>another integration is active</li><li><i class="nobody"></i>nobody is active</li></ul>'
)


def _tape(number: int, result: Result, *, unfold: bool) -> str:
    problems = "".join(f'<p class="wrong">{escape(problem)}</p>' for problem in result.problems)
    left, lanes = MOST, []
    for place, lane in enumerate(result.lanes):
        left -= lane.ok
        if left >= 0 or not lane.ok:
            lanes.append(_lane(f"lane-{number}-{place}", lane, unfold=unfold or not lane.ok))
    more = f"<p>{-left} more conversations without problems are not shown.</p>" if left < 0 else ""
    return (
        f'<section class="tape"><h2>{escape(result.tape)} <small>{escape(result.mode)} control</small></h2>'
        f"<p>{escape(result.note)}</p>{problems}{''.join(lanes)}{more}</section>"
    )


def _lane(key: str, lane: Lane, *, unfold: bool) -> str:
    state = "goes on" if lane.ended_at is None else "closed" if lane.closed else "open"
    if lane.closed and lane.open_for is not None:
        state += f" {lane.open_for.total_seconds():.1f} s after its end"
    rows = "".join(_rows(lane))
    duties = "".join(_duty(duty) for duty in lane.duties)
    notes = "".join(f'<li class="diverged">diverged: {escape(one.what)}</li>' for one in lane.diverged)
    wrong = "" if lane.ok else f'<p class="wrong">{escape(lane.why_not)}</p>'
    proof = f'<p class="proof">Proof: {escape(lane.proof)}</p>' if lane.proof else ""
    return (
        f'<article class="lane {_class(lane.ok)}" id="{key}"><details{" open" if unfold else ""}>'
        f'<summary><h3>{escape(lane.id)} <span class="badge {_class(lane.ok)}">{state}</span></h3></summary>'
        f'{wrong}{proof}<ul class="duties">{duties}{notes}</ul>'
        f'<table><thead><tr><th>time</th><th><span class="hidden">active</span></th><th>what happened</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></details></article>"
    )


def _rows(lane: Lane) -> Iterator[str]:
    """Yield what happened, in order, next to the colour of the holder."""
    happened: list[tuple[datetime, int, str, str]] = []
    for one in lane.holders:
        who = escape(one.holder or "nobody")
        happened.append(
            (
                one.at,
                1,
                "moved",
                f"{who} is active <small>({one.by}: {escape(one.cause)})</small>",
            )
        )
    happened += [(event.at, 3, "event", escape(event.what)) for event in lane.events]
    for message in lane.messages:
        what = f'<b>{escape(message.who)}</b> <q class="said">{escape(message.text)}</q>'
        happened.append((message.at, 2, f"message {_word(message.who)}", what))
    for action in lane.actions:
        kind = "read" if action.call.startswith(_READS) else "action"
        if action.call != "PostMessage":
            happened.append((action.at, 0, kind, f"{escape(action.call)} {escape(action.what)}"))
    if lane.ended_at is not None:
        happened.append((lane.ended_at, 2, "end", "the user ends the conversation"))
    happened.sort(key=lambda one: one[:2])
    for at, _, kind, what in happened:
        holder = next((one.holder for one in reversed(lane.holders) if one.at <= at), "")
        band = {"": "nobody", "bot": "bot"}.get(holder, "other")
        time = at.strftime("%H:%M:%S.") + f"{at.microsecond // 1000:03d}"
        yield (
            f'<tr class="{kind}"><td><time datetime="{at.isoformat()}" title="{at:%Y-%m-%d}">{time}</time></td>'
            f'<td class="band {band}" title="{band}"></td><td>{what}</td></tr>'
        )


def _duty(duty: Owed) -> str:
    tries = f"{duty.attempts} {'try' if duty.attempts == 1 else 'tries'}"
    if duty.closed_at is None:
        state = f'<b class="owed">still owed</b> {escape(duty.last_answer)}'
    else:
        seconds = (duty.closed_at - duty.since).total_seconds()
        state = f"proven after {seconds:.1f} s: {escape(duty.proof)}"
    return f"<li>duty: <b>{escape(duty.action)}</b> ({escape(duty.reason)}), {tries}; {state}</li>"


def _class(good: bool) -> str:
    return "good" if good else "bad"


def _word(who: str) -> str:
    return who if who in ("user", "bot", "agent", "platform") else "other"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
