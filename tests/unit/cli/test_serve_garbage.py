"""How `serve` looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from bot.cli.serve import _collect_garbage_less_often


@pytest.fixture
def as_in_serve() -> Iterator[None]:
    """The collector as it is set while the bot runs."""
    before = gc.get_threshold()
    _collect_garbage_less_often()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_garbage_is_freed_in_small_portions(as_in_serve: None) -> None:
    """The event loop stands still meanwhile: 50,000 objects at once took 100 ms."""
    freed = []

    def watch(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            freed.append(info["collected"])

    gc.callbacks.append(watch)
    for _ in range(30_000):
        cycle: list[object] = []
        cycle.append(cycle)
    gc.callbacks.remove(watch)
    assert 4 <= len(freed) <= 10
    assert max(freed) <= 6_000
