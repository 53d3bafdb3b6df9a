"""OpenTelemetry traces of conversations, from delivery to proof, across processes.

Each conversation is one trace. Trace ids are hashes of conversation ids, and the ids of
delivery spans are hashes of event ids. So web and worker processes agree on them without
storing or passing anything. A worker's spans for an event (turns, API calls, duties until
proven) are children of the event's delivery span; spans of timers have no parent.

Spans are created on completion, from signals and calls. No span contains a user's words.
This module requires the extra `otel`, and is imported only if traces are enabled.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from bot.clock import Clock
from bot.control.facts import Answer
from bot.signals import AT_WORK, Level, Signal
from bot.sunshine import Call
from webhooks.inbox import NewEvent

SPANS = {
    "turn_over": "turn",
    "call_over": "call",
    "duty_closed": "duty",
    "ended_proven": "end to release",
}
"""The span names of signals with a duration (`seconds`)."""

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Attributes = Mapping[str, str | int | float]


class Traces:
    """Creates spans from signals, API calls and stored events.

    Args:
        clock: the clock for span times.
        processor: receives the spans. By default, they are sent in the background to
            OTEL_EXPORTER_OTLP_ENDPOINT. OpenTelemetry's other variables apply too
            (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, …).
    """

    def __init__(self, clock: Clock, processor: SpanProcessor | None = None) -> None:
        self._clock = clock
        self._ids = _Ids()
        resource = Resource({SERVICE_NAME: "switchboard-bot"})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("switchboard-bot")

    def on_stored(self, events: Sequence[NewEvent]) -> None:
        """Create a span per stored event, from receipt to commit."""
        now = self._clock.now()
        for event in events:
            if (id_ := event.conversation_id) is not None:
                self._ids.take(id_, event.id)
                attributes = {
                    "switchboard.event.type": event.type,
                    "switchboard.event.id": event.id,
                }
                began = event.received_at
                self._make(id_, "delivery", began, now, attributes, kind=SpanKind.SERVER)

    def on_signal(self, signal: Signal) -> None:
        """Create a span for a finished turn, duty or end; for a problem, without duration."""
        if signal.conversation_id is None:
            return
        seconds, now = signal.fields.get("seconds"), self._clock.now()
        failed = signal.level in (Level.WARNING, Level.ERROR)
        name = SPANS.get(signal.event, signal.event if failed else "")
        if name:
            began = now - timedelta(seconds=seconds) if isinstance(seconds, float) else now
            attributes = {
                f"switchboard.{key}": value
                for key, value in signal.fields.items()
                if isinstance(value, str | int | float) and key != "seconds"
            }
            self._work(signal.conversation_id, name, began, now, attributes, failed=failed)

    def on_call(self, call: Call) -> None:
        """Create a span for a finished API call."""
        at_work = AT_WORK.get()
        if at_work is None:
            return
        now = self._clock.now()
        attributes: dict[str, str | int | float] = {"switchboard.outcome": call.outcome.value}
        if call.status is not None:
            attributes["http.response.status_code"] = call.status
        began, failed = now - timedelta(seconds=call.seconds), call.outcome is not Answer.ACCEPTED
        name, id_ = f"API {call.action}", at_work.conversation_id
        self._work(id_, name, began, now, attributes, failed=failed, kind=SpanKind.CLIENT)

    def stop(self) -> None:
        """Send pending spans. Blocks until the collector answers."""
        self._provider.shutdown()

    def _work(
        self,
        conversation_id: str,
        name: str,
        began: datetime,
        ended: datetime,
        attributes: Attributes,
        *,
        failed: bool,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        """Create a worker span, as a child of the delivery that it works on."""
        at_work = AT_WORK.get()
        is_here = at_work and at_work.conversation_id == conversation_id
        event_id = at_work.event_id if at_work and is_here else None
        self._ids.take(conversation_id)
        self._make(
            conversation_id,
            name,
            began,
            ended,
            attributes,
            under=event_id,
            failed=failed,
            kind=kind,
        )

    def _make(
        self,
        conversation_id: str,
        name: str,
        began: datetime,
        ended: datetime,
        attributes: Attributes,
        *,
        under: str | None = None,
        failed: bool = False,
        kind: SpanKind,
    ) -> None:
        context = Context()
        if under is not None:
            flags = TraceFlags(TraceFlags.SAMPLED)
            delivery = SpanContext(
                trace_id(conversation_id),
                span_id(under),
                is_remote=True,
                trace_flags=flags,
            )
            context = set_span_in_context(NonRecordingSpan(delivery), context)
        all_attributes = {"switchboard.conversation.id": conversation_id, **attributes}
        start = _nanos(began)
        span = self._tracer.start_span(name, context, kind, all_attributes, start_time=start)
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanos(ended))


class _Ids(RandomIdGenerator):
    """Generates the ids set by `take` for the next span of the thread."""

    def __init__(self) -> None:
        self._taken = threading.local()

    def take(self, conversation_id: str, event_id: str | None = None) -> None:
        """Set the conversation of the next span and, for a delivery, its event."""
        self._taken.trace = trace_id(conversation_id)
        self._taken.span = None if event_id is None else span_id(event_id)

    def generate_trace_id(self) -> int:
        """Return the trace id of the conversation."""
        return int(self._taken.trace)

    def generate_span_id(self) -> int:
        """Return the span id of the event, else a random one."""
        return int(self._taken.span or super().generate_span_id())


def trace_id(conversation_id: str) -> int:
    """Return the trace id of a conversation: 128 bits of a hash."""
    return _hash(f"conversation {conversation_id}", 16)


def span_id(event_id: str) -> int:
    """Return the span id of a delivery: 64 bits of a hash."""
    return _hash(f"event {event_id}", 8)


def _hash(text: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size], "big") or 1


def _nanos(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
