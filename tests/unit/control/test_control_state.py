"""What a state tells: what may be said, what is at stake, when it is looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from control_samples import BOT, HOUR, MINUTE, NOON, SECOND, Story, owing, served, with_agent

from bot.control.policy import backoff
from bot.control.state import Conversation, Ended, Holder, Integration, Proof, Who

ENDED = Ended(NOON, NOON + SECOND)
CLOSED = replace(ENDED, proof=Proof("a read", NOON))


@pytest.mark.parametrize(
    ("target", "answers"), [("sw-bot", True), ("bot", True), ("custom", True), ("int-bot", False), ("", False)]
)
def test_answers_to(target: str, answers: bool) -> None:
    """An integration answers to its id, its name and its type."""
    assert BOT.answers_to(target) is answers


@pytest.mark.parametrize(
    ("holder", "words"),
    [
        (Holder(), "unknown"),
        (Holder(Who.BOT, BOT), "bot"),
        (Holder(Who.OTHER, Integration("x")), "x"),
        (Holder(Who.OTHER, Integration("x", "desk")), "desk"),
    ],
)
def test_words(holder: Holder, words: str) -> None:
    """A holder in words: the name where there is one, else the id."""
    assert str(holder) == words


@pytest.mark.parametrize(
    ("who", "ended", "gone", "run_id", "may"),
    [
        (Who.BOT, None, False, 3, True),
        (Who.OTHER, None, False, 3, False),
        (Who.NOBODY, None, False, 3, False),
        (Who.UNKNOWN, None, False, 3, False),
        (Who.BOT, None, True, 3, False),
        (Who.BOT, ENDED, False, 3, False),
        (Who.BOT, ENDED, False, 7, True),
        (Who.OTHER, ENDED, False, 7, False),
    ],
)
def test_may_say(who: Who, ended: Ended | None, gone: bool, run_id: int, may: bool) -> None:
    """Only while the bot holds control, and after an end only what the closing run (7) says."""
    assert Conversation("c1", Holder(who), ended=ended, gone=gone, closing_run=7).may_say(run_id) is may


@pytest.mark.parametrize(
    ("state", "at_stake"),
    [
        (Conversation("c1"), False),
        (Conversation("c1", Holder(Who.BOT)), True),
        (Conversation("c1", Holder(Who.OTHER)), False),
        (Conversation("c1", Holder(Who.OTHER), ended=ENDED), True),
        (Conversation("c1", Holder(Who.NOBODY), ended=CLOSED), False),
        (Conversation("c1", Holder(Who.BOT), ended=CLOSED), True),
        (Conversation("c1", Holder(Who.BOT), ended=ENDED, gone=True), False),
    ],
)
def test_at_stake(state: Conversation, at_stake: bool) -> None:
    """At stake is what the bot holds, and what has ended without proof; nothing that is gone."""
    assert state.at_stake is at_stake


def test_safe() -> None:
    """At stake without a look is not safe."""
    assert not Conversation("c1", Holder(Who.BOT)).is_safe()
    assert Conversation("c1", Holder(Who.BOT), idle_at=NOON).is_safe()
    assert Conversation("c1").is_safe()


def test_look_at() -> None:
    """The next look is the earliest of all that is due."""
    assert Conversation("c1").look_at is None
    assert Conversation("c1", idle_at=NOON, watch_at=NOON - SECOND, read_at=NOON + SECOND).look_at == NOON - SECOND
    assert Conversation("c1", ended=ENDED).look_at == NOON + SECOND
    assert Conversation("c1", ended=CLOSED).look_at is None


def test_turn_is_due_now() -> None:
    """A run that is ready is looked at now, but time itself only changes something at its deadline."""
    story = served()
    assert story.state.look_at == NOON
    assert story.state.waits_until == story.run.deadline
    assert story.flow_waits(MINUTE).state.waits_until == story.now + MINUTE


def test_read_during_a_turn() -> None:
    """A read that is due counts during a turn too."""
    assert replace(served().state, watch_at=NOON + SECOND).waits_until == NOON + SECOND
    assert replace(served().state, read_at=NOON + SECOND).waits_until == NOON + SECOND


def test_duty_is_looked_at_when_overdue() -> None:
    """A duty whose next attempt is far away is looked at when it is overdue, then ever more rarely."""
    duty = replace(owing().duty, next_attempt=NOON + HOUR, since=NOON)
    assert duty.look_at == NOON + MINUTE
    assert replace(duty, overdue_reports=1).look_at == NOON + 4 * MINUTE
    assert replace(duty, overdue_reports=4).look_at == NOON + HOUR


def test_agents_conversation_is_not_at_stake() -> None:
    """What an agent holds is watched, but not at stake."""
    assert with_agent().state.look_at
    assert not with_agent().state.at_stake
    assert not Story().state.at_stake


@pytest.mark.parametrize(
    ("failures", "least", "most"),
    [
        (-1, 0, 0),
        (0, 0, 0),
        (1, 0.75, 1),  # 1 s
        (2, 1.5, 2),  # 1 * 2
        (4, 6, 8),  # 1 * 2 * 2 * 2
        (9, 192, 256),  # 1 * 2 ** 8
        (10, 225, 300),  # 512, capped at 300
        (10_000, 225, 300),
    ],
)
def test_backoff(failures: int, least: float, most: float) -> None:
    """The wait doubles up to the cap, less up to a quarter."""
    for salt in ("a", "b", "c"):
        assert timedelta(seconds=least) <= backoff(failures, salt) <= timedelta(seconds=most)


def test_backoff_spreads() -> None:
    """Conversations don't retry in step."""
    assert len({backoff(5, str(salt)) for salt in range(100)}) > 90
