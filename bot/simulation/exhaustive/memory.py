"""Remembers what steps of the rules led to: stories that differ only in what the bot can't see share them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from bot.control.commands import Record
from bot.control.facts import Fact, FlowHandedOver
from bot.control.policy import Policy
from bot.control.rules import step
from bot.control.state import Conversation, Pending, Unsent

Stepped = tuple[Conversation, tuple[Record, ...]]

MOST_STEPS = 200_000
MOST_STATES = 100_000

Due = tuple[Conversation, datetime | None, Pending | Unsent | None, datetime | None]

_steps: dict[Any, tuple[Conversation, Policy, Stepped]] = {}  # by the identity of what is kept alive with it
_states: dict[Any, Conversation] = {}
_dues: dict[int, Due] = {}


def stepped(state: Conversation, fact: Fact, now: datetime, policy: Policy) -> Stepped:
    """As `step`, remembered for this very state."""
    named = (FlowHandedOver, fact.run_id) if isinstance(fact, FlowHandedOver) else fact  # metadata can't be hashed
    key = (id(state), named, now, id(policy))
    known = _steps.get(key)
    if known is None:
        if len(_steps) > MOST_STEPS:
            _steps.clear()
        known = _steps[key] = (state, policy, step(state, fact, now, policy))
    return known[2]


def due_in(state: Conversation) -> Due:
    """When time itself changes something, what goes out next and when: of the state, which comes first."""
    known = _dues.get(id(state))
    if known is None:
        if len(_dues) > MOST_STEPS:
            _dues.clear()
        known = _dues[id(state)] = (state, state.waits_until, state.sends_first, state.sends_at)
    return known


def one_of(form: Any, make: Callable[[], Conversation]) -> Conversation:
    """The one state of a form: the same object each time, as long as it is remembered."""
    known = _states.get(form)
    if known is None:
        if len(_states) > MOST_STATES:
            _states.clear()
        known = _states[form] = make()
    return known


def forget() -> None:
    """Forget everything: the rules have changed."""
    _steps.clear()
    _states.clear()
    _dues.clear()
