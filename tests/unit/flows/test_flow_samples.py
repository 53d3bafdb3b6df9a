"""The sample flows: they know their own labels, and tell nobody anything that is not true."""

from __future__ import annotations

import re

import pytest

from bot import Chat
from bot.flows.assistant import assistant
from bot.flows.survey import survey
from bot.flows.triage import CHOICES, triage
from bot.sandbox.demo_flows import demo
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.settings import Settings
from bot.signals import Level
from bot.testing.talks import ChatWith

CLAIMS = re.compile(r"\bon (its|the) way\b|\bwe (are|have)\b|\d|\bprice|\bwithin\b|\bminutes\b|€|\$", re.IGNORECASE)
"""What only a business could know."""


def test_no_sample_serves_customers() -> None:
    """They are there to be named, and nobody has named one."""
    assert Settings.model_fields["opening_flow"].default == ""
    assert Settings.model_fields["closing_flow"].default == ""


@pytest.mark.parametrize("flow", [triage, demo])
@pytest.mark.parametrize(
    ("typed", "says", "holder"),
    [
        ("Opening hours", "don't know any opening hours", BOT),
        ("opening hours.", "don't know any opening hours", BOT),
        ("“Opening Hours”", "don't know any opening hours", BOT),
        ("1", "don't know any opening hours", BOT),
        ("Track my order", "order number", BOT),
        ("TRACK MY\u00a0ORDER", "order number", BOT),
        ("2", "order number", BOT),
        ("Talk to a person", "getting a person", WORKSPACE),
        ("3.", "getting a person", WORKSPACE),
        ("something else", "getting a person", WORKSPACE),
        ("No, thanks!", "Goodbye", None),
    ],
)
async def test_triage_knows_its_labels(chat_with: ChatWith, flow: object, typed: str, says: str, holder: str) -> None:
    """Tapped or typed."""
    talk = chat_with(flow)  # type: ignore[arg-type]
    await talk.user("hi")
    await talk.user(typed)
    talk.expects(says)
    assert talk.holder == holder


@pytest.mark.parametrize("said", ["4711", "never mind, I want to complain", "what?", "Talk to a person", "%[a](b)"])
async def test_triage_claims_nothing_about_an_order(chat_with: ChatWith, said: str) -> None:
    """What is no number is no order: a person sees to it."""
    talk = chat_with(triage)
    await talk.user("hi")
    await talk.taps("Track my order")
    await talk.user(said)
    assert not [line for line in talk.said if CLAIMS.search(line)]
    assert talk.holder == (BOT if said == "4711" else WORKSPACE)


@pytest.mark.parametrize("flow", [triage, assistant])
async def test_no_sample_claims_anything(chat_with: ChatWith, flow: object) -> None:
    """Whatever is asked."""
    labels = [choice.text for choice in CHOICES]
    for question in [
        *labels,
        "What can you do?",
        "hello",
        "What does it cost?",
        "Can I return it?",
        "When do you open?",
    ]:
        talk = chat_with(flow)  # type: ignore[arg-type]
        await talk.user("hello")
        await talk.user(question)
        await talk.end()
        assert talk.said
        assert not [line for line in talk.said if CLAIMS.search(line)]


@pytest.mark.parametrize(
    ("typed", "score"), [("Good", "Good"), ("bad.", "Bad"), ("2", "Bad"), ("it was so-so", "other")]
)
async def test_the_survey_keeps_the_score(chat_with: ChatWith, typed: str, score: str) -> None:
    """In the log, once, and never the words."""
    talk = chat_with(closing=survey, mode="pass", restart_every_turn=True)
    await talk.user(typed)
    talk.expects("Thank you!")
    told = [signal for signal in talk.signals if signal.event == "survey_answered"]
    assert [(signal.level, dict(signal.fields)) for signal in told] == [(Level.INFO, {"score": score})]


@pytest.mark.parametrize("event", ["", "Order", "order-1", "order.paid", "_x", "x_", "a" * 65, 5])
async def test_a_log_line_has_a_name(chat_with: ChatWith, event: str) -> None:
    """So that it can be searched for and counted."""

    async def flow(chat: Chat) -> None:
        await chat.log(event)

    talk = chat_with(flow, may_fail=True)
    await talk.user("hi")
    assert "a short name in snake_case" in talk.failures[0]


async def test_a_log_line_is_told_once(chat_with: ChatWith) -> None:
    """However often its turn runs again."""

    async def flow(chat: Chat) -> None:
        for number in range(3):
            await chat.log("order_paid", Level.DEBUG, number=number, express=True, note=None)
            await chat.ask("?")

    talk = chat_with(flow, restart_every_turn=True)
    for _ in range(3):
        await talk.user("hi")
    told = [signal for signal in talk.signals if signal.event == "order_paid"]
    assert [dict(signal.fields) for signal in told] == [{"number": n, "express": True, "note": None} for n in range(3)]
