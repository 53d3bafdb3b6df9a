"""After a pause without webhooks, what others hold is read soon, and one conversation after the other."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from bot import Chat, Flow
from bot.engine.reconcile import PAUSE, SPACING
from bot.engine.worker import POLL
from bot.flows.catalogue import Catalogue, load_flows
from bot.replay import harness
from bot.replay.harness import Interference, Process, Stage
from bot.replay.virtual_time import VirtualTimeLoop, run_virtual
from bot.sandbox.switchboard import BOT
from bot.sandbox.switches import Switches
from bot.signals import Signal
from bot.store.interface import Unavailable


def a_stage(loop: VirtualTimeLoop, mode: str = "pass") -> Stage:
    """A stage with an opening flow."""
    flows = load_flows(["bot.flows.triage"])
    switches = Switches(mode="pass" if mode == "pass" else "release")
    return Stage(loop, switches=switches, catalogue=Catalogue(flows, "triage"))


def test_an_end_during_downtime_is_found_soon() -> None:
    """Every delivery about the end is lost for good while no process runs; after the start it takes seconds."""

    async def main(loop: VirtualTimeLoop) -> None:
        async with a_stage(loop) as stage:
            told: list[Signal] = []
            stage.observe = told.append
            process = await stage.start_process()
            visitor = stage.sandbox.visitor()
            await visitor.says("hi")
            await visitor.waits_for("What can I do")
            await visitor.taps("Talk to a person")
            await stage.sandbox.agent().waits_for_ticket(visitor)
            await stage.wait(timedelta(minutes=1))
            process.kill()
            await visitor.ends()
            await stage.wait(timedelta(hours=1))
            began = stage.clock.now()
            await stage.start_process()
            await visitor.waits_until_closed(timeout=120)
            assert stage.clock.now() - began < timedelta(seconds=60)
            assert [signal.event for signal in told if signal.event == "reconciling"] == ["reconciling"]

    run_virtual(main)


def test_reads_are_spaced() -> None:
    """Many conversations are not read at once."""

    async def main(loop: VirtualTimeLoop) -> None:
        async with a_stage(loop) as stage:
            process = await stage.start_process()
            visitors = [stage.sandbox.visitor(f"Visitor {number}") for number in range(5)]
            for visitor in visitors:
                await visitor.says("agent")
                await visitor.waits_for("What can I do")
                await visitor.taps("Talk to a person")
                await stage.sandbox.agent().waits_for_ticket(visitor)
            await stage.wait(timedelta(minutes=1))
            process.kill()
            await stage.wait(timedelta(minutes=30))
            reads: list[float] = []
            await stage.start_process()
            stage.sandbox.server.faults = lambda request, _: (
                reads.append(loop.time()) if "messages" in request.path else None
            )
            await stage.wait(timedelta(seconds=10))
            moments = sorted(set(reads))
            assert len(moments) == 5
            gaps = [later - earlier for earlier, later in pairwise(moments)]
            assert min(gaps) >= SPACING.total_seconds() * 0.99

    run_virtual(main)


def test_a_short_pause_changes_nothing() -> None:
    """A restart within the platform's own retries reads nothing."""

    async def main(loop: VirtualTimeLoop) -> None:
        async with a_stage(loop) as stage:
            process = await stage.start_process()
            visitor = stage.sandbox.visitor()
            await visitor.says("hi")
            await visitor.waits_for("What can I do")
            await visitor.taps("Talk to a person")
            await stage.sandbox.agent().waits_for_ticket(visitor)
            await stage.wait(PAUSE / 2)
            process.kill()
            calls: list[str] = []
            stage.sandbox.server.faults = lambda request, _: calls.append(request.path)
            await stage.start_process()
            await stage.wait(timedelta(minutes=1))
            assert calls == []

    run_virtual(main)


async def _answers(chat: Chat) -> None:
    await chat.say("Here you are.")


@pytest.mark.parametrize(("outage", "read"), [(timedelta(hours=1), True), (PAUSE / 2, False)])
def test_a_word_while_the_database_was_out_of_reach(
    outage: timedelta, read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deliveries were answered 503 until the platform gave them up. The word has made the bot active all the same.

    Nothing else would ever look at a conversation in which nobody was active. A short outage costs no read.
    """

    monkeypatch.setattr(harness, "POLL_FALLBACK", POLL)

    async def main(loop: VirtualTimeLoop) -> None:
        catalogue = Catalogue({"answers": Flow("answers", _answers)}, "answers")
        async with Stage(loop, switches=Switches(mode="release"), catalogue=catalogue) as stage:
            down = False

            async def store(_: Process, __: str) -> None:
                if down:
                    raise Unavailable("the database is out of reach")

            told: list[Signal] = []
            stage.observe = told.append
            stage.interference = Interference(store=store)
            await stage.start_process()
            visitor, board = stage.sandbox.visitor(), stage.sandbox.switchboard
            await visitor.says("hi")
            await visitor.waits_for("Here you are.")
            await stage.wait(timedelta(minutes=1))
            assert board.holder(visitor.conversation_id) is None
            down = True
            await visitor.says("again")
            await stage.wait(outage)
            assert board.holder(visitor.conversation_id) == BOT
            down = False
            await stage.wait(timedelta(minutes=20))  # it is found, and given up at the idle deadline
            assert board.holder(visitor.conversation_id) is None
            assert bool([signal for signal in told if signal.event == "reconciling"]) is read

    run_virtual(main)
