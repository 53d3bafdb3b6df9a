"""Makes the tapes of this folder: scripted people on the sandbox, in virtual time, with the real bot.

After a change of the sandbox or of the flows: `python tests/tapes/make_tapes.py`. The same code makes the same bytes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from bot.control.policy import Policy
from bot.flows.catalogue import Catalogue, load_flows
from bot.replay.harness import Stage
from bot.replay.virtual_time import VirtualTimeLoop, run_virtual
from bot.sandbox.faults import Fault
from bot.sandbox.records import Caller
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.sandbox.switches import Switches
from bot.sandbox.users import Agent, Visitor
from bot.tape import TapedDelivery, write_tape

FOLDER = Path(__file__).parent
FLOWS = ("bot.sandbox.demo_flows", "bot.flows.survey")
ELSEWHERE = Caller("another system", "app")
GREETING = "What can I do for you?"
NETWORK = 0.03  # seconds, each way


@dataclass(slots=True)
class Scene:
    """A stage with one visitor, one agent, and the hands of the platform."""

    stage: Stage
    visitor: Visitor
    agent: Agent

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        await self.stage.wait(timedelta(seconds=seconds))

    async def until_given_up(self) -> None:
        """Wait until the bot does not hold control any more."""
        sandbox = self.stage.sandbox

        def look() -> bool | None:
            return None if sandbox.switchboard.holder(self.visitor.conversation_id) == BOT else True

        await sandbox.until(look, 3600, "the bot gives control up")

    async def to_agent(self) -> None:
        """Come as far as to an agent who has answered."""
        await self.greeted()
        await self.visitor.taps("Talk to a person")
        await self.agent.waits_for_ticket(self.visitor)
        await self.wait(20)
        await self.agent.says("Hello, this is Ada.")
        await self.wait(10)

    async def greeted(self, text: str = "Hi") -> None:
        """Open the conversation, and wait for the greeting."""
        await self.visitor.says(text)
        await self.visitor.waits_for(GREETING)
        await self.wait(4)

    def passes(self, target: str) -> None:
        """Another system passes control."""
        board = self.stage.sandbox.switchboard
        board.pass_control(self.visitor.conversation_id, ELSEWHERE, target, self.stage.clock.now())


@dataclass(frozen=True, slots=True)
class Tape:
    """How a tape is made."""

    name: str
    note: str
    mode: str
    play: Callable[[Scene], Awaitable[None]]
    closing: str = ""
    pass_to: str = WORKSPACE
    switches: Mapping[str, object] = field(default_factory=dict)
    deliver: Callable[[int], float] = lambda _: 0.0  # more seconds on the way, by the number of the delivery
    lost: Callable[[bytes], bool] = lambda _: False


async def _ends_mid_flow(scene: Scene) -> None:
    await scene.greeted()
    await scene.visitor.taps("Track my order")
    await scene.visitor.waits_for("order number")
    await scene.wait(6)
    await scene.visitor.ends()


async def _flow_completes(scene: Scene) -> None:
    await scene.greeted()
    await scene.visitor.taps("Opening hours")
    await scene.visitor.waits_for("anything else")
    await scene.visitor.says("bye")
    await scene.until_given_up()
    await scene.wait(5)
    await scene.visitor.ends()


async def _flow_raises(scene: Scene) -> None:
    await scene.visitor.says("crash")
    await scene.until_given_up()
    await scene.wait(5)
    await scene.visitor.ends()


async def _flow_hangs(scene: Scene) -> None:
    await scene.visitor.says("hang")
    await scene.wait(30)
    await scene.visitor.ends()


async def _flow_hangs_for_ever(scene: Scene) -> None:
    await scene.visitor.says("hang")
    await scene.until_given_up()
    await scene.wait(5)
    await scene.visitor.ends()


async def _ends_with_agent(scene: Scene) -> None:
    await scene.to_agent()
    await scene.visitor.ends()


async def _ticket_closed(scene: Scene) -> None:
    await scene.to_agent()
    await scene.agent.solves()
    await scene.wait(60)
    await scene.agent.closes()
    await scene.wait(3)
    if scene.stage.sandbox.switches.mode == "pass":
        await scene.visitor.taps("Good")
        await scene.wait(3)
    await scene.visitor.ends()


async def _handed_back_after_end(scene: Scene) -> None:
    await scene.to_agent()
    await scene.visitor.ends()
    await scene.wait(5)


async def _transfer_to_email(scene: Scene) -> None:
    await scene.to_agent()
    await scene.agent.transfers_to_email()
    await scene.wait(40)
    await scene.visitor.ends()


async def _another_takes(scene: Scene) -> None:
    await scene.greeted()
    await scene.wait(30)
    scene.passes("zd-answerBot")
    await scene.wait(30)
    await scene.visitor.ends()


async def _agent_writes(scene: Scene) -> None:
    await scene.greeted()
    now = scene.stage.clock.now()
    scene.stage.sandbox.switchboard.agent_says(scene.visitor.conversation_id, "I take it from here.", now)
    await scene.until_given_up()
    await scene.wait(20)
    await scene.visitor.ends()


async def _abandoned(scene: Scene) -> None:
    await scene.greeted()
    await scene.until_given_up()
    await scene.wait(60)
    await scene.visitor.ends()


async def _removed(scene: Scene) -> None:
    await scene.greeted()
    board, now = scene.stage.sandbox.switchboard, scene.stage.clock.now()
    board.remove_conversation(scene.visitor.conversation_id, now=now)


async def _user_removed(scene: Scene) -> None:
    await scene.greeted()
    scene.stage.sandbox.switchboard.remove_user(scene.visitor.user.id, now=scene.stage.clock.now())


async def _widget_opened(scene: Scene) -> None:
    await scene.visitor.opens()
    await scene.until_given_up()
    await scene.wait(10)
    await scene.visitor.ends()


async def _ends_at_once(scene: Scene) -> None:
    await scene.visitor.says("Hi")
    await scene.visitor.ends()


def _told_of_control(body: bytes) -> bool:
    return b'"switchboard:' in body


TAPES = (
    Tape("flow_complete_release", "The flow is complete: release.", "release", _flow_completes),
    Tape("flow_complete_pass", "The flow is complete: pass to PASS_TO, and watch.", "pass", _flow_completes),
    Tape("flow_raises_release", "The flow raises: release.", "release", _flow_raises),
    Tape("flow_raises_pass", "The flow raises: pass to PASS_TO.", "pass", _flow_raises),
    Tape("flow_hangs", "The flow hangs until it is stopped: release.", "release", _flow_hangs_for_ever),
    Tape("pass_declined", "Passing is declined, three times: release.", "pass", _flow_raises, pass_to="nobody-there"),
    Tape("ended_mid_flow_release", "The user ends in mid-flow; the platform releases.", "release", _ends_mid_flow),
    Tape("ended_mid_flow", "The user ends in mid-flow, and the bot has to release.", "pass", _ends_mid_flow),
    Tape("ended_while_hanging", "The user ends while the flow hangs: it is stopped.", "pass", _flow_hangs),
    Tape("ended_survey", "The user ends; the closing flow asks nobody; release.", "pass", _ends_mid_flow, "survey"),
    Tape(
        "ended_control_event_lost",
        "The user ends, and no event tells that the platform has released: the bot reads after the grace.",
        "release",
        _ends_mid_flow,
        switches={"end_control_event": "lost"},
    ),
    Tape("ended_with_agent_release", "The user ends while an agent has it.", "release", _ends_with_agent),
    Tape(
        "ended_with_agent_kept",
        "The user ends while an agent has it, and the agent workspace has no next: the app key releases.",
        "pass",
        _ends_with_agent,
        switches={"end_while_bot_active_in_pass": "stays", "pass_without_next": "stays"},
    ),
    Tape("handed_back_after_end", "The end hands control back: closing flow, release.", "pass", _handed_back_after_end,
         "survey"),
    Tape("ticket_closed_release", "The ticket is closed; the platform releases.", "release", _ticket_closed),
    Tape("ticket_closed_pass", "The ticket is closed; survey, answered; release.", "pass", _ticket_closed, "survey"),
    Tape("transfer_to_email", "Handed back by a transfer to e-mail: release.", "pass", _transfer_to_email, "survey"),
    Tape("another_takes", "Another integration takes control while the bot asks.", "release", _another_takes),
    Tape("agent_writes", "An agent writes while the bot holds: pass to the agent.", "release", _agent_writes),
    Tape("abandoned_release", "Nobody answers: release after FLOW_IDLE_TIMEOUT.", "release", _abandoned),
    Tape("abandoned_pass", "Nobody answers: pass after FLOW_IDLE_TIMEOUT.", "pass", _abandoned),
    Tape("widget_opened", "The widget is opened and nobody writes: release at the deadline.", "release",
         _widget_opened),
    Tape("conversation_removed", "The conversation is removed: forget it.", "release", _removed),
    Tape("user_removed", "The user is removed: forget the conversation.", "pass", _user_removed),
    Tape(
        "late_deliveries",
        "Every third delivery comes 12 seconds late, and so after newer ones.",
        "pass",
        _ends_with_agent,
        deliver=lambda number: 12.0 if number % 3 == 0 else 0.0,
    ),
    Tape("control_events_lost", "No control event arrives at all.", "pass", _flow_completes, lost=_told_of_control),
    Tape("ended_at_once", "The user ends before the bot has said anything.", "pass", _ends_at_once, "survey"),
)  # fmt: skip


def make(tape: Tape) -> list[TapedDelivery]:
    """Play a story, and record what the bot took."""
    return run_virtual(lambda loop: _record(tape, loop))


async def _record(tape: Tape, loop: VirtualTimeLoop) -> list[TapedDelivery]:
    switches = Switches(**{"mode": tape.mode, **tape.switches})  # type: ignore[arg-type]
    catalogue = Catalogue(load_flows(FLOWS), "demo", tape.closing)
    policy = Policy(me=BOT, closes=bool(tape.closing), app_key=True)
    stage = Stage(loop, switches=switches, catalogue=catalogue, policy=policy)
    if tape.pass_to != WORKSPACE:
        stage.policy = replace(stage.policy, mode=replace(stage.policy.mode, pass_to=tape.pass_to))
    if tape.name == "ended_with_agent_kept":
        board = stage.sandbox.switchboard
        workspace = board.member(WORKSPACE)
        board.members[workspace.id] = replace(workspace, next_id=None)
    taken: list[TapedDelivery] = []
    posted = stage.sandbox.sender._post
    number = 0

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
        nonlocal number
        number += 1
        await asyncio.sleep(NETWORK + tape.deliver(number))
        if tape.lost(body):
            return 200
        assert posted is not None
        came = stage.clock.now()
        status = await posted(url, headers, body)
        note = tape.note if not taken else ""
        taken.append(TapedDelivery(came, json.loads(body), note))
        return status

    stage.sandbox.sender._post = post
    stage.sandbox.server.faults = lambda *_: Fault(delay=NETWORK)
    async with stage:
        await stage.start_process()
        await tape.play(Scene(stage, stage.sandbox.visitor(), stage.sandbox.agent()))
        assert await stage.quiet(timedelta(hours=30)), tape.name
        await stage.wait(timedelta(seconds=1))
    return taken


def main() -> None:
    """Make all tapes."""
    for old in FOLDER.glob("*.jsonl"):
        old.unlink()
    for tape in TAPES:
        write_tape(FOLDER / f"{tape.name}.jsonl", make(tape))


if __name__ == "__main__":
    main()
