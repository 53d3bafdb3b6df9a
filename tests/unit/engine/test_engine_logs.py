"""No secret, and nothing that anybody said, ever appears in a log."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from engine_samples import LONG, POST, Scene, act
from prometheus_client.parser import text_string_to_metric_families
from tiers import some

from bot import CallFailed, Chat, Choice, FlowError, FlowMisuse
from bot.flows.error_report import raised_signal
from bot.observability import Metrics, both, configure_logs, log_signal, loop_error_handler
from bot.sandbox.faults import Fault, Moment
from bot.signals import Level, Signal
from bot.store.interface import Counts, Unavailable
from bot.sunshine import Call
from webhooks.inbox import NewEvent
from webhooks.intake import Receipt

USER, BOT_SAYS, SECRET = "usersecretwords", "botsecretwords", "sandbox-webhook-secret"


@pytest.fixture(params=some(["json", "console"]))
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything that is logged, at the least level."""
    stream, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        configure_logs(request.param, "DEBUG")
    yield stream
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


class _Own(FlowError):
    """An error of the team's own."""


def _quotes(text: str) -> None:
    raise ValueError(f"bad value {text}")


async def _raises(chat: Chat) -> None:
    raise RuntimeError(f"can't handle {chat.opening.text}")


async def _raises_its_own(chat: Chat) -> None:
    raise _Own(chat.opening.text)


async def _misuses(chat: Chat) -> None:
    raise FlowMisuse(chat.opening.text)


async def _raises_call_failed(chat: Chat) -> None:
    raise CallFailed("function", chat.opening.text)


async def _fails_in_a_call(chat: Chat) -> None:
    await chat.call(_quotes, chat.opening.text)


async def _says_too_much(chat: Chat) -> None:
    await chat.say(BOT_SAYS, choices=[chat.opening.text * 20])


async def _returns_no_json(chat: Chat) -> None:
    await chat.call(lambda: {chat.opening.text: object()})


async def _leaves_a_task_behind(chat: Chat) -> None:
    async def behind() -> None:
        raise RuntimeError(chat.opening.text)

    asyncio.get_running_loop().create_task(behind())
    await chat.call(asyncio.sleep, 1)


async def _gathers(chat: Chat) -> None:
    await asyncio.gather(chat.call(_quotes, chat.opening.text), chat.ask(BOT_SAYS))


async def _talks(chat: Chat) -> None:
    await chat.say(f"{BOT_SAYS} {chat.opening.text}", metadata={"note": USER})
    answer = await chat.ask(BOT_SAYS, choices=[Choice(BOT_SAYS, USER)])
    await chat.call(str, answer.text)
    await chat.hand_over(ticket_fields={"1": answer.text}, metadata={"m": USER})


FLOWS = [
    _raises,
    _raises_its_own,
    _misuses,
    _raises_call_failed,
    _fails_in_a_call,
    _says_too_much,
    _returns_no_json,
    _leaves_a_task_behind,
    _gathers,
    _talks,
]


@pytest.mark.parametrize("flow", some(FLOWS, every=3), ids=lambda flow: flow.__name__.strip("_"))
def test_no_words_and_no_secrets_are_logged(flow: Any, log: io.StringIO) -> None:
    """At level DEBUG, whatever the flow does with what it hears, and whatever the network does."""

    async def script(scene: Scene) -> None:
        scene.stage.observe = log_signal
        scene.stage.raised = lambda raised: log_signal(raised_signal(raised, is_full=False))
        scene.stage.loop.set_exception_handler(loop_error_handler(log_signal))
        secrets = [SECRET, scene.stage.sandbox.integration_key.secret, scene.stage.sandbox.app_key.secret]
        scene.faulty = lambda op, when, count: (
            Fault(status=503) if op == POST and count == 1 and when is Moment.AFTER else None
        )
        await scene.visitor.says(USER)
        if flow is _talks:
            await scene.visitor.waits_for(lambda message: message.text == BOT_SAYS, LONG)
            await scene.visitor.says(USER)
        await scene.given_up()
        body = json.dumps({"webhook": {"version": "v2"}, "events": [{"type": 7, "payload": USER}, USER]}).encode()
        assert await scene.stage.alive[0].post({"X-API-Key": SECRET}, body) == 200
        assert await scene.stage.alive[0].post({"X-API-Key": USER}, body) == 401
        assert await scene.stage.alive[0].post({"X-API-Key": SECRET}, USER.encode()) == 400
        await scene.visitor.ends()
        await scene.closed()
        gc.collect()
        written = log.getvalue()
        assert "duty_closed" in written
        for forbidden in (USER, BOT_SAYS, *secrets):
            assert forbidden not in written
        if flow is not _talks and flow is not _leaves_a_task_behind:
            assert "flow_failed" in written
            assert "flow_raised" in written

    act(script, flow)
    assert USER not in log.getvalue()


async def _looks_up(chat: Chat) -> None:
    prices: dict[str, int] = {}
    try:
        _price_of(prices, chat.opening.text)
    except KeyError as error:
        raise RuntimeError("no price") from error


def _price_of(prices: dict[str, int], thing: str) -> int:
    return prices[thing]


@pytest.mark.parametrize("log", ["json"], indirect=True)
@pytest.mark.parametrize("is_full", [False, True])
def test_what_a_flow_raises_is_told_with_places_and_causes(is_full: bool, log: io.StringIO) -> None:
    """By default without messages and values; all of it for who wants that."""

    async def script(scene: Scene) -> None:
        scene.stage.raised = lambda raised: log_signal(raised_signal(raised, is_full=is_full))
        await scene.visitor.says(USER)
        await scene.given_up()

    act(script, _looks_up)
    (line,) = [json.loads(line) for line in log.getvalue().splitlines() if '"flow_raised"' in line]
    assert (line["flow"], line["error"], line["level"]) == ("opening", "RuntimeError", "warning")
    assert line["conversation_id"]
    (call,), (cause,) = line["calls"], line["causes"]
    assert re.search(r"test_engine_logs\.py:\d+ in _looks_up$", call)
    assert re.search(r"^KeyError at .*test_engine_logs\.py:\d+ in _price_of$", cause)
    assert ("exception" in line) is (USER in log.getvalue()) is is_full
    if is_full:
        assert "in _price_of" in line["exception"]
        assert "RuntimeError: no price" in line["exception"]


@pytest.mark.parametrize(
    ("fault", "what", "reason"),
    [
        (Fault(status=401), "key", "post_message: the API key is wrong (401 sandbox_fault)"),
        (Fault(status=429), "rate_limit", "post_message: too many requests (429 too_many_requests)"),
        (Fault(status=500), "api", "post_message: the platform failed"),
        (Fault(refuse=True), "api", "post_message: not sent"),
    ],
)
def test_a_trouble_with_the_api_is_told_at_the_first_try(
    fault: Fault, what: str, reason: str, log: io.StringIO
) -> None:
    """Once for all conversations, without a secret or a word; at DEBUG each try has its status and reason."""

    async def script(scene: Scene) -> None:
        heard: list[Signal] = []
        scene.stage.observe = both(log_signal, heard.append)
        scene.faulty = lambda op, _, __: fault if op == POST else None
        others = [scene.stage.sandbox.visitor() for _ in range(3)]
        for visitor in (scene.visitor, *others):
            await visitor.says(USER)
        await scene.stage.wait(timedelta(seconds=30))
        (began,) = [signal for signal in heard if signal.event == "trouble_began"]
        assert began.fields["what"] == what
        assert began.conversation_id is None
        tried = next(signal for signal in heard if signal.event == "effect_tried")
        assert tried.fields["outcome"] == "again later"
        assert tried.fields["status"] == fault.status
        assert str(tried.fields["reason"]).startswith(reason[:20])
        keys = scene.stage.sandbox.integration_key, scene.stage.sandbox.app_key
        for forbidden in (USER, BOT_SAYS, SECRET, *(key.secret for key in keys)):
            assert forbidden not in log.getvalue()

    act(script, _talks)


def test_a_backend_that_fails_is_told(log: io.StringIO) -> None:
    """With the function and the type of the error; its text may quote the user."""

    async def script(scene: Scene) -> None:
        heard: list[Signal] = []
        scene.stage.observe = both(log_signal, heard.append)
        for visitor in (scene.visitor, scene.stage.sandbox.visitor()):
            await visitor.says(USER)
        await scene.given_up()
        (began,) = [signal for signal in heard if signal.event == "trouble_began"]
        assert began.fields["where"] == "_quotes"
        assert began.fields["problem"] == "_quotes raised ValueError"
        assert USER not in log.getvalue()

    act(script, _fails_in_a_call)


def test_a_database_that_is_away_is_told_once(log: io.StringIO) -> None:
    """However many conversations and workers meet it."""

    async def script(scene: Scene) -> None:
        heard: list[Signal] = []
        scene.stage.observe = heard.append

        async def away(_: object, __: str) -> None:
            if scene.stage.loop.time() > 1:
                raise Unavailable("it is out of reach")

        scene.stage.interference.store = away
        for visitor in [scene.visitor, *(scene.stage.sandbox.visitor() for _ in range(3))]:
            await visitor.says(USER)
        await scene.stage.wait(timedelta(seconds=200))
        told = [signal for signal in heard if signal.level in (Level.WARNING, Level.ERROR)]
        assert [signal.event for signal in told] == ["trouble_began", *["trouble_lasts"] * (len(told) - 1)]
        assert len(told) <= 2
        assert told[0].fields["problem"] == "it is out of reach"

    act(script, _talks)


def test_what_is_logged_says_what_failed_and_where(log: io.StringIO) -> None:
    """The type, and the place in the flow's own code."""

    async def script(scene: Scene) -> None:
        scene.stage.observe = log_signal
        await scene.visitor.says("hi")
        await scene.given_up()

    act(script, _fails_in_a_call)
    assert "CallFailed at" in log.getvalue()
    assert "test_engine_logs.py:" in log.getvalue()
    assert "(_quotes: ValueError)" in log.getvalue()


def test_a_hook_that_fails_stops_neither_the_work_nor_the_other_hooks() -> None:
    """A log whose pipe is broken."""
    heard: list[str] = []

    def broken(_: Signal) -> None:
        raise BrokenPipeError

    both(broken, lambda signal: heard.append(signal.event))(Signal("started"))
    assert heard == ["started"]


def test_a_level_hides_what_is_below_it(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """LOG_LEVEL."""
    monkeypatch.setattr(sys, "stderr", log)
    configure_logs("json", "WARNING")
    log_signal(Signal("quiet", Level.INFO))
    log_signal(Signal("loud", Level.WARNING, "c1", {"detail": "x"}))
    line = json.loads(log.getvalue().splitlines()[-1])
    assert "quiet" not in log.getvalue()
    assert (line["event"], line["level"], line["conversation_id"], line["detail"]) == ("loud", "warning", "c1", "x")


def test_metrics_count_signals_deliveries_and_calls() -> None:
    """And show the database's numbers of the moment."""
    metrics = Metrics()
    metrics.on_signal(Signal("duty_closed", fields={"action": "release", "seconds": 2.0}))
    metrics.on_signal(Signal("flow_failed"))
    metrics.on_receipt(Receipt(200, 3, 0.002, "stored"))
    events = [
        NewEvent(type_, None, type_, b"{}", datetime.now(UTC)) for type_ in ("conversation:read", "new:1", "new:2")
    ]
    metrics.on_stored(events)
    metrics.on_call(Call("post_message", "accepted", 201, 0.1))  # type: ignore[arg-type]
    page = metrics.show(Counts(1, 2, 3, 4.5, 5, 6, 7, 8)).decode()
    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }
    assert shown["switchboard_signals_total", "flow_failed"] == 1
    assert shown["switchboard_duty_seconds_sum", "release"] == 2.0
    assert shown["switchboard_webhook_deliveries_total", "200"] == 1
    assert shown["switchboard_events_received_total", "conversation:read"] == 1
    assert shown["switchboard_events_received_total", "other"] == 2
    assert shown["switchboard_api_calls_total", "post_message", "accepted"] == 1
    assert shown["switchboard_conversations_held",] == 1
    assert shown["switchboard_duties_owed",] == 2
    assert shown["switchboard_duties_oldest_seconds",] == 4.5
    assert shown["switchboard_outbox_effects",] == 8
