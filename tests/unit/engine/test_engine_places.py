"""Places: who may do something to the platform, and who is called when there is one."""

from __future__ import annotations

from bot.engine.places import Places


class Waiter:
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self) -> None:
        """There may be a place."""
        self.calls += 1


def test_who_has_waited_longest_is_called() -> None:
    """One is called for each place that is given back."""
    places, first, second = Places(1), Waiter(), Waiter()
    assert places.take(lambda: None)
    assert not places.take(first.call)
    assert not places.take(second.call)
    places.give_back()
    assert (first.calls, second.calls) == (1, 0)
    assert places.take(first.call)
    places.give_back()
    assert (first.calls, second.calls) == (1, 1)


def test_who_leaves_keeps_no_place_from_others() -> None:
    """A place that was offered to one who needs none any more goes to the next."""
    places, first, second = Places(1), Waiter(), Waiter()
    assert places.take(lambda: None)
    assert not places.take(first.call)
    assert not places.take(second.call)
    places.give_back()
    places.leave(first.call)
    assert second.calls == 1
    assert places.take(second.call)


def test_leaving_without_waiting_is_nothing() -> None:
    """Nobody is called for it."""
    places, waiter = Places(1), Waiter()
    places.leave(waiter.call)
    assert places.take(waiter.call)
    assert waiter.calls == 0
