"""Shrinks a failing scenario as far as it still fails in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from bot.sandbox.switches import Switches
from bot.simulation.scenario import Scenario

T = TypeVar("T")


def shrink(scenario: Scenario, fails: Callable[[Scenario], bool], tries: int = 400) -> Scenario:
    """Return the smallest scenario found that still fails.

    Args:
        scenario: a failing scenario.
        fails: returns whether a scenario fails in the same way.
        tries: maximum number of plays.
    """
    found = True
    while found and tries > 0:
        found = False
        for smaller in _smaller(scenario):
            tries -= 1
            if fails(smaller):
                scenario, found = smaller, True
                break
            if tries <= 0:
                break
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    """Yield smaller scenarios, with the largest pieces removed first."""
    for index in range(len(scenario.talks)):
        if len(scenario.talks) > 1:
            yield replace(scenario, talks=_without(scenario.talks, index))
    if scenario.incidents:
        yield replace(scenario, incidents=())
    for index in range(len(scenario.incidents)):
        yield replace(scenario, incidents=_without(scenario.incidents, index))
    for number, talk in enumerate(scenario.talks):
        for index in range(len(talk)):
            talks = [*scenario.talks]
            talks[number] = _without(talk, index)
            yield replace(scenario, talks=tuple(talks))
    defaults = Switches()
    for name in Switches.positions():
        default = getattr(defaults, name)
        if name != "mode" and getattr(scenario.switches, name) != default:
            yield replace(scenario, switches=replace(scenario.switches, **{name: default}))
    yield from (replace(scenario, outside=outside) for outside in scenario.outside.smaller())
    plain = replace(scenario, batch=1), replace(scenario, latency=0.0)
    keys = replace(scenario, app_key=True, integration_key=True)
    yield from (simpler for simpler in (*plain, keys) if simpler != scenario)


def _without(items: tuple[T, ...], index: int) -> tuple[T, ...]:
    return items[:index] + items[index + 1 :]
