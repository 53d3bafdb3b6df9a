"""Formats times and states for operators, for both the console and the terminal."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.control.state import Action, Conversation, Duty, Run
from bot.store.operators import Listed
from bot.store.questions import OVERDUE_AFTER


def age(duration: timedelta) -> str:
    """Format a duration in its two largest units: `45 s`, `3 min`, `2 h 5 min`, `4 d 3 h`."""
    seconds = max(0, int(duration.total_seconds()))
    units = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"))
    for unit, name, smaller, smaller_name in units:
        if seconds >= unit:
            rest = seconds % unit // smaller
            return f"{seconds // unit} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"


def flow(run: Run) -> str:
    """Return the name and version of a run's flow; its purpose if no flow is recorded."""
    return f"{run.flow}, version {run.version}" if run.flow else f"{run.purpose.value} flow"


def moment(at: datetime) -> str:
    """Format a time in UTC, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%S")


def is_overdue(state: Conversation, now: datetime) -> bool:
    """Return whether a duty has been due for too long."""
    duty = state.duty
    return duty is not None and duty.is_owed and now - duty.since > OVERDUE_AFTER


def badges(listed: Listed, now: datetime) -> list[str]:
    """Return the state of a conversation as badges, such as `held`, `owed`, `ended`."""
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
    "held": "the bot is active, and must release control when it is done",
    "owed": "the bot must release or pass control, and has no proof yet",
    "overdue": "the same, for more than a minute: see the timeline for the last answer",
    "ended": "the user ended it, but it is not yet proven that nobody is active",
    "released": "the user ended it, and it is proven that nobody is active",
    "failed": "a flow failed, or an event was set aside: see the timeline",
    "gone": "the platform no longer knows it",
    "quiet": "none of these: another integration is active, or nobody",
}
"""The meanings of the badges in the column *Standing*."""

COLUMNS = {
    "Who": "the user's name, else email address or external id, if events have shown them",
    "Active": "the integration that has control and may answer, as far as the bot knows",
    "Last change": "time since the last stored change",
    "Owes": "the control action that the bot must take, and why",
}
"""The meanings of the list's columns."""


def action(duty: Duty) -> str:
    """Return the name of a duty's action."""
    if duty.action is Action.TAKE:
        return "take-up of control"
    return "release" if duty.action is Action.RELEASE else f"pass to {duty.target}"


def owes(duty: Duty) -> str:
    """Return a duty's action and reason."""
    return f"{action(duty)}: {duty.reason}"
