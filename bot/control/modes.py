"""The two positions of the account's *Conversation control* setting: everything that differs between them.

Source: the table "The two control modes" in docs/architecture.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.control.state import Action

DEFAULT_PASS_TO = "zd-agentWorkspace"


@dataclass(frozen=True, slots=True)
class Owed:
    """A control action that a mode asks for; `target` only for a pass."""

    action: Action
    target: str | None = None


@dataclass(frozen=True, slots=True)
class ReleaseControl:
    """The platform releases control by itself when a ticket closes or the user ends the conversation."""

    pass_to: str = DEFAULT_PASS_TO
    name = "release"
    retries_named_target = False
    """Is a pass to the target that a flow named tried again before it goes to PASS_TO?"""
    closes_after_end = False
    """Does the bot run its closing flow when the user ends a conversation that the bot holds?"""

    def when_over(self) -> Owed:
        """What is owed when a flow is over (complete or failed) and the user is not gone."""
        return Owed(Action.RELEASE)

    def is_contradicted(self, *, passed_to_bot: bool, by_platform: bool) -> bool:
        """Did the platform do what it does only in the other mode?"""
        return by_platform and passed_to_bot


@dataclass(frozen=True, slots=True)
class PassControl:
    """The platform hands control on, and whoever gets it must release it when its own flow is complete."""

    pass_to: str = DEFAULT_PASS_TO
    name = "pass"
    retries_named_target = True
    """Is a pass to the target that a flow named tried again before it goes to PASS_TO?"""
    closes_after_end = True
    """Does the bot run its closing flow when the user ends a conversation that the bot holds?"""

    def when_over(self) -> Owed:
        """What is owed when a flow is over (complete or failed) and the user is not gone."""
        return Owed(Action.PASS, self.pass_to)

    def is_contradicted(self, *, passed_to_bot: bool, by_platform: bool) -> bool:
        """Did the platform do what it does only in the other mode?"""
        return by_platform and not passed_to_bot


Mode = ReleaseControl | PassControl


def mode_named(name: str, pass_to: str = DEFAULT_PASS_TO) -> Mode:
    """The mode that CONTROL_MODE names. Raises ValueError with the two names otherwise."""
    if name == ReleaseControl.name:
        return ReleaseControl(pass_to)
    if name == PassControl.name:
        return PassControl(pass_to)
    raise ValueError(f"{name!r} is no control mode: it is 'release' or 'pass'")
