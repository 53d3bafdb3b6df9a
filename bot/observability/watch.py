"""The hooks of a process: connects signals, calls and events to metrics, traces and logs."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.clock import Clock
from bot.listening import Cut
from bot.log_sampling import Occurrences, count_to_log
from bot.observability.api_troubles import ApiKey, note_call, note_late
from bot.observability.logs import both
from bot.observability.metrics import Metrics
from bot.settings import SettingsError
from bot.signals import Level, Observe, Signal
from bot.store.interface import Unavailable
from bot.sunshine import Call
from bot.troubles import Troubles, What, database_failed
from webhooks.inbox import NewEvent
from webhooks.intake import ForeignDeliveryError, Receipt

if TYPE_CHECKING:
    from bot.observability.traces import Traces

_CAUSES = {
    "message_given_up": (What.KEY, What.APP),
    "flow_failed": (What.KEY, What.APP),
    "model_failed": (What.BACKEND,),
    "duty_overdue": (What.KEY, What.APP, What.API, What.RATE_LIMIT),
}
"""Signals about single conversations, with the troubles that explain them."""

_ONCE = frozenset({"duty_overdue"})
"""Signals that are logged for the first conversation even so: control is still held."""

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's variables. Setting one of them enables traces."""


class Watch:
    """The hooks of a process.

    Args:
        metrics: the metrics of the process.
        traces: creates spans; None if traces are off.
        hooks: receive every signal.

    Attributes:
        on_signal: to be called with each signal.
        on_call: to be called with each API call.
        on_stored: to be called with stored events.
        on_receipt: to be called with the receipt of each delivery.
        on_cut: to be called with the reason for each connection that is cut off.
        troubles: the ongoing troubles of the process.
    """

    def __init__(
        self,
        metrics: Metrics,
        traces: Traces | None = None,
        hooks: Sequence[Observe] = (),
    ) -> None:
        self.metrics = metrics
        signal_hooks = [self._demoting(hook) for hook in hooks]
        signal_hooks.append(metrics.on_signal)
        call_hooks = [metrics.on_call]
        stored_hooks = [metrics.on_stored]
        if traces:
            signal_hooks.append(traces.on_signal)
            call_hooks.append(traces.on_call)
            stored_hooks.append(traces.on_stored)
        self.on_signal: Observe = both(*signal_hooks)
        self.on_call: Callable[[Call], None] = both(*call_hooks)
        self.on_stored: Callable[[Sequence[NewEvent]], None] = both(*stored_hooks)
        self.on_receipt: Callable[[Receipt], None] = both(metrics.on_receipt, self._log_foreign)
        self.on_cut: Callable[[Cut], None] = both(metrics.on_cut, self._log_full)
        self._counts = Occurrences()
        self.troubles = Troubles(self.on_signal)
        metrics.show_troubles(self.troubles)

    def _demoting(self, hook: Observe) -> Observe:
        """Wrap a hook to demote signals to `debug` that an ongoing trouble explains."""
        seen: set[str] = set()

        def observe(signal: Signal) -> None:
            if causes := _CAUSES.get(signal.event):
                lasts = any(map(self.troubles.lasts, causes))
                if lasts and (signal.event not in _ONCE or signal.event in seen):
                    signal = replace(signal, level=Level.DEBUG)
                (seen.add if lasts else seen.discard)(signal.event)
            hook(signal)

        return observe

    def on_report(self, event: str, level: str, fields: Mapping[str, object]) -> None:
        """Convert a report of `webhooks` to a signal."""
        self.on_signal(Signal(event, Level(level), fields=fields))

    def calls_with(self, key: ApiKey) -> Callable[[Call], None]:
        """Return a hook for the API calls with a key."""

        def note(call: Call) -> None:
            note_call(self.troubles, call, key)

        return both(self.on_call, note)

    def late_with(self, key: ApiKey) -> Callable[[str], None]:
        """Return a hook for late API calls with a key."""

        def note(action: str) -> None:
            note_late(self.troubles, action, key)

        return note

    def stored(
        self,
        store: Callable[[Sequence[NewEvent]], Awaitable[int]],
    ) -> Callable[[Sequence[NewEvent]], Awaitable[int]]:
        """Wrap a store function to measure it, and to record troubles of the database."""
        timed = self.metrics.timed(store)

        async def watched(events: Sequence[NewEvent]) -> int:
            try:
                new = await timed(events)
            except (Unavailable, OSError) as error:
                database_failed(self.troubles, error)
                raise
            self.troubles.works(What.DATABASE)
            return new

        return watched

    def _log_foreign(self, receipt: Receipt) -> None:
        if self.troubles.lasts(What.APP):
            return  # already reported: the app is unknown
        if receipt.status != ForeignDeliveryError.status:
            return
        if times := count_to_log(self._counts, ForeignDeliveryError):
            fields = {"detail": receipt.reason, "times": times}
            self.on_signal(Signal("foreign_delivery", Level.WARNING, fields=fields))

    def _log_full(self, cut: Cut) -> None:
        if cut is Cut.FULL and (times := count_to_log(self._counts, cut)):
            self.on_signal(Signal("connections_full", Level.WARNING, fields={"times": times}))


def traces_if_wanted(clock: Clock) -> Traces | None:
    """Return the span exporter if the environment enables traces. Imports OpenTelemetry then.

    Raises:
        SettingsError: OpenTelemetry is not installed.
    """
    wanted = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if wanted is None or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from bot.observability.traces import Traces
    except ModuleNotFoundError:
        hint = "pip install 'switchboard-bot[otel]'"
        raise SettingsError([f"{wanted}: traces need OpenTelemetry: {hint}"]) from None
    return Traces(clock)
