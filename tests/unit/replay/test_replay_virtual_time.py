"""Virtual time that can't pass is noticed."""

from __future__ import annotations

import asyncio

import pytest

from bot.replay import virtual_time
from bot.replay.virtual_time import StuckError, VirtualTimeLoop, run_virtual


async def _waits(_: VirtualTimeLoop) -> None:
    await asyncio.Event().wait()


async def _goes_round(_: VirtualTimeLoop) -> None:
    while True:  # noqa: ASYNC110 - just that
        await asyncio.sleep(0)


async def _takes_its_time(loop: VirtualTimeLoop) -> float:
    for _ in range(5):
        for _ in range(50):
            await asyncio.sleep(0)
        await asyncio.sleep(60)
    return loop.time()


@pytest.mark.parametrize("main", [_waits, _goes_round])
def test_what_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch, main: object) -> None:
    """Whether nothing will ever happen, or something always does while no time passes."""
    monkeypatch.setattr(virtual_time, "ROUNDS_LIMIT", 100)
    with pytest.raises(StuckError):
        run_virtual(main)  # type: ignore[arg-type]


def test_rounds_count_only_while_no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """250 rounds in all, 50 at a moment."""
    monkeypatch.setattr(virtual_time, "ROUNDS_LIMIT", 100)
    assert run_virtual(_takes_its_time) == 300
