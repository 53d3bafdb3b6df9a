"""Slots: who may do something to the platform, and who is called when there is one."""

from __future__ import annotations

from bot.engine.slots import Slots


class Waiter:
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self) -> None:
        """There may be a slot."""
        self.calls += 1


def test_who_has_waited_longest_is_called() -> None:
    """One is called for each slot that is given back."""
    slots, first, second = Slots(1), Waiter(), Waiter()
    assert slots.take(lambda: None)
    assert not slots.take(first.call)
    assert not slots.take(second.call)
    slots.give_back()
    assert (first.calls, second.calls) == (1, 0)
    assert slots.take(first.call)
    slots.give_back()
    assert (first.calls, second.calls) == (1, 1)


def test_who_leaves_keeps_no_place_from_others() -> None:
    """A slot that was offered to one who needs none any more goes to the next."""
    slots, first, second = Slots(1), Waiter(), Waiter()
    assert slots.take(lambda: None)
    assert not slots.take(first.call)
    assert not slots.take(second.call)
    slots.give_back()
    slots.leave(first.call)
    assert second.calls == 1
    assert slots.take(second.call)


def test_leaving_without_waiting_is_nothing() -> None:
    """Nobody is called for it."""
    slots, waiter = Slots(1), Waiter()
    slots.leave(waiter.call)
    assert slots.take(waiter.call)
    assert waiter.calls == 0
