"""The strategies of the tests build nothing that the types forbid, and draw the same examples every time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from drawing import built, examples
from hypothesis import find, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.control.facts import FlowWaits


@dataclass(frozen=True)
class Sample:
    """A fact of a test's own."""

    run_id: int
    taken: tuple[str, ...] = ()


@pytest.mark.parametrize("wrong", [0, "e1", ["e1"], (1,), None])
def test_a_wrong_type_is_not_built(wrong: object) -> None:
    """Neither a number nor a list nor a bare string passes for a tuple of strings."""
    with pytest.raises(ValidationError):
        find(built(Sample, taken=st.just(wrong)), lambda _: True)


def test_a_field_that_is_not_there() -> None:
    """A renamed field can't be narrowed by its old name."""
    with pytest.raises(AssertionError, match="FlowWaits has no"):
        built(FlowWaits, took=st.just(()))


@given(built(Sample))
def test_fields_have_their_types(sample: Sample) -> None:
    """Also those that have a default and are not named."""
    assert isinstance(sample.run_id, int)
    assert all(isinstance(event_id, str) for event_id in sample.taken)


def test_the_same_examples_every_time() -> None:
    """By default; the profile `new` draws others."""

    def drawn() -> list[int]:
        seen: list[int] = []

        @settings(max_examples=examples(20), database=None)
        @given(st.integers())
        def collect(number: int) -> None:
            seen.append(number)

        collect()
        return seen

    same = settings.get_current_profile_name() == "same"
    assert (drawn() == drawn()) is same
