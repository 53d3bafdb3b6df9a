"""How a story comes to rest: nothing goes wrong any more, everything under way arrives, and time goes on.

At whatever moment a story is left, the bot must bring the conversation to rest from there, with the guarantee kept.
The flow says something and returns whenever it is to take a turn; a turn that hangs goes on hanging.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot.control.facts import TimePassed
from bot.control.state import Conversation
from bot.simulation.exhaustive import memory
from bot.simulation.exhaustive.bot_side import RETURNS, go_on, let_pass, next_moment, take_turn
from bot.simulation.exhaustive.canonical import MOST_CHECKS, MOST_WATCHES, bytes_of, digest_of, form_of
from bot.simulation.exhaustive.promises import Breach, check_rest
from bot.simulation.exhaustive.seen import Digests
from bot.simulation.exhaustive.world import World

MOST_MOMENTS = 200
"""At which something is due, until a story has come to rest."""
LONGEST = timedelta(days=3)
"""Until then it has come to rest, whatever hangs; reads of what others hold come hours apart."""


def check_end(world: World, digests: Digests | None = None, own: int = 0) -> None:
    """Check that the story comes to rest from here. Raises `Breach`.

    Args:
        world: a moment; it is not changed.
        digests: moments from which that is known; those that are passed now are added.
        own: the digest of this moment, which is among them already.
    """
    _check_stillness(world)
    passed: list[int] = []
    world = world.copy()
    latest = world.now + LONGEST
    for _ in range(MOST_MOMENTS):
        _calm(world)
        if digests is not None:
            digest = digest_of(bytes_of(form_of(world)))
            if digest in digests and digest != own:
                break
            passed.append(digest)
        before, time = world.state, next_moment(world)
        if time is None:
            check_rest(world)
            break
        if world.now + time > latest:
            raise Breach("G1: the bot does not come to rest within days")
        let_pass(world, time)
        _calm(world)
        if _is_quiet(before) and _sense(before) == _sense(world.state):
            check_rest(world)  # what is left is to look again, ever more rarely, at what does not change
            break
    else:
        raise Breach("G1: the bot does not come to rest")
    if digests is not None:
        for digest in passed:
            digests.add(digest)


def _check_stillness(world: World) -> None:
    """That time passes by nothing changes nothing."""
    if world.state.is_blank and not world.state.serial:
        return  # nothing has been told yet: the bot does not know that there is a conversation
    still, records = memory.stepped(world.state, TimePassed(), world.now, world.setup.policy)
    if records or still != world.state:
        raise Breach("spinning: to look again at the same moment changes something")


def _calm(world: World) -> None:
    while go_on(world, calm=True):
        take_turn(world, RETURNS)
    state = world.state
    if state.watches > MOST_WATCHES or (state.ended and state.ended.checks > MOST_CHECKS):
        world.state = _slowest(state)


def _slowest(state: Conversation) -> Conversation:
    """The state with counters no higher than what makes a difference."""
    ended = state.ended and replace(state.ended, checks=min(state.ended.checks, MOST_CHECKS))
    return replace(state, watches=min(state.watches, MOST_WATCHES), ended=ended)


def _is_quiet(state: Conversation) -> bool:
    return not (
        state.run or state.duty or state.start or state.unsent or state.inputs or state.idle_at or state.in_doubt
    )


def _sense(state: Conversation) -> tuple[object, ...]:
    """What two looks have in common if nothing has changed between them."""
    ended = state.ended
    return (
        state.holder.who,
        state.holder.integration,
        state.run,
        state.duty,
        state.unsent,
        state.inputs,
        state.idle_at,
        state.in_doubt,
        state.read_at,
        ended is not None,
        ended is not None and ended.proof is not None,
        state.no_app_key_reported,
    )
