"""A stage on which a test plays one flow, and what the tests ask of it afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from bot import Chat, Flow, FlowMisuse
from bot.control.policy import Policy
from bot.flows.catalogue import Catalogue
from bot.observability import loop_error_handler
from bot.replay.harness import Process, Stage
from bot.replay.virtual_time import VirtualTimeLoop, run_virtual
from bot.sandbox.records import Caller
from bot.sandbox.scripted_people import Visitor
from bot.sandbox.switchboard import BOT, WORKSPACE
from bot.sandbox.switches import Switches
from bot.signals import Signal

T = TypeVar("T")
FlowFunction = Callable[[Chat], Coroutine[Any, Any, None]]

LONG = 3600.0
MODES = ("release", "pass")

SHORTHANDS = [
    "%((switchboard:passControl))%",
    "%((switchboard:passControl:zd-agentWorkspace))%",
    "%((SWITCHBOARD:PASSCONTROL))%",
    "% (( switchboard : passControl ))%",
    "%( (switchboard:passControl) )%",
    "%\n((switchboard:passControl))%",
    "%%((switchboard:passControl))%",
    "%((%((switchboard:passControl))%switchboard:passControl))%",
]
LIVE = re.compile(r"%\s*\(\s*\(")
"""How a shorthand that moves control begins."""


class Play:
    """A stage with one process, one visitor, and the signals that the bot gave."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.signals: list[Signal] = []
        self.visitor: Visitor = stage.sandbox.visitor()
        stage.observe = self.signals.append
        stage.loop.set_exception_handler(loop_error_handler(self.signals.append))

    @property
    def transcript(self) -> list[str]:
        """What was said, with the speaker, in its order."""
        return [transcribed(message) for message in self.visitor.messages if message.activity is None]

    @property
    def bots(self) -> list[str]:
        """What the bot said."""
        return [line.removeprefix("bot: ") for line in self.transcript if line.startswith("bot: ")]

    @property
    def holder(self) -> str | None:
        """Who is active now."""
        return self.stage.sandbox.switchboard.history.holder_at(self.visitor.conversation_id, self.stage.clock.now())

    @property
    def failures(self) -> list[str]:
        """Why flows failed."""
        return [str(signal.fields["detail"]) for signal in self.signals if signal.event == "flow_failed"]

    async def given_up(self, within: float = LONG) -> float:
        """Wait until the bot is not active any more, and say how many seconds that took."""
        began = self.stage.clock.now()
        await self.stage.sandbox.until(lambda: None if self.holder == BOT else True, within, "control is given up")
        return (self.stage.clock.now() - began).total_seconds()

    async def closed(self, within: timedelta = timedelta(hours=1)) -> None:
        """Assert that everything comes to rest, and that an ended conversation is proven closed."""
        assert await self.stage.quiet(within)
        for conversation_id in self.stage.ended():
            assert not self.stage.sandbox.switchboard.is_open(conversation_id)
            state = await self.stage.state(conversation_id)
            assert state is not None
            assert state.ended is not None
            assert state.ended.proof is not None

    def replaced(self, process: Process) -> None:
        """Let another process take over from one that dies."""
        self.stage.loop.create_task(self.stage.start_process())
        process.die_here()


async def interrupted(played: Play, how: str) -> None:
    """Let something happen a second into a flow; after a "deadline" or "" nothing does but that time passes."""
    board, now = played.stage.sandbox.switchboard, played.stage.clock.now
    conversation_id = played.visitor.conversation_id
    await played.stage.wait(timedelta(seconds=1))
    match how:
        case "end":
            await played.visitor.ends()
        case "loss":
            board.pass_control(conversation_id, Caller("somebody", "app"), WORKSPACE, now())
        case "agent":
            board.agent_says(conversation_id, "I take this one.", now=now())
        case "removal":
            board.remove_conversation(conversation_id, now=now())
        case _:
            assert how in ("deadline", "")


def transcribed(message: Any) -> str:
    """A message as a line of the transcript."""
    return f"{'bot' if message.author['type'] == 'business' else 'user'}: {message.text}"


def play(
    script: Callable[[Play], Coroutine[Any, Any, T]],
    opening: FlowFunction | None = None,
    closing: FlowFunction | None = None,
    *,
    mode: str = "release",
    policy: Policy | None = None,
    **switches: Any,
) -> T:
    """Play a script with these functions as flows, in virtual time."""
    flows = {name: Flow(name, function) for name, function in (("opening", opening), ("closing", closing)) if function}
    catalogue = Catalogue(flows, "opening" if opening else "", "closing" if closing else "")
    given = replace(policy or Policy(me=BOT, app_key=True), opens=bool(opening), closes=bool(closing))

    async def whole(loop: VirtualTimeLoop) -> T:
        positions = Switches(**{"mode": mode, **switches})
        async with Stage(loop, switches=positions, catalogue=catalogue, policy=given) as stage:
            await stage.start_process()
            return await script(Play(stage))

    return run_virtual(whole)


def assert_misuse(misuse: Callable[[Chat], Coroutine[Any, Any, Any]], words: str) -> None:
    """Assert that a step is refused with these words, that nothing is said, and that control is given up."""
    caught: list[str] = []

    async def flow(chat: Chat) -> None:
        try:
            await misuse(chat)
        except FlowMisuse as error:
            caught.append(str(error))
            raise

    flow.__module__ = misuse.__module__  # so that functions of the test's module may be called when it is over

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        assert await played.given_up() < 5
        assert words in caught[0]
        assert words in played.failures[0]
        assert played.bots == []

    play(script, flow)
