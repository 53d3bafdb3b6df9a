"""Prometheus metrics of a process. Label values are limited: unknown ones count as "other"."""

from __future__ import annotations

import math
import platform
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.process_collector import ProcessCollector

from bot.control.state import Outcome
from bot.flows.outcome import outcome_named
from bot.listening import Cut
from bot.observability.names import EVENTS
from bot.signals import Signal
from bot.store.interface import Counts
from bot.sunshine import Call
from bot.troubles import Troubles, What
from bot.version import installed_version
from webhooks.events import EVENT_TYPES
from webhooks.inbox import NewEvent
from webhooks.intake import Receipt

LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
RELEASE_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300, 900, 3600)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
RUN_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400, 604_800)
MAX_FUNCTIONS = 200
"""Maximum number of function labels. Further functions count as "other"."""

FAILED, DONE = "failed", "done"
OTHER = "other"
NO_FLOW = "none"
"""The flow label of runs without a flow: none is set, or the router failed."""


class Metrics:
    """The metrics of a process, in their own registry.

    `switchboard_signals_total` counts every signal by name. Mode mismatches also have their
    own counter, `switchboard_mode_mismatches_total`, which starts at 0 so that alerts see the
    first increase.

    The gauges of `show` come from the database and are the same in each process: aggregate
    them with `max`, not `sum`.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("switchboard_build", "The version that runs.", registry=registry).info(
            {"version": installed_version(), "python": platform.python_version()}
        )

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"switchboard_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
            return Histogram(f"switchboard_{name}", text, labels, buckets=buckets, registry=registry)

        self._deliveries = counter("webhook_deliveries_total", "Deliveries by answer.", "code")
        self._cuts = counter("connections_cut_total", "Connections cut off, by reason.", "reason")
        for cut in Cut:
            self._cuts.labels(cut.value)
        self._acknowledged = histogram(
            "webhook_seconds",
            "Response time of webhook deliveries.",
            LATENCIES,
        )
        self._events = counter("events_received_total", "Stored events, by type.", "type")
        for name in (*sorted(EVENT_TYPES), OTHER):
            self._events.labels(name)
        self._stores = histogram("inbox_commit_seconds", "Time to store a group.", LATENCIES)
        self._sizes = histogram("inbox_commit_events", "Events per stored group.", SIZES)
        self._runs = counter("flow_runs_total", "Finished flow runs.", "flow", "outcome")
        self._run_seconds = histogram(
            "flow_run_seconds",
            "Duration of flow runs.",
            RUN_SECONDS,
            "flow",
        )
        self._flow_calls = counter(
            "calls_total",
            "Functions called by flows; all attempts count as one.",
            "function",
            "outcome",
        )
        self._flow_call_seconds = histogram(
            "call_seconds",
            "Duration of these calls, including all attempts.",
            LATENCIES,
            "function",
        )
        self._flows: frozenset[str] = frozenset()
        self._functions: set[str] = set()
        self._turns = histogram("turn_seconds", "Duration of flow turns.", RELEASE_SECONDS)
        self._calls = counter("api_calls_total", "API calls by action and outcome.", "action", "outcome")
        self._call_seconds = histogram("api_call_seconds", "API latency.", LATENCIES, "action")
        self._signals = counter("signals_total", "Signals by event name, as in the log.", "event")
        self._mismatches = counter(
            "mode_mismatches_total",
            "Conversations where the platform acted as in the other control mode.",
        )
        self._duty_seconds = histogram(
            "duty_seconds",
            "Time from a due control action to its proof.",
            RELEASE_SECONDS,
            "action",
        )
        self._release_seconds = histogram(
            "end_to_release_seconds",
            "Time from the end of a conversation to the proof that nobody is active.",
            RELEASE_SECONDS,
        )
        self._up = Gauge("switchboard_database_up", "1 if the database answers.", registry=registry)
        gauges = {
            "held": ("conversations_held", "Conversations that the bot holds."),
            "ended_open": (
                "conversations_ended_open",
                "Ended conversations not yet proven released.",
            ),
            "owed": ("duties_owed", "Control actions due."),
            "overdue": ("duties_overdue", "Control actions due for more than a minute."),
            "oldest_owed_seconds": ("duties_oldest_seconds", "Age of the oldest due action."),
            "set_aside": ("events_set_aside", "Events set aside as invalid."),
            "inbox": ("inbox_events", "Stored events not yet processed."),
            "outbox": ("outbox_effects", "Effects not yet done."),
        }
        self._waiting = Gauge(
            "switchboard_flow_waiting",
            "Conversations with a running or waiting flow.",
            ["flow"],
            registry=registry,
        )
        self._trouble = Gauge(
            "switchboard_trouble",
            "1 while this kind of trouble lasts (see the log).",
            ["what"],
            registry=registry,
        )
        for what in What:
            self._trouble.labels(what.value)
        self._gauges = {
            name: Gauge(f"switchboard_{metric}", text, registry=registry) for name, (metric, text) in gauges.items()
        }

    def know_flows(self, names: Iterable[str]) -> None:
        """Use these flow labels from now on, each starting at 0. All others are "other"."""
        self._flows = frozenset(names)
        for flow in sorted(self._flows):
            self._waiting.labels(flow)
            for outcome in Outcome:
                self._runs.labels(flow, outcome.value)

    def show_troubles(self, troubles: Troubles) -> None:
        """Export these troubles from now on."""
        for what in What:
            self._trouble.labels(what.value).set_function(partial(troubles.lasts, what))

    def on_signal(self, signal: Signal) -> None:
        """Count a signal."""
        self._signals.labels(signal.event if signal.event in EVENTS else OTHER).inc()
        seconds = signal.fields.get("seconds")
        match signal.event:
            case "mode_mismatch":
                self._mismatches.inc()
            case "duty_closed" if isinstance(seconds, float):
                self._duty_seconds.labels(str(signal.fields.get("action"))).observe(seconds)
            case "ended_proven" if isinstance(seconds, float):
                self._release_seconds.observe(seconds)
            case "turn_over" if isinstance(seconds, float):
                self._turns.observe(seconds)
            case "flow_over" if isinstance(seconds, float):
                flow = self._flow(str(signal.fields.get("flow", NO_FLOW)))
                outcome = outcome_named(str(signal.fields.get("outcome")))
                self._runs.labels(flow, outcome.value).inc()
                self._run_seconds.labels(flow).observe(seconds)
            case "call_over" if isinstance(seconds, float):
                function = self._function(str(signal.fields.get("function")))
                has_failed = signal.fields.get("outcome") == FAILED
                self._flow_calls.labels(function, FAILED if has_failed else DONE).inc()
                self._flow_call_seconds.labels(function).observe(seconds)
            case _:
                pass

    def _flow(self, name: str) -> str:
        return name if name in self._flows or name == NO_FLOW else OTHER

    def _function(self, name: str) -> str:
        if name not in self._functions and len(self._functions) >= MAX_FUNCTIONS:
            return OTHER
        self._functions.add(name)
        return name

    def on_receipt(self, receipt: Receipt) -> None:
        """Count a webhook delivery."""
        self._deliveries.labels(str(int(receipt.status))).inc()
        self._acknowledged.observe(receipt.seconds)

    def on_cut(self, cut: Cut) -> None:
        """Count a connection that was cut off."""
        self._cuts.labels(cut.value).inc()

    def on_stored(self, events: Sequence[NewEvent]) -> None:
        """Count stored events, including known ones."""
        types = (event.type if event.type in EVENT_TYPES else OTHER for event in events)
        for name, count in Tally(types).items():
            self._events.labels(name).inc(count)

    def timed(
        self,
        store: Callable[[Sequence[NewEvent]], Awaitable[int]],
    ) -> Callable[[Sequence[NewEvent]], Awaitable[int]]:
        """Wrap a store function to measure its successful calls."""

        async def stored(events: Sequence[NewEvent]) -> int:
            began = perf_counter()
            new = await store(events)
            self._stores.observe(perf_counter() - began)
            self._sizes.observe(len(events))
            return new

        return stored

    def on_call(self, call: Call) -> None:
        """Count an API call."""
        self._calls.labels(call.action, call.outcome).inc()
        self._call_seconds.labels(call.action).observe(call.seconds)

    def show(self, counts: Counts | None) -> bytes:
        """Render the metrics page. `counts` is None if the database does not answer."""
        self._up.set(counts is not None)
        for name, gauge in self._gauges.items():
            gauge.set(math.nan if counts is None else getattr(counts, name))
        self._show_waiting(counts)
        return generate_latest(self.registry)

    def _show_waiting(self, counts: Counts | None) -> None:
        waiting = dict.fromkeys(self._flows, 0)
        for (name, _), number in (counts.flows if counts else {}).items():
            flow = self._flow(name or OTHER)
            waiting[flow] = waiting.get(flow, 0) + number
        self._waiting.clear()
        for flow, number in sorted(waiting.items()):
            self._waiting.labels(flow).set(math.nan if counts is None else number)
