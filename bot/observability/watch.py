"""Metrics and, where they are wanted, traces: one set of hooks for all that a process tells."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.clock import Clock
from bot.listening import Cut
from bot.observability.api_troubles import ApiKey, note_call, note_late
from bot.observability.logs import both
from bot.observability.metrics import Metrics
from bot.rarely import Told, worth_telling
from bot.settings import SettingsProblem
from bot.signals import Level, Observe, Signal
from bot.store.interface import Unavailable
from bot.sunshine import Call
from bot.troubles import Troubles, What, database_failed
from webhooks.inbox import NewEvent
from webhooks.intake import ForeignDelivery, Receipt

if TYPE_CHECKING:
    from bot.observability.traces import Traces

_CAUSES = {
    "message_given_up": (What.KEY, What.APP),
    "flow_failed": (What.KEY, What.APP),
    "model_failed": (What.BACKEND,),
    "duty_overdue": (What.KEY, What.APP, What.API, What.RATE_LIMIT),
}
"""Lines about single conversations, and the troubles that explain them. A flow's own errors are in `flow_raised`."""

_ONCE = frozenset({"duty_overdue"})
"""Of these, the first conversation is told all the same: they say that control is still held."""

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""OpenTelemetry's own variables: where one is set, traces are sent there."""


class Watch:
    """The hooks of one process.

    Args:
        metrics: what is counted.
        traces: what spans are made by; None costs nothing.

    Attributes:
        on_signal, on_call, on_stored: to be called with signals, API calls, and events that were stored.
        on_receipt, on_cut: to be called with the receipts of deliveries, and the reasons why connections are cut off.
        troubles: what lasts, of all that has failed in this process.
    """

    def __init__(self, metrics: Metrics, traces: Traces | None = None, hooks: Sequence[Observe] = ()) -> None:
        self.metrics = metrics
        quiet = [self._quietly(hook) for hook in hooks]
        self.on_signal: Observe = both(*quiet, metrics.on_signal, *([traces.on_signal] if traces else []))
        self.on_call: Callable[[Call], None] = both(metrics.on_call, *([traces.on_call] if traces else []))
        self.on_stored: Callable[[Sequence[NewEvent]], None] = both(
            metrics.on_stored, *([traces.on_stored] if traces else [])
        )
        self.on_receipt: Callable[[Receipt], None] = both(metrics.on_receipt, self._tell_foreign)
        self.on_cut: Callable[[Cut], None] = both(metrics.on_cut, self._tell_full)
        self._told = Told()
        self.troubles = Troubles(self.on_signal)
        metrics.show_troubles(self.troubles)

    def _quietly(self, hook: Observe) -> Observe:
        """A hook that hears what a trouble causes in each conversation only as `debug`: the trouble itself is told."""

        told: set[str] = set()

        def hear(signal: Signal) -> None:
            if causes := _CAUSES.get(signal.event):
                lasts = any(map(self.troubles.lasts, causes))
                if lasts and (signal.event not in _ONCE or signal.event in told):
                    signal = replace(signal, level=Level.DEBUG)
                (told.add if lasts else told.discard)(signal.event)
            hook(signal)

        return hear

    def on_report(self, event: str, level: str, fields: Mapping[str, object]) -> None:
        """Take a report of `webhooks`, which knows no signals."""
        self.on_signal(Signal(event, Level(level), fields=fields))

    def calls_with(self, key: ApiKey) -> Callable[[Call], None]:
        """A hook for the API calls that are made with one key."""

        def note(call: Call) -> None:
            note_call(self.troubles, call, key)

        return both(self.on_call, note)

    def late_with(self, key: ApiKey) -> Callable[[str], None]:
        """A hook for the calls made with one key that have had no answer for long."""

        def note(action: str) -> None:
            note_late(self.troubles, action, key)

        return note

    def stored(
        self, store: Callable[[Sequence[NewEvent]], Awaitable[int]]
    ) -> Callable[[Sequence[NewEvent]], Awaitable[int]]:
        """The same way to store events, measured and watched."""
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

    def _tell_foreign(self, receipt: Receipt) -> None:
        if self.troubles.lasts(What.APP):
            return  # it is known, and told, that the app is not ours
        if receipt.status == ForeignDelivery.status and (times := worth_telling(self._told, ForeignDelivery)):
            fields = {"detail": receipt.reason, "times": times}
            self.on_signal(Signal("foreign_delivery", Level.WARNING, fields=fields))

    def _tell_full(self, cut: Cut) -> None:
        if cut is Cut.FULL and (times := worth_telling(self._told, cut)):
            self.on_signal(Signal("connections_full", Level.WARNING, fields={"times": times}))


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
