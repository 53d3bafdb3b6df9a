"""Traces (OpenTelemetry): one conversation from each delivery to the proof, across processes.

A conversation is one trace. Its id is made from the conversation's id, and the id of a delivery's span from the event's
id: so web and worker agree on both, and nothing of it is stored or passed on. What a worker does about an event (turns,
API calls, duties until proven) hangs under that event's delivery; what it does because time has passed stands alone.

Spans are made when they are over, from what the parts tell anyway. No span has a word of a user.
This module is imported only where traces are wanted; it needs the extra `otel`.
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

SPANS = {"turn_over": "turn", "call_over": "call", "duty_closed": "duty", "ended_proven": "end to release"}
"""The spans that signals with `seconds` make."""

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

Attributes = Mapping[str, str | int | float]


class Traces:
    """Makes spans of what the parts of the bot tell.

    Args:
        clock: what spans are dated by.
        processor: takes the spans; by default they are sent, in the background, to where OTEL_EXPORTER_OTLP_ENDPOINT
            says. OpenTelemetry's other variables (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, …) hold as well.
    """

    def __init__(self, clock: Clock, processor: SpanProcessor | None = None) -> None:
        self._clock = clock
        self._ids = _Ids()
        resource = Resource({SERVICE_NAME: "switchboard-bot"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("switchboard-bot")

    def on_stored(self, events: Sequence[NewEvent]) -> None:
        """Events were stored: a span each, from the receipt to the commit."""
        now = self._clock.now()
        for event in events:
            if event.conversation_id is not None:
                self._ids.take(event.conversation_id, event.id)
                attributes = {"switchboard.event.type": event.type, "switchboard.event.id": event.id}
                self._make(event.conversation_id, "delivery", event.received_at, now, attributes, kind=SpanKind.SERVER)

    def on_signal(self, signal: Signal) -> None:
        """A turn, a duty or an end is over; or something went wrong, which is a span without duration."""
        if signal.conversation_id is None:
            return
        seconds, now = signal.fields.get("seconds"), self._clock.now()
        failed = signal.level in (Level.WARNING, Level.ERROR)
        name = SPANS.get(signal.event, signal.event if failed else "")
        if name:
            began = now - timedelta(seconds=seconds) if isinstance(seconds, float) else now
            told = {key: value for key, value in signal.fields.items() if isinstance(value, str | int | float)}
            attributes = {f"switchboard.{key}": value for key, value in told.items() if key != "seconds"}
            self._work(signal.conversation_id, name, began, now, attributes, failed=failed)

    def on_call(self, call: Call) -> None:
        """An API call is over."""
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
        """Send what waits. Blocking, for as long as the collector lets it wait."""
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
        """A span of the worker's, under the delivery of the event that it works on."""
        at_work = AT_WORK.get()
        event_id = at_work.event_id if at_work and at_work.conversation_id == conversation_id else None
        self._ids.take(conversation_id)
        self._make(conversation_id, name, began, ended, attributes, under=event_id, failed=failed, kind=kind)

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
            delivery = SpanContext(trace_id(conversation_id), span_id(under), is_remote=True, trace_flags=flags)
            context = set_span_in_context(NonRecordingSpan(delivery), context)
        whole = {"switchboard.conversation.id": conversation_id, **attributes}
        span = self._tracer.start_span(name, context, kind, whole, start_time=_nanos(began))
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanos(ended))


class _Ids(RandomIdGenerator):
    """Gives a thread's next span the ids that were taken for it there."""

    def __init__(self) -> None:
        self._taken = threading.local()

    def take(self, conversation_id: str, event_id: str | None = None) -> None:
        """The next span belongs to this conversation and, if it is a delivery, to this event."""
        self._taken.trace = trace_id(conversation_id)
        self._taken.span = None if event_id is None else span_id(event_id)

    def generate_trace_id(self) -> int:
        """The conversation's."""
        return int(self._taken.trace)

    def generate_span_id(self) -> int:
        """The event's, or a random one."""
        return int(self._taken.span or super().generate_span_id())


def trace_id(conversation_id: str) -> int:
    """The id of a conversation's trace: 128 bits of a hash."""
    return _hash(f"conversation {conversation_id}", 16)


def span_id(event_id: str) -> int:
    """The id of a delivery's span: 64 bits of a hash."""
    return _hash(f"event {event_id}", 8)


def _hash(text: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size], "big") or 1


def _nanos(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
