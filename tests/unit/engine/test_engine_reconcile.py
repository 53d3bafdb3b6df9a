"""After a pause without webhooks, what others hold is read soon, and one conversation after the other."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from bot.engine.reconcile import PAUSE, SPACING
from bot.flows.catalogue import Catalogue, load_flows
from bot.replay.harness import Stage
from bot.replay.virtual_time import VirtualTimeLoop, run_virtual
from bot.sandbox.switches import Switches
from bot.signals import Signal


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
