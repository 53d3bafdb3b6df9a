"""The exhaustive search in its long form: stories of three acts in every setup, and the planted bugs."""

from __future__ import annotations

import pytest
from exhaustive_mutants import FOUND, hunt
from tiers import some

from bot.simulation.exhaustive.search import search
from bot.simulation.exhaustive.setup import Setup, all_setups

SOON = ("treat a 200 as proof", "drop what was said before a failure")


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("setup", all_setups(), ids=str)
def test_no_story_of_three_acts_breaks_the_guarantee(setup: Setup) -> None:
    """Whatever happens, in whatever order: about half a million moments in all."""
    assert [f"{story.breach}: {story}" for story in search(setup, 3).stories] == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", some([*SOON, *(name for name in FOUND if name not in SOON)]))
def test_a_planted_bug_is_found(name: str) -> None:
    """By a story of a few acts, from which the breach follows."""
    found = hunt(name)
    assert found.story
    assert found.breach[:2] in ("G1", "G2", "G3", "G4", "G5"), found.breach
