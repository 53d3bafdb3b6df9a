"""The assistant: a model behind `chat.call`, and an agent behind the model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from bot.flows import assistant as module
from bot.flows.assistant import Model, Turn, assistant, assistant_with, offline
from bot.sandbox.history import Cause, Kind
from bot.sandbox.switchboard import WORKSPACE
from bot.signals import Level
from bot.testing.talks import ChatWith

HANDS_OVER = "One moment, I am getting a person for you."


async def test_the_model_answers_until_the_user_is_served(chat_with: ChatWith) -> None:
    """The user's first words are the first question."""
    talk = chat_with(assistant, mode="pass")
    await talk.user("Hello")
    talk.expects("Ask me what I can do")
    await talk.user("What can you do?")
    talk.expects("I can answer two questions")
    await talk.user("Thanks!")
    talk.expects("Goodbye")
    talk.expects_no_more()
    assert talk.released


@pytest.mark.parametrize("words", ["agent please", "I want a HUMAN", "can I talk to someone?"])
async def test_who_asks_for_a_person_gets_one(chat_with: ChatWith, words: str) -> None:
    """At once, and the model is not asked."""
    talk = chat_with(assistant)
    await talk.user(words)
    assert talk.said == [HANDS_OVER]
    assert talk.holder == WORKSPACE


@pytest.mark.parametrize("typed", ["", "Talk to a person", "“talk to a person.”", "TALK\u200b TO A PERSON!"])
async def test_a_person_is_one_tap_away(chat_with: ChatWith, typed: str) -> None:
    """Below every answer; or its label, typed."""
    talk = chat_with(assistant)
    await talk.user("hello")
    await (talk.user(typed) if typed else talk.taps("Talk to a person"))
    assert talk.holder == WORKSPACE


def _raises(turns: Sequence[Turn]) -> str:
    raise OSError("no network")


async def _hangs(turns: Sequence[Turn]) -> str:
    await asyncio.sleep(10_000)
    return "too late"


def _wrong(turns: Sequence[Turn]) -> Any:
    return {"not": "words"}


@pytest.mark.parametrize(
    ("model", "detail"),
    [
        (_raises, "_raises: OSError"),
        (_hangs, "_hangs: TimeoutError"),
        (_wrong, "its answer is no text, but dict"),
    ],
)
@pytest.mark.parametrize("restart", [False, True])
async def test_a_model_that_fails_leads_to_a_person_and_is_told(
    chat_with: ChatWith, model: Model, detail: str, *, restart: bool
) -> None:
    """Once, as a warning, without a word of what was said."""
    talk = chat_with(assistant_with(model, timeout=timedelta(seconds=5)), may_fail=True, restart_every_turn=restart)
    await talk.user("What is the meaning of life?")
    assert talk.said == [HANDS_OVER]
    assert talk.holder == WORKSPACE
    (told,) = [signal for signal in talk.signals if signal.event == "model_failed"]
    assert (told.level, dict(told.fields)) == (Level.WARNING, {"detail": detail})
    assert talk.failures == [f"model failed: {detail}"]


async def test_a_model_that_fails_later_is_told_as_well(chat_with: ChatWith) -> None:
    """And a test that does not expect it fails."""

    def model(turns: Sequence[Turn]) -> str:
        if len(turns) > 1:
            raise OSError("quota")
        return "Go on."

    talk = chat_with(assistant_with(model))
    await talk.user("one")
    with pytest.raises(AssertionError, match=r"model failed: .*model: OSError"):
        await talk.user("two")


@pytest.mark.parametrize("model", [lambda _: None, lambda _: "  "])
async def test_a_model_without_an_answer_leads_to_a_person(chat_with: ChatWith, model: Model) -> None:
    """It has not failed: it says that it does not know."""
    talk = chat_with(assistant_with(model))
    await talk.user("What is the meaning of life?")
    assert (talk.said, talk.holder, talk.failures) == ([HANDS_OVER], WORKSPACE, [])


async def test_what_the_offline_model_does_not_know_leads_to_a_person(chat_with: ChatWith) -> None:
    """It makes nothing up."""
    talk = chat_with(assistant)
    await talk.user("What is the meaning of life?")
    assert talk.said == [HANDS_OVER]


async def test_a_model_gets_all_that_was_said_and_is_asked_once_a_turn(chat_with: ChatWith) -> None:
    """Its answers are kept: a restart asks nothing twice."""
    asked: list[list[str]] = []

    async def model(turns: Sequence[Turn]) -> str:
        asked.append([f"{turn['role']}: {turn['content']}" for turn in turns])
        return f"answer {len(asked)}"

    talk = chat_with(assistant_with(model), restart_every_turn=True)
    await talk.user("one")
    await talk.user("two")
    await talk.user("bye")
    assert asked == [["user: one"], ["user: one", "assistant: answer 1", "user: two"]]
    assert talk.said == ["answer 1", "answer 2", "You are welcome. Goodbye!"]


async def test_a_model_can_not_move_control(chat_with: ChatWith) -> None:
    """What it says is defused like everything else."""
    talk = chat_with(assistant_with(lambda _: "%((switchboard:passControl:zd-answerBot))%"))
    await talk.user("hi")
    moves = talk._history(Kind.HOLDER)
    assert Cause.SHORTHAND not in [move.cause for move in moves]
    assert not talk.released


async def test_who_is_not_served_in_many_turns_gets_a_person(
    chat_with: ChatWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that goes on and on is no help."""
    monkeypatch.setattr(module, "TURNS_LIMIT", 3)
    talk = chat_with(assistant_with(lambda _: "Go on."))
    for _ in range(4):
        await talk.user("and?")
    assert talk.said == ["Go on."] * 3 + [HANDS_OVER]


async def test_who_is_silent_is_let_go(chat_with: ChatWith) -> None:
    """After FLOW_IDLE_TIMEOUT."""
    talk = chat_with(assistant)
    await talk.user("hello")
    await talk.wait(minutes=16)
    assert talk.released
    assert talk.failures == []


async def test_who_comes_without_words_is_asked(chat_with: ChatWith) -> None:
    """By a link, for example."""
    talk = chat_with(assistant)
    await talk.comes_by("summer")
    talk.expects("What can I do for you?")
    await talk.wait(minutes=16)
    assert talk.released


def test_the_offline_model_always_says_the_same() -> None:
    """So that it can be tested."""
    turns: list[Turn] = [{"role": "user", "content": "hello?"}]
    assert offline(turns) == offline(turns) == "Hello! I am a sample assistant. Ask me what I can do."


@pytest.mark.parametrize("asked", ["When do you open?", "What does it cost?", "How big is your shop?", "Is it new?"])
def test_the_offline_model_says_nothing_about_a_business(asked: str) -> None:
    """It knows itself only."""
    answer = offline([{"role": "user", "content": asked}])
    assert answer is None or "sample" in answer
