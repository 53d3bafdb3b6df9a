"""What must not fill the log is told ever more rarely: the 1st, 2nd, 4th, 8th, … time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.listening import Cut
from bot.log_sampling import MAX_KINDS, Occurrences, count_to_log
from bot.observability import Metrics, Watch, loop_error_handler
from bot.signals import Level, Signal
from bot.troubles import Troubles, What
from webhooks.intake import Receipt


def _metric(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_kinds_are_counted_apart() -> None:
    """And there is a bound to them."""
    told = Occurrences()
    assert [count_to_log(told, "a") for _ in range(9)] == [1, 2, 0, 4, 0, 0, 0, 8, 0]
    assert count_to_log(told, "b") == 1
    assert sum(bool(count_to_log(told, number)) for number in range(10 * MAX_KINDS)) < MAX_KINDS + 20
    assert len(told) == MAX_KINDS + 1


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


def test_another_app_that_is_known() -> None:
    """That the app is not there is told already, with what to do."""
    signals: list[Signal] = []
    watch = Watch(Metrics(), hooks=[signals.append])
    watch.troubles.failed(What.APP, "there is no such app", "Set SUNSHINE_APP_ID.")
    watch.on_receipt(Receipt(403, 0, 0.1, "another app's"))
    assert [signal.event for signal in signals] == ["trouble_began"]


@pytest.mark.parametrize(
    ("what", "event", "level"),
    [
        (What.KEY, "message_given_up", Level.DEBUG),
        (What.KEY, "flow_failed", Level.DEBUG),
        (What.KEY, "flow_raised", Level.WARNING),
        (What.KEY, "duty_overdue", Level.WARNING),
        (What.KEY, "model_failed", Level.WARNING),
        (What.BACKEND, "model_failed", Level.DEBUG),
        (What.BACKEND, "flow_failed", Level.WARNING),
        (What.API, "flow_failed", Level.WARNING),
    ],
)
def test_no_line_for_each_conversation(what: What, event: str, level: Level) -> None:
    """What a lasting trouble explains is told of each conversation at DEBUG only, and counted all the same."""
    signals: list[Signal] = []
    watch = Watch(Metrics(), hooks=[signals.append])
    watch.on_signal(Signal(event, Level.WARNING, "c1"))
    watch.troubles.failed(what, "it fails", "Mend it.")
    watch.on_signal(Signal(event, Level.WARNING, "c2"))
    assert [signal.level for signal in signals if signal.event == event] == [Level.WARNING, level]
    assert _metric(watch.metrics, "switchboard_signals_total", event=event) == 2


def test_one_overdue_conversation_is_told() -> None:
    """Of all that are overdue because of a trouble; each of them once that is over."""
    signals: list[Signal] = []
    watch = Watch(Metrics(), hooks=[signals.append])
    watch.troubles.failed(What.API, "it fails", "Wait.")
    for number in range(9):
        watch.on_signal(Signal("duty_overdue", Level.ERROR, f"c{number}"))
    levels = [signal.level for signal in signals if signal.event == "duty_overdue"]
    assert levels == [Level.ERROR] + 8 * [Level.DEBUG]
    watch.troubles = Troubles()
    watch.on_signal(Signal("duty_overdue", Level.ERROR, "c9"))
    assert signals[-1].level is Level.ERROR


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
    handle = loop_error_handler(signals.append)
    context: dict[str, Any] = {"message": "socket.accept() out of system resource", "exception": OSError(24, "EMFILE")}
    loop = asyncio.new_event_loop()
    for _ in range(times):
        handle(loop, context)
    handle(loop, {"message": "something else"})
    loop.close()
    assert [signal.fields["times"] for signal in signals] == [*(2**n for n in range(lines)), 1]
