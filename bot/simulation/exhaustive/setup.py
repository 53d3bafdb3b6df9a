"""What does not change within a story: the control mode, the API keys, and what is special about time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from bot.control.modes import mode_named
from bot.control.policy import Policy
from bot.control.state import Integration
from bot.sandbox.switchboard import ANSWERS, WORKSPACE
from bot.sandbox.switchboard import BOT as BOT_NAME

NOBODY, BOT, DESK, OTHER = range(4)
"""Who is active: nobody, the bot, the agent workspace, another integration."""

INTEGRATIONS: tuple[Integration | None, ...] = (
    None,
    Integration("sw-bot", BOT_NAME, "custom"),
    Integration("sw-desk", WORKSPACE, "zd:agentWorkspace"),
    Integration("sw-other", ANSWERS, "zd:answerBot"),
)
NAMES = ("nobody", "the bot", "the agent workspace", "the other integration")

MODES = ("release", "pass")
KEYS = ("int", "app", "both")
TIMES = ("plain", "undated", "instant")
TICK = timedelta(milliseconds=20)
"""From one thing that happens to the next, unless all happens in one instant."""


@dataclass(frozen=True)
class Setup:
    """The surroundings of a story.

    Attributes:
        mode: the account's Conversation control setting.
        keys: which API keys the bot has: `int`, `app` or `both`.
        time: what is special about time. `plain`: nothing, whatever happens happens a little later than what happened
            before. `undated`: control events carry no `createdAt`. `instant`: no time passes unless the story says so.
    """

    mode: str = "release"
    keys: str = "both"
    time: str = "plain"

    def __post_init__(self) -> None:
        """Raise `ValueError` for a mode or keys that do not exist."""
        for name, value, known in (("mode", self.mode, MODES), ("keys", self.keys, KEYS), ("time", self.time, TIMES)):
            if value not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, and not {value!r}")

    @cached_property
    def tick(self) -> timedelta:
        """From one thing that happens to the next."""
        return timedelta(0) if self.time == "instant" else TICK

    @cached_property
    def dated(self) -> bool:
        """Do control events carry `createdAt`?"""
        return self.time != "undated"

    @cached_property
    def policy(self) -> Policy:
        """What the rules are told of it."""
        return Policy("sw-bot", mode_named(self.mode), integration_key=self.keys != "app", app_key=self.keys != "int")

    def to_json(self) -> dict[str, Any]:
        """The setup as JSON values."""
        return {"mode": self.mode, "keys": self.keys, "time": self.time}

    @staticmethod
    def of_json(value: Mapping[str, Any]) -> Setup:
        """The setup that JSON values describe. Raises `ValueError`."""
        return Setup(str(value.get("mode")), str(value.get("keys")), str(value.get("time", "plain")))

    def __str__(self) -> str:
        return f"mode {self.mode}, keys {self.keys}, time {self.time}"


def all_setups() -> tuple[Setup, ...]:
    """Every combination."""
    return tuple(Setup(*combination) for combination in itertools.product(MODES, KEYS, TIMES))
