"""The two control modes: everything that differs between them, and nothing else.

They mirror the account's *Conversation control* setting. Source: the table "The two
control modes" in docs/architecture.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.control.state import Action

DEFAULT_PASS_TO = "zd-agentWorkspace"


@dataclass(frozen=True, slots=True)
class Owed:
    """Control action that a mode requires; `target` only for a pass."""

    action: Action
    target: str | None = None


@dataclass(frozen=True, slots=True)
class ReleaseControl:
    """Mode in which the platform releases control when a ticket closes or the user ends."""

    pass_to: str = DEFAULT_PASS_TO
    name = "release"
    retries_named_target = False
    """Whether a declined pass to a flow's target is retried before PASS_TO."""
    closes_after_end = False
    """Whether the closing flow runs when the user ends while the bot is active."""

    def when_over(self) -> Owed:
        """Return what is owed after a flow (complete or failed) whose user is still there."""
        return Owed(Action.RELEASE)

    def is_contradicted(self, *, passed_to_bot: bool, by_platform: bool) -> bool:
        """Return whether the platform acted as only in the other mode."""
        return by_platform and passed_to_bot


@dataclass(frozen=True, slots=True)
class PassControl:
    """Mode in which the platform passes control on, and the receiver must release it.

    The receiver releases once its own flow is complete.
    """

    pass_to: str = DEFAULT_PASS_TO
    name = "pass"
    retries_named_target = True
    """Whether a declined pass to a flow's target is retried before PASS_TO."""
    closes_after_end = True
    """Whether the closing flow runs when the user ends while the bot is active."""

    def when_over(self) -> Owed:
        """Return what is owed after a flow (complete or failed) whose user is still there."""
        return Owed(Action.PASS, self.pass_to)

    def is_contradicted(self, *, passed_to_bot: bool, by_platform: bool) -> bool:
        """Return whether the platform acted as only in the other mode."""
        return by_platform and not passed_to_bot


Mode = ReleaseControl | PassControl


def mode_named(name: str, pass_to: str = DEFAULT_PASS_TO) -> Mode:
    """Return the mode that CONTROL_MODE names.

    Raises:
        ValueError: the name is neither of the two; the text names both.
    """
    if name == ReleaseControl.name:
        return ReleaseControl(pass_to)
    if name == PassControl.name:
        return PassControl(pass_to)
    raise ValueError(f"{name!r} is not a control mode: use 'release' or 'pass'")
