"""Every unknown is a switch, and positions are drawn reproducibly."""

from __future__ import annotations

import random

from bot.sandbox import Switches


def seeded(seed: int) -> random.Random:
    """A reproducible source of draws."""
    return random.Random(seed)  # noqa: S311 - draws of a simulation, not secrets


def test_default_is_first_position() -> None:
    """The default of each switch is the first of its positions."""
    positions = Switches.positions()

    assert {name: values[0] for name, values in positions.items()} == {
        name: getattr(Switches(), name) for name in positions
    }


def test_every_switch_can_be_moved() -> None:
    """Each switch has at least two positions, all different."""
    assert all(len(set(values)) == len(values) >= 2 for values in Switches.positions().values())


def test_draw_is_reproducible() -> None:
    """The same seed draws the same positions."""
    assert Switches.draw(seeded(5)) == Switches.draw(seeded(5))


def test_draw_reaches_every_position() -> None:
    """In many draws every position of every switch comes up."""
    rng = seeded(1)
    drawn = [Switches.draw(rng) for _ in range(200)]

    for name, values in Switches.positions().items():
        assert {getattr(switches, name) for switches in drawn} == set(values), name


def test_fixing_one_moves_no_other() -> None:
    """A fixed switch stays as given, and the rest is drawn as it would be without."""
    free = Switches.draw(seeded(9))
    fixed = Switches.draw(seeded(9), mode="pass", end_reason="made up")

    assert (fixed.mode, fixed.end_reason) == ("pass", "made up")
    assert all(
        getattr(free, name) == getattr(fixed, name)
        for name in Switches.positions()
        if name not in ("mode", "end_reason")
    )
