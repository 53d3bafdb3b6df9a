"""How times and states look to operators, on the page and in the terminal alike."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.control.state import Action, Conversation, Duty, Run
from bot.store.operators import Listed
from bot.store.questions import OVERDUE_AFTER


def age(duration: timedelta) -> str:
    """A duration in its two largest units: `45 s`, `3 min`, `2 h 5 min`, `4 d 3 h`."""
    seconds = max(0, int(duration.total_seconds()))
    for unit, name, smaller, smaller_name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min")):
        if seconds >= unit:
            rest = seconds % unit // smaller
            return f"{seconds // unit} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"


def flow(run: Run) -> str:
    """Which flow is at work: its name and version, or what it is for where no flow is recorded."""
    return f"{run.flow}, version {run.version}" if run.flow else f"{run.purpose.value} flow"


def moment(at: datetime) -> str:
    """A time as people read it, in UTC, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%S")


def is_overdue(state: Conversation, now: datetime) -> bool:
    """Has it been owed for too long?"""
    duty = state.duty
    return duty is not None and duty.is_owed and now - duty.since > OVERDUE_AFTER


def badges(listed: Listed, now: datetime) -> list[str]:
    """How a conversation stands, in single words: some of held, owed, overdue, ended, released, gone, failed."""
    state = listed.state
    shown = {
        "gone": state.gone,
        "held": listed.held_since is not None,
        "ended": state.ended is not None and not state.closed,
        "released": state.closed,
        "overdue": is_overdue(state, now),
        "owed": state.duty is not None and state.duty.is_owed and not is_overdue(state, now),
        "failed": listed.failed_at is not None,
    }
    return [name for name, there in shown.items() if there]


MEANINGS = {
    "held": "the bot is active: it answers, and owes a release when it is done",
    "owed": "the bot has to release or pass control, and has no proof yet that it is done",
    "overdue": "the same, for more than a minute: see its timeline for the last answer",
    "ended": "the user has ended it, and it is not yet proven that nobody is active",
    "released": "the user has ended it, and it is proven that nobody is active: closed",
    "failed": "a flow failed there at some time, or an event was set aside: see its timeline",
    "gone": "the platform does not know it any more",
    "quiet": "none of these: the bot does nothing there, since somebody else is active, or nobody",
}
"""What the words of the column *Standing* mean."""

COLUMNS = {
    "Who": "the name of the user, else e-mail address or external id, as far as events have shown them",
    "Active": "who has control and may answer, as far as the bot knows",
    "Last change": "how long ago anything about it was last stored",
    "Owes": "what the bot has to do about control, and why",
}
"""What the columns of the list mean."""


def action(duty: Duty) -> str:
    """What is owed, in words."""
    if duty.action is Action.TAKE:
        return "take-up of control"
    return "release" if duty.action is Action.RELEASE else f"pass to {duty.target}"


def owes(duty: Duty) -> str:
    """What is owed and why."""
    return f"{action(duty)}: {duty.reason}"
