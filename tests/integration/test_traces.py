"""Traces: one conversation is one trace, from delivery to proof, in two processes that share nothing but a database."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tiers import some

from bot.app import WEBHOOK_PATH, Parts, running
from bot.clock import Clock
from bot.observability.traces import Traces, span_id, trace_id
from bot.observability.watch import ENDPOINTS, traces_if_wanted
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.switches import Switches
from bot.settings import SettingsError, load_settings
from bot.store import migrate


class Kept:
    """The spans of the processes, by the order in which they began."""

    def __init__(self) -> None:
        self.exporters: list[InMemorySpanExporter] = []

    def traces(self, clock: Clock) -> Traces:
        """What the next process makes its spans by."""
        self.exporters.append(InMemorySpanExporter())
        return Traces(clock, SimpleSpanProcessor(self.exporters[-1]))

    def spans(self, process: int, conversation_id: str) -> list[ReadableSpan]:
        """The spans of one process about a conversation."""
        shown = self.exporters[process].get_finished_spans()
        return [span for span in shown if dict(span.attributes or {})["switchboard.conversation.id"] == conversation_id]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Spans are kept in memory."""
    found = Kept()
    monkeypatch.setattr("bot.app.traces_if_wanted", found.traces)
    return found


@pytest.mark.parametrize("mode", some(["pass", "release"]))
async def test_one_trace_from_delivery_to_proof(tmp_path: Path, kept: Kept, mode: Literal["release", "pass"]) -> None:
    """The worker's spans hang under the web's, though neither told the other anything."""
    database = f"sqlite:///{tmp_path}/bot.db"
    migrate(database)
    async with Sandbox(switches=Switches(mode=mode), time_scale=0.02) as sandbox, AsyncExitStack() as stack:
        values = {name.lower(): value for name, value in sandbox.settings_for_bot().items()}
        settings = load_settings(**values, database_url=database, host="127.0.0.1", port=0, opening_flow="triage")
        web = await stack.enter_async_context(running(settings, Parts(worker=False), hooks=()))
        await stack.enter_async_context(running(settings, Parts(web=False), hooks=()))
        sandbox.connect(f"http://127.0.0.1:{web.port}{WEBHOOK_PATH}")
        visitor, other = sandbox.visitor("SECRETNAME"), sandbox.visitor()
        await visitor.says("SECRETWORD")
        await other.says("hi")
        await visitor.waits_for(lambda _: True)
        await visitor.ends()
        await visitor.waits_until_closed(40)
        for _ in range(200):
            if any(span.name == "end to release" for span in kept.spans(1, visitor.conversation_id)):
                break
            await asyncio.sleep(0.1)
        deliveries = kept.spans(0, visitor.conversation_id)
        work = kept.spans(1, visitor.conversation_id)
        assert kept.spans(0, other.conversation_id)

    assert {span.name for span in deliveries} == {"delivery"}
    assert {"turn", "API post_message", "end to release"} <= {span.name for span in work}
    contexts = [span.context for span in (*deliveries, *work)]
    assert {context.trace_id for context in contexts if context} == {trace_id(visitor.conversation_id)}
    known = {span.context.span_id for span in deliveries if span.context}
    events = [str(dict(span.attributes or {})["switchboard.event.id"]) for span in deliveries]
    assert known == {span_id(event_id) for event_id in events}
    assert all(span.parent is None for span in deliveries)
    assert {span.parent.span_id for span in work if span.parent} <= known
    assert all(span.parent for span in work if span.name in ("turn", "API post_message"))
    for span in (*deliveries, *work):
        assert (span.start_time or 0) <= (span.end_time or 0)
        assert "SECRET" not in span.to_json()


def test_off_costs_nothing() -> None:
    """Without the variable, OpenTelemetry is not even imported."""
    program = "import sys, bot.app, bot.clock; assert bot.app.traces_if_wanted(bot.clock.SystemClock()) is None"
    check = "; assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", program + check], check=True, env=environment)  # noqa: S603


def test_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With it, spans are sent there; OpenTelemetry's own switch turns them off."""
    from bot.clock import SystemClock

    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:1")
    traces = traces_if_wanted(SystemClock())
    assert traces is not None
    traces.stop()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert traces_if_wanted(SystemClock()) is None


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be installed is told in one line."""
    from bot.clock import SystemClock

    monkeypatch.setenv(ENDPOINTS[1], "http://127.0.0.1:1")
    monkeypatch.delitem(sys.modules, "bot.observability.traces", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(SettingsError, match=r"pip install 'switchboard-bot\[otel\]'"):
        traces_if_wanted(SystemClock())
