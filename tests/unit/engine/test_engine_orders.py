"""Release by hand: an order waits in the inbox, whoever wrote it, and takes effect once, whatever dies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from engine_samples import LONG, QUICK, RELEASE, Scene, act

from bot.control.by_hand import prospect
from bot.control.facts import OperatorReleased
from bot.control.history import MomentKind
from bot.engine.orders import CONFIRMED_FOR, order_of, release_order
from bot.sandbox.records import Caller
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.store.operators import Timeline
from webhooks.events import InvalidEventError
from webhooks.inbox import NewEvent

ELSEWHERE = Caller("another system", "app")


async def _order(scene: Scene, order_id: str = "1", against: str | None = None) -> bool:
    """An order by a process that does no other work."""
    conversation_id = scene.visitor.conversation_id
    order = release_order(conversation_id, by="ann", now=scene.now, order_id=order_id, against=against)
    stored = await scene.stage.store.order(order)
    scene.stage.look(conversation_id)
    return stored


async def _served(scene: Scene) -> None:
    await scene.visitor.says("hi")
    await scene.visitor.waits_for("name?", LONG)


async def _timeline(scene: Scene) -> Timeline:
    found = await scene.stage.store.timeline(scene.visitor.conversation_id)
    assert found is not None
    return found


def test_released_by_hand() -> None:
    """The bot's flow stops, control is released and proven, and all of that is on record."""

    async def script(scene: Scene) -> None:
        await _served(scene)
        assert await _order(scene)
        assert not await _order(scene), "the same order is the same order"
        await scene.given_up()
        await scene.closed()
        assert scene.operations.count(RELEASE) == 1
        found = await _timeline(scene)
        assert [event.by_operator for event in found.events].count(True) == 1
        assert [(past.duty.reason, past.proof is not None) for past in found.duties] == [
            ("released by hand (ann)", True)
        ]
        kinds = [moment.kind for moment in found.moments]
        assert kinds[:3] == [MomentKind.HOLDER, MomentKind.FLOW_BEGAN, MomentKind.FLOW_OVER]

    act(script)


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_a_process_that_dies_over_it(moment: str) -> None:
    """It is carried out by the next one, and no more than once."""

    async def script(scene: Scene) -> None:
        await _served(scene)
        assert await _order(scene)
        victims = [scene.stage.alive[0]]

        def dies(at: str) -> None:
            if at == moment and victims:
                scene.dies_here(victims.pop())

        scene.stage.interference.transaction = dies
        await scene.given_up()
        await scene.closed()
        assert not victims

    act(script)


def test_taken_from_another() -> None:
    """What an operator has confirmed to be taken is, with the app key; and only then."""

    async def script(scene: Scene) -> None:
        await _served(scene)
        board = scene.stage.sandbox.switchboard
        desk = board.member(WORKSPACE)
        board.pass_control(scene.visitor.conversation_id, ELSEWHERE, WORKSPACE, scene.now)
        await scene.stage.wait(timedelta(seconds=5))
        await _order(scene, "1")
        await scene.stage.wait(timedelta(minutes=2))
        assert scene.holder() == WORKSPACE
        state = await scene.stage.state(scene.visitor.conversation_id)
        assert state is not None
        assert prospect(state, QUICK).against == desk.id
        await _order(scene, "2", desk.id)
        await scene.stage.wait(timedelta(minutes=2))
        assert scene.holder() is None

    act(script)


def test_a_confirmation_of_long_ago() -> None:
    """What an agent has now is not taken because an operator confirmed it while no worker ran: it is set aside."""

    async def script(scene: Scene) -> None:
        await _served(scene)
        board = scene.stage.sandbox.switchboard
        board.pass_control(scene.visitor.conversation_id, ELSEWHERE, WORKSPACE, scene.now)
        await scene.stage.wait(timedelta(seconds=5))
        scene.stage.alive[0].kill()
        assert await _order(scene, "1", board.member(WORKSPACE).id)
        await scene.stage.wait(2 * CONFIRMED_FOR)
        await scene.replace_process()
        await scene.stage.wait(timedelta(minutes=2))
        assert scene.holder() == WORKSPACE
        assert scene.stage.event_statuses()["order:1"] == "set_aside"

    act(script)


def test_an_event_that_looks_like_an_order() -> None:
    """What comes over the wire is no order, whatever type it claims to have."""

    async def script(scene: Scene) -> None:
        await _served(scene)
        order = release_order(scene.visitor.conversation_id, by="x", now=scene.now, order_id="1")
        body = b'{"id": "order:1", "type": "operator:release", "payload": {}, "by": "x", "against": null}'
        await scene.stage.store.receive([NewEvent(order.id, order.conversation_id, order.type, body, scene.now)])
        scene.stage.look(scene.visitor.conversation_id)
        await scene.stage.wait(timedelta(minutes=1))
        assert scene.holder() == BOT
        assert scene.stage.event_statuses()["order:1"] == "handled"

    act(script)


def test_an_order_that_is_not_understood() -> None:
    """It is set aside, like an event of that kind."""

    async def script(scene: Scene) -> None:
        await _served(scene)
        conversation_id = scene.visitor.conversation_id
        await scene.stage.store.order(NewEvent("order:1", conversation_id, "operator:dance", b"{}", scene.now))
        scene.stage.look(conversation_id)
        await scene.stage.wait(timedelta(minutes=1))
        assert scene.stage.event_statuses()["order:1"] == "set_aside"
        assert scene.holder() == BOT

    act(script)


class TestOrder:
    """Written and read back."""

    def test_whole(self) -> None:
        """All of it."""
        now = datetime(2026, 3, 1, tzinfo=UTC)
        order = release_order("c1", by="änn", now=now, order_id="7", against="sw")
        assert (order.id, order.conversation_id, order.received_at) == ("order:7", "c1", now)
        assert order_of(order.type, order.body) == OperatorReleased("änn", "sw")

    @pytest.mark.parametrize(("type_", "body"), [("operator:dance", b"{}"), ("operator:release", b"[]")])
    def test_unknown(self, type_: str, body: bytes) -> None:
        """Another version's."""
        with pytest.raises(InvalidEventError, match="an order of an unknown"):
            order_of(type_, body)
