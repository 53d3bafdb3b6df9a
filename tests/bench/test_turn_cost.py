"""A turn of twenty steps stays cheap, whatever is added to the engine."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from .turn_cost import measure

WORK = 20_000  # additions, to know how fast the machine is just now


@pytest.fixture(scope="module")
def seconds() -> Mapping[str, float]:
    """What each takes on this machine."""
    return measure()


def _machine() -> float:
    """Seconds for a fixed piece of Python: about a millisecond where the bounds below were set."""
    best = float("inf")
    for _ in range(50):
        began = time.perf_counter()
        total = 0
        for number in range(WORK):
            total += number
        best = min(best, time.perf_counter() - began)
    return best


def test_a_flow_over_its_journal_costs_little_more_than_a_bare_coroutine(seconds: Mapping[str, float]) -> None:
    """A bound with much room: the point is to notice a tenfold."""
    assert seconds["turn"] < 60 * seconds["bare"], seconds


def test_a_whole_turn_of_the_engine_takes_less_than_a_millisecond(seconds: Mapping[str, float]) -> None:
    """Of Python, besides database and network; on a machine that is slower or busy, of its own milliseconds."""
    assert seconds["session"] < 0.001 * max(1.0, _machine() / 0.0008), seconds
