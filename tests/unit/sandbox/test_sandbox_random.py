"""Whatever people and bots do, in any position of the switches: the model, its history and its events agree."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bot.sandbox import ANSWERS, BOT, WORKSPACE, ApiError, Kind, NotPossibleError, Switches


def step(world: Any, rng: random.Random) -> None:
    """One thing that somebody does, or tries to do."""
    board = world.board
    if not board.conversations or rng.random() < 0.1:
        user = rng.choice(list(board.users)) if board.users and rng.random() < 0.7 else board.create_user("New")
        board.create_conversation(user, rng.choice(["message", "startConversation"]), now=world.now)
        return
    where = rng.choice(list(board.conversations))
    key = rng.choice([world.bot_key, world.desk_key, world.app_key])
    target = rng.choice([BOT, WORKSPACE, ANSWERS, "next", "nobody", "zd:agentWorkspace"])
    text = rng.choice(["hello", "%((switchboard:passControl))%", "x %((switchboard:passControl:zd-answerBot))%"])
    acts: list[Callable[[], object]] = [
        lambda: board.user_says(where, "hi", now=world.now),
        lambda: board.user_taps(where, "P", now=world.now),
        lambda: board.user_types(where, now=world.now),
        lambda: board.user_ends(where, now=world.now),
        lambda: board.agent_says(where, "hi", world.now),
        lambda: board.agent_solves(where, world.now),
        lambda: board.close_ticket(where, world.now),
        lambda: board.transfer_to_email(where, world.now),
        lambda: board.agent_ends(where, world.now),
        lambda: board.release_control(where, key, world.now),
        lambda: board.pass_control(where, key, target, world.now),
        lambda: board.offer_control(where, key, target, world.now),
        lambda: board.accept_control(where, key, world.now),
        lambda: world.says(board.conversations[where], text),
    ]
    rare: list[Callable[[], object]] = [
        lambda: board.remove_conversation(where, now=world.now),
        lambda: board.remove_user(board.conversations[where].user_id, now=world.now),
        lambda: merge(world, where, rng),
    ]
    with suppress(ApiError, NotPossibleError):
        rng.choice(rare if rng.random() < 0.05 else acts)()


def merge(world: Any, where: str, rng: random.Random) -> None:
    """Merge two people, and two of their conversations."""
    board = world.board
    other = rng.choice(list(board.conversations))
    kept, gone = board.conversations[where].user_id, board.conversations[other].user_id
    if kept != gone:
        board.merge_users(kept, gone, now=world.now, conversations=(where, other))


@pytest.mark.parametrize("seed", range(60))
def test_model_history_and_events_agree(worlds: Any, seed: int) -> None:
    """The history's newest holder is the model's; what the bot hears last is never wrong about itself."""
    rng = random.Random(seed)  # noqa: S311 - draws of a simulation, not secrets
    drawn = Switches.draw(rng)
    world = worlds(**{name: getattr(drawn, name) for name in Switches.positions()}, untouched=rng.random() < 0.3)
    board = world.board
    ids: list[str] = []

    for _ in range(120):
        step(world, rng)
        ids += [delivery.event["id"] for delivery in board.drain()]

        for where in board.conversations:
            assert board.history.of(where)[-1].holder == board.holder(where)
            shown = board.get_conversation(where)["conversation"].get("activeSwitchboardIntegration", {})
            assert shown.get("name") == board.holder(where)

    assert len(ids) == len(set(ids))
    for where in board.history.conversations():
        moves = board.history.of(where, Kind.HOLDER)
        assert [m.before for m in moves] == [None, *(m.holder for m in moves[:-1])]
        if where not in board.conversations:
            assert board.history.holders(where)[-1][1] is None
