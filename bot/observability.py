"""Logs and metrics: hooks on the signals of the running parts, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bot.signals import Level, Observe, Signal
from bot.store.interface import Counts
from bot.sunshine import Call
from webhooks.intake import Receipt

LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
MODE_MISMATCH = "mode_mismatch"
RELEASE_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300, 900, 3600)


def configure_logs(log_format: str, level: str) -> None:
    """Set up structured logs on standard error, JSON or coloured text; other libraries' warnings come along."""
    number = logging.getLevelNamesMapping()[level]
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    foreign = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, _without_words],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(foreign)
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def _without_words(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Of another library's exception only the type and the place: what it says may quote a header or a user."""
    error = event.pop("exc_info", None)
    error = error[1] if isinstance(error, tuple) else error
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        event["at"] = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    return event


def log_signal(signal: Signal) -> None:
    """Write a signal to the log."""
    fields = dict(signal.fields)
    if signal.conversation_id:
        fields["conversation_id"] = signal.conversation_id
    getattr(structlog.get_logger(), signal.level.value)(signal.event, **fields)


def tell_loop_errors(observe: Observe) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """An exception handler for the event loop, which hears of what nobody awaits: what a flow has left behind, mostly.

    Only type and place are told: what an exception says, and what a callback was called with, may quote the user.
    """

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        frames = traceback.extract_tb(error.__traceback__) if error else []
        fields = {
            "problem": str(context.get("message")).partition("(")[0],
            "error": type(error).__name__ if error else "",
            "place": f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "",
        }
        observe(Signal("task_failed", Level.ERROR, fields=fields))

    return handle


class Metrics:
    """The Prometheus metrics of one process, in a registry of its own.

    Every signal is counted by name in `switchboard_signals_total`. One has a counter of its own, so that it is there
    with 0 from the start and an alert sees its first increase: `switchboard_mode_mismatches_total`, the conversations
    in which the platform acted as in the other control mode, so that CONTROL_MODE is not what the account is set to.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._deliveries = Counter(
            "switchboard_webhook_deliveries_total", "Webhook deliveries by answer.", ["code"], registry=registry
        )
        self._events = Counter("switchboard_events_received_total", "Events in stored deliveries.", registry=registry)
        self._acknowledged = Histogram(
            "switchboard_webhook_seconds",
            "Time to the answer of a webhook delivery.",
            buckets=LATENCIES,
            registry=registry,
        )
        self._calls = Counter(
            "switchboard_api_calls_total", "API calls by action and outcome.", ["action", "outcome"], registry=registry
        )
        self._call_seconds = Histogram(
            "switchboard_api_call_seconds", "API latency.", ["action"], buckets=LATENCIES, registry=registry
        )
        self._signals = Counter(
            "switchboard_signals_total", "What the engine tells, by event name.", ["event"], registry=registry
        )
        self._mismatches = Counter(
            "switchboard_mode_mismatches_total",
            "Conversations in which the platform acted as in the other control mode: check CONTROL_MODE.",
            registry=registry,
        )
        self._duty_seconds = Histogram(
            "switchboard_duty_seconds",
            "From owing a control action to its proof.",
            ["action"],
            buckets=RELEASE_SECONDS,
            registry=registry,
        )
        gauges = {
            "held": ("switchboard_conversations_held", "Conversations that the bot holds."),
            "ended_open": ("switchboard_conversations_ended_open", "Ended, and not yet proven released."),
            "owed": ("switchboard_duties_owed", "Control actions owed."),
            "overdue": ("switchboard_duties_overdue", "Owed for more than a minute."),
            "oldest_owed_seconds": ("switchboard_duties_oldest_seconds", "Age of the oldest control action owed."),
            "set_aside": ("switchboard_events_set_aside", "Events that could not be understood."),
            "inbox": ("switchboard_inbox_events", "Stored events that have not taken effect yet."),
            "outbox": ("switchboard_outbox_effects", "Effects not yet done."),
        }
        self._gauges = {name: Gauge(metric, text, registry=registry) for name, (metric, text) in gauges.items()}

    def on_signal(self, signal: Signal) -> None:
        """Count a signal."""
        self._signals.labels(signal.event).inc()
        if signal.event == MODE_MISMATCH:
            self._mismatches.inc()
        seconds = signal.fields.get("seconds")
        if signal.event == "duty_closed" and isinstance(seconds, float):
            self._duty_seconds.labels(str(signal.fields.get("action"))).observe(seconds)

    def on_receipt(self, receipt: Receipt) -> None:
        """Count a webhook delivery."""
        self._deliveries.labels(str(int(receipt.status))).inc()
        self._events.inc(receipt.events)
        self._acknowledged.observe(receipt.seconds)

    def on_call(self, call: Call) -> None:
        """Count an API call."""
        self._calls.labels(call.action, call.outcome).inc()
        self._call_seconds.labels(call.action).observe(call.seconds)

    def show(self, counts: Counts) -> bytes:
        """The metrics page, with the database's numbers of this moment."""
        for name, gauge in self._gauges.items():
            gauge.set(getattr(counts, name))
        return generate_latest(self.registry)


def both(*hooks: Callable[[Signal], None]) -> Observe:
    """Several hooks as one. A log that can't be written stops no work."""

    def observe(signal: Signal) -> None:
        for hook in hooks:
            with suppress(Exception):
                hook(signal)

    return observe
