"""The exhaustive search's model of the platform against the stand-in: who is active, and what is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.control.facts import Answer
from bot.sandbox.errors import ApiError
from bot.sandbox.records import Caller, Ids
from bot.sandbox.switchboard import ANSWERS, BOT, WORKSPACE, Switchboard, standard_switchboard
from bot.sandbox.switches import Switches
from bot.simulation.exhaustive import setup as exhaustive
from bot.simulation.exhaustive.acts import successors
from bot.simulation.exhaustive.bot_side import arrive
from bot.simulation.exhaustive.promises import Breach
from bot.simulation.exhaustive.setup import Setup
from bot.simulation.exhaustive.told import AGENT, END, HALF_END, MOVED, REASONS, SPOKEN, SYSTEM, WORD, Told
from bot.simulation.exhaustive.world import NOON, PASS, RELEASE, SAY, Flight, World

NAMES = (None, BOT, WORKSPACE, ANSWERS)
ELSEWHERE = Caller("another system", "app")
LEAVES = ", control goes to nobody"
TO_DESK = ", control goes to the agent workspace"

OPERATIONS: dict[str, Callable[[Switchboard, str], Any]] = {
    "the user writes": lambda board, id_: board.user_says(id_, "words", now=NOON),
    "the user ends it": lambda board, id_: board.user_ends(id_, now=NOON),
    "an agent writes": lambda board, id_: board.agent_says(id_, "words", NOON),
    "the agent workspace takes control": lambda board, id_: board.pass_control(id_, ELSEWHERE, WORKSPACE, NOON),
    "the other integration takes control": lambda board, id_: board.pass_control(id_, ELSEWHERE, ANSWERS, NOON),
    "the agent workspace gives control to the bot": lambda board, id_: board.agent_passes(id_, BOT, NOON),
    "the agent workspace releases control": lambda board, id_: board.agent_releases(id_, NOON),
    "the other integration gives control": lambda board, id_: board.pass_control(id_, ELSEWHERE, BOT, NOON),
    "the other integration releases control": lambda board, id_: board.release_control(id_, ELSEWHERE, NOON),
    "the ticket is closed": lambda board, id_: board.close_ticket(id_, NOON),
    "the agent transfers it": lambda board, id_: board.transfer_to_email(id_, NOON),
}
"""What the stand-in does for an act whose words begin so; the longest beginning counts."""


@dataclass(frozen=True)
class Played:
    """A story: the mode, the switches that are not at their default, the acts."""

    mode: str
    acts: tuple[str, ...]
    switches: dict[str, Any] = field(default_factory=dict)


BEFORE = ", and the event shows who was active before"
STORIES = (
    Played("release", ("the user writes", "the user ends it" + LEAVES)),
    Played("release", ("the user ends it" + LEAVES + ", the message last",), {"end_order": "control_first"}),
    Played("release", ("the user ends it" + LEAVES + ", for a reason",), {"end_reason": "ticketClosed"}),
    Played(
        "release",
        ("the user ends it" + LEAVES + ", told without its activity",),
        {"end_message": "subtype_only"},
    ),
    Played("release", ("the user ends it" + LEAVES + ", which no message tells",), {"end_message": "lost"}),
    Played(
        "release",
        ("the user ends it" + LEAVES + ", and no event tells where control went",),
        {"end_control_event": "lost"},
    ),
    Played(
        "release",
        ("the user ends it" + LEAVES + ", and the message makes the bot active",),
        {"end_order": "control_first", "system_message_assigns": True, "end_control_event": "lost"},
    ),
    Played("pass", ("the user writes", "the user ends it")),
    Played("pass", ("the user ends it" + TO_DESK,), {"end_while_bot_active_in_pass": "next"}),
    Played("pass", ("the user ends it" + LEAVES,), {"end_while_bot_active_in_pass": "released"}),
    Played("pass", ("the agent workspace takes control", "the user ends it, control goes to the bot")),
    Played(
        "pass",
        ("the other integration takes control", "the user ends it" + TO_DESK),
        {"end_while_bot_active_in_pass": "next"},
    ),
    Played("pass", ("the agent workspace takes control", "the agent workspace gives control to the bot")),
    Played("release", ("the agent workspace takes control", "the agent workspace releases control", "the user writes")),
    Played(
        "release",
        ("the agent workspace takes control", "the agent workspace releases control", "the user writes" + BEFORE),
        {"snapshot_in_first_message": False},
    ),
    Played("release", ("the other integration takes control", "the other integration gives control to the bot")),
    Played("pass", ("the other integration takes control", "the other integration releases control")),
    Played("release", ("the agent workspace takes control", "the ticket is closed, as a message tells too")),
    Played(
        "pass",
        ("the agent workspace takes control", "the ticket is closed, as a message tells later"),
        {"end_order": "control_first"},
    ),
    Played("pass", ("the agent workspace takes control", "the agent transfers it to e-mail, as a message tells too")),
    Played("release", ("an agent writes",)),
    Played("release", ("an agent writes and takes control",), {"agent_writes_while_bot_active_takes_control": True}),
    Played(
        "release",
        (
            "the agent workspace takes control",
            "the agent workspace releases control",
            "an agent writes and makes the bot active",
        ),
        {"business_message_assigns": True},
    ),
    Played(
        "release",
        ("the user ends it" + LEAVES, "the user writes again after the end", "the user ends it" + LEAVES),
        {"reopen_allowed": True},
    ),
)


def after(world: World, act: str) -> World:
    """The moment after an act."""
    new = next(new for words, _, new in successors(world) if words == act)
    assert not isinstance(new, Breach)
    return new


def told_by_model(told: Told) -> tuple[str, str | None, str | None]:
    """What an event tells: its kind, who is active, and the reason or the activity."""
    if told.kind == MOVED:
        kind = "passControl" if told.shown else "releaseControl"
        return kind, NAMES[told.shown], REASONS[told.reason]
    activity = {END: "conversation:endedByUser", HALF_END: "?", SYSTEM: "system"}.get(told.kind)
    author = {WORD: "user", AGENT: "agent", SPOKEN: "bot"}.get(told.kind, "system")
    return author, NAMES[told.shown], activity


def told_by_stand_in(event: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """The same of a webhook event of the stand-in."""
    payload = event["payload"]
    active = payload["conversation"].get("activeSwitchboardIntegration")
    name = active["name"] if active else None
    kind = event["type"].partition("switchboard:")[2]
    if kind:
        return kind, name, payload.get("reason")
    message = payload["message"]
    if "activity" in message["author"].get("subtypes", ()):
        activity = message.get("activity", {}).get("type", "?")
        return "system", name, activity if activity in ("?", "conversation:endedByUser") else "system"
    agent = message["source"]["type"] == "zd:agentWorkspace"
    return "user" if message["author"]["type"] == "user" else "agent" if agent else "bot", name, None


class StandIn:
    """The stand-in with one conversation."""

    def __init__(self, mode: str, switches: dict[str, Any]) -> None:
        self.board = standard_switchboard(Switches(**{"mode": mode, **switches}), Ids())
        self.id = self.board.create_conversation(self.board.create_user("Ann"), "message", now=NOON).id
        self.board.drain()

    def do(self, act: str) -> list[tuple[str, str | None, str | None]]:
        """Do the same as the act says; what is told of it."""
        beginning = max((known for known in OPERATIONS if act.startswith(known)), key=len)
        OPERATIONS[beginning](self.board, self.id)
        return [told_by_stand_in(delivery.event) for delivery in self.board.drain()]


@pytest.mark.parametrize("played", STORIES, ids=lambda played: f"{played.mode}: {' > '.join(played.acts)}")
def test_the_model_is_like_the_stand_in(played: Played) -> None:
    """After every act the same one is active, and the same events are under way, in the same order."""
    world, stand_in = World(Setup(played.mode)), StandIn(played.mode, played.switches)
    for act in played.acts:
        before = len(world.wire)
        world = after(world, act)
        assert [told_by_model(told) for told in world.wire[before:]] == stand_in.do(act)
        assert NAMES[world.active] == stand_in.board.holder(stand_in.id)


@pytest.mark.parametrize("active", [exhaustive.BOT, exhaustive.DESK, exhaustive.NOBODY])
@pytest.mark.parametrize("app_key", [True, False])
@pytest.mark.parametrize("what", [RELEASE, PASS, SAY])
def test_calls_are_answered_like_by_the_stand_in(what: int, app_key: bool, active: int) -> None:
    """A call changes the same, is told in the same way, and is refused where the platform refuses it."""
    world, stand_in = World(Setup()), StandIn("release", {})
    board, id_ = stand_in.board, stand_in.id
    world.move(active)
    if NAMES[active]:
        board.pass_control(id_, ELSEWHERE, NAMES[active] or "", NOON)
    else:
        board.release_control(id_, ELSEWHERE, NOON)
    board.drain()
    world.order, world.order_read = active, True  # nobody minds who has it
    target = exhaustive.DESK if what == PASS else exhaustive.NOBODY
    world.flight = Flight("c.1", what, world.now, app_key=app_key, target=target)
    key = Caller("bot", "app" if app_key else "integration", board.member(BOT).integration_id)
    refused = False
    try:
        if what == RELEASE:
            board.release_control(id_, key, NOON)
        elif what == PASS:
            board.pass_control(id_, key, WORKSPACE, NOON)
        else:
            body = {"author": {"type": "business"}, "content": {"type": "text", "text": "words"}}
            board.post_message(id_, key, body, NOON)
    except ApiError as error:
        refused = error.status == 403
    answer, told = arrive(world)
    assert (answer is Answer.NOT_OURS) == refused
    assert [told_by_model(one) for one in told] == [told_by_stand_in(one.event) for one in board.drain()]
    assert NAMES[world.active] == board.holder(id_)
