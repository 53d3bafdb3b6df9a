"""The machine's clock, as the bot sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.clock import SystemClock

HOUR = 3600.0


class Machine:
    """Its two clocks."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.steady = 50.0
        self.clock = SystemClock(lambda: self.wall, lambda: self.steady)

    def passes(self, seconds: float) -> float:
        """Time passes; how far the bot's clock went meanwhile."""
        before = self.clock.now()
        self.wall += seconds
        self.steady += seconds
        return (self.clock.now() - before).total_seconds()


def test_it_is_the_machines() -> None:
    """As long as nobody sets it, and when it is set ahead."""
    machine = Machine()
    assert machine.clock.now() == datetime.fromtimestamp(machine.wall, UTC)
    assert machine.passes(10) == 10
    machine.wall += HOUR
    assert machine.clock.now() == datetime.fromtimestamp(machine.wall, UTC)


def test_set_back() -> None:
    """It goes on, so that what is due in a minute is not due in an hour and a minute, and comes back to the truth."""
    machine = Machine()
    told = machine.clock.now()
    machine.wall -= HOUR
    assert machine.clock.now() == told
    assert machine.passes(60) == 54
    for _ in range(24 * 60):
        assert 53.9 <= machine.passes(60) <= 60.1
    assert machine.clock.now() == datetime.fromtimestamp(machine.wall, UTC)


def test_the_real_one() -> None:
    """Now is now."""
    assert abs(SystemClock().now() - datetime.now(UTC)) < timedelta(seconds=5)
