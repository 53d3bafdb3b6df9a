"""Stories that broke the guarantee once, told by hand so that they mean the same for ever.

Each holds, and breaks again, in the way that is named, once the rule that mends it is taken out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from tiers import some

from bot.cli.simulate import breaches_of
from bot.control import duties, holders, users
from bot.control.draft import Draft
from bot.control.facts import ControlMoved
from bot.control.state import Opening, OpeningKind
from bot.sandbox.switches import Switches
from bot.simulation.scenario import Act, Incident, Scenario, plain

LATE = Incident("world", "jitter", 29.9, 15.0)
REFUSED = (Incident("api", "429_retry_after", 2, 8.0), Incident("api", "403_before", 3))  # the release, twice


def scenario(*acts: Act, incidents: tuple[Incident, ...] = (), **changes: Any) -> Scenario:
    """One conversation in pass mode with both keys, unless told otherwise."""
    switches = {name: changes.pop(name) for name in Switches.positions() if name in changes}
    mode = switches.setdefault("mode", "pass")
    made = replace(
        plain(changes.pop("seed", 0)),
        switches=Switches(**switches),
        keep_mode=False,
        mode=mode,
        integration_key=True,
        app_key=True,
        closing="closing",
        batch=1,
        latency=0.02,
        talks=(acts,),
        incidents=incidents,
    )
    return replace(made, **changes)


def thanked(then: str, seed: int) -> Scenario:
    """An agent is thanked and gives the conversation back. A read tells that first, then the events come, late."""
    return scenario(
        Act(0, "user", "says", "handover"),
        Act(20, "agent", "says"),
        Act(30, "user", "says", "thank you, Ada"),
        Act(30.05, "agent", then),
        Act(30.3, "operator", "releases"),
        incidents=(LATE,),
        seed=seed,
    )


@dataclass(frozen=True)
class Story:
    """A scenario, the function that mends it, what stands in its place, and the breach that shows then."""

    scenario: Scenario
    owner: Any
    function: str
    instead: Any
    breach: str


def _begin_always(draft: Draft, purpose: Any, fact: ControlMoved) -> None:
    draft.start_run(purpose, Opening(OpeningKind.HANDBACK, reason=fact.reason), fact.at)


def _closed_by_refusal(draft: Draft, _: object) -> None:
    draft.close_duty("the platform refused the release: control is not ours any more (403)")


CAME_BACK = (Act(0, "user", "says", "finish"), Act(5, "user", "ends"), Act(60, "user", "says", "echo"))

STORIES = {
    "a word said to an agent": Story(
        thanked("closes", 1), users, "_said_to_others", lambda *_: False, "G5: a flow began with 'thank you, Ada'"
    ),
    "a reason told late": Story(
        thanked("emails", 1), holders, "explain", lambda *_: None, "G1: the bot does nothing after a transfer to e-mail"
    ),
    "two bots": Story(
        scenario(Act(0, "user", "says", "around"), other_bot=True),
        holders,
        "_begin_handed_back",
        _begin_always,
        "G5: 13",
    ),
    "a user who comes back": Story(
        scenario(*CAME_BACK, reopen_allowed=True, mode="release"),
        users,
        "_reopen",
        lambda *_: False,
        "G1: the bot does nothing after the user came back",
    ),
    "a refusal after the end": Story(
        scenario(Act(0, "user", "says", "mute"), Act(10, "user", "ends"), incidents=REFUSED),
        duties,
        "_not_ours",
        _closed_by_refusal,
        "G1: a refusal counts as proof",
    ),
    "a target that is not there": Story(
        scenario(Act(0, "user", "says", "nowhere")), duties, "_fall_back", lambda *_: None, "G1: passed to"
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_it_holds(name: str) -> None:
    """With all its rules the bot keeps the guarantee."""
    assert breaches_of(STORIES[name].scenario) == []


@pytest.mark.parametrize("name", some(STORIES, 2))
def test_it_breaks_without_its_rule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule it breaks: the checks are not blind to it."""
    story = STORIES[name]
    monkeypatch.setattr(story.owner, story.function, story.instead)
    assert any(breach.startswith(story.breach) for breach in breaches_of(story.scenario))


def test_a_pass_in_the_same_moment() -> None:
    """A message, a pass to the agents and a message of one millisecond: the bot stops before its next line."""
    talk = (Act(0, "user", "says", "chatty"), Act(0, "platform", "takes"))
    others = ((Act(0, "user", "says", "mute"),), (Act(0, "user", "says", "finish"), Act(0.001, "platform", "merges")))
    world = scenario(deliver_standby_events=False, mode="release", batch=2, latency=0.3, talks=(*others, talk))
    assert breaches_of(world) == []


@pytest.mark.parametrize("mode", ["release", "pass"])
@pytest.mark.parametrize("slow", [0.0, 1.5])
def test_an_app_key_alone(mode: str, slow: float) -> None:
    """An agent takes over between the read and the release: the one window there is, and the checks know it."""
    acts = (Act(0, "user", "says", "slow"), Act(5, "operator", "releases"), Act(5.0, "platform", "takes"))
    incidents = (Incident("api", "slow_before", 4, slow),) if slow else ()
    world = scenario(*acts, mode=mode, integration_key=False, latency=0.0, incidents=incidents)
    assert breaches_of(world) == []
