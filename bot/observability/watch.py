"""Metrics and, where they are wanted, traces: one set of hooks for all that a process tells."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bot.clock import Clock
from bot.observability.logs import both
from bot.observability.metrics import Metrics
from bot.settings import SettingsProblem
from bot.signals import Observe
from bot.sunshine import Call
from webhooks.inbox import NewEvent

if TYPE_CHECKING:
    from bot.observability.traces import Traces

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own variables: where one is set, traces are sent there."""


class Watch:
    """The hooks of one process.

    Args:
        metrics: what is counted.
        traces: what spans are made by; None costs nothing.

    Attributes:
        on_signal, on_call, on_stored: to be called with signals, API calls, and events that were stored.
    """

    def __init__(self, metrics: Metrics, traces: Traces | None = None, hooks: Sequence[Observe] = ()) -> None:
        self.metrics = metrics
        self.on_signal: Observe = both(*hooks, metrics.on_signal, *([traces.on_signal] if traces else []))
        self.on_call: Callable[[Call], None] = both(metrics.on_call, *([traces.on_call] if traces else []))
        self.on_stored: Callable[[Sequence[NewEvent]], None] = both(
            metrics.on_stored, *([traces.on_stored] if traces else [])
        )


def traces_if_wanted(clock: Clock) -> Traces | None:
    """What makes spans, if the environment says where they are to go. Only then is OpenTelemetry imported.

    Raises:
        SettingsProblem: it is not installed.
    """
    wanted = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if wanted is None or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from bot.observability.traces import Traces
    except ModuleNotFoundError:
        raise SettingsProblem([f"{wanted}: traces need OpenTelemetry: pip install 'switchboard-bot[otel]'"]) from None
    return Traces(clock)
