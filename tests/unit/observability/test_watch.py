"""What must not fill the log is told ever more rarely: the 1st, 2nd, 4th, 8th, … time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.listening import Cut
from bot.observability import Metrics, Watch, tell_loop_errors
from bot.rarely import KINDS, Told, worth_telling
from bot.signals import Signal
from webhooks.intake import Receipt


def _metric(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_kinds_are_counted_apart() -> None:
    """And there is a bound to them."""
    told = Told()
    assert [worth_telling(told, "a") for _ in range(9)] == [1, 2, 0, 4, 0, 0, 0, 8, 0]
    assert worth_telling(told, "b") == 1
    assert sum(bool(worth_telling(told, number)) for number in range(10 * KINDS)) < KINDS + 20
    assert len(told) == KINDS + 1


def test_another_apps_deliveries_are_told() -> None:
    """With what to look at; other answers are only counted."""
    signals: list[Signal] = []
    watch = Watch(Metrics(), hooks=[signals.append])
    for status in (200, 401, 403, 403, 403):
        watch.on_receipt(Receipt(status, 0, 0.1, f"reason of {status}"))
    assert [(signal.event, signal.fields) for signal in signals] == [
        ("foreign_delivery", {"detail": "reason of 403", "times": 1}),
        ("foreign_delivery", {"detail": "reason of 403", "times": 2}),
    ]
    assert _metric(watch.metrics, "switchboard_webhook_deliveries_total", code="403") == 3


def test_connections_that_are_cut_off_are_counted() -> None:
    """That there is no room is told as well."""
    signals: list[Signal] = []
    watch = Watch(Metrics(), hooks=[signals.append])
    for cut in (*Cut, Cut.FULL, Cut.FULL):
        watch.on_cut(cut)
    assert [(signal.event, signal.fields["times"]) for signal in signals] == [
        ("connections_full", 1),
        ("connections_full", 2),
    ]
    assert _metric(watch.metrics, "switchboard_connections_cut_total", reason="full") == 3
    assert _metric(watch.metrics, "switchboard_connections_cut_total", reason="head") == 1


@pytest.mark.parametrize(("times", "lines"), [(1, 1), (2, 2), (3, 2), (1_000, 10)])
def test_the_same_error_of_the_loop_is_told_rarely(times: int, lines: int) -> None:
    """Out of descriptors, asyncio reports the same error hundreds of times a second."""
    signals: list[Signal] = []
    handle = tell_loop_errors(signals.append)
    context: dict[str, Any] = {"message": "socket.accept() out of system resource", "exception": OSError(24, "EMFILE")}
    loop = asyncio.new_event_loop()
    for _ in range(times):
        handle(loop, context)
    handle(loop, {"message": "something else"})
    loop.close()
    assert [signal.fields["times"] for signal in signals] == [*(2**n for n in range(lines)), 1]
