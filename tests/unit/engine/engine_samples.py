"""A stage for the engine's tests: flows, faults, deaths, and what must be true afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bot import Chat, Flow, NoAnswer
from bot.control.policy import Policy
from bot.engine.delivery import EFFECT_KEY
from bot.flows.catalogue import Catalogue
from bot.observability import loop_error_handler
from bot.replay.harness import Process, Stage
from bot.replay.virtual_time import VirtualTimeLoop, run_virtual
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.history import Entry, Kind
from bot.sandbox.scripted_people import Visitor
from bot.sandbox.switchboard import BOT
from bot.sandbox.switches import Switches
from bot.signals import Level, Signal

T = TypeVar("T")
FlowFunction = Callable[[Chat], Coroutine[Any, Any, None]]

MODES = ("release", "pass")
LONG = 3600.0
POST, RELEASE, PASS, READ, LIST = "PostMessage", "ReleaseControl", "PassControl", "GetConversation", "ListMessages"
QUICK = Policy(
    me=BOT, app_key=True, grace=timedelta(seconds=5), idle=timedelta(minutes=2), closing=timedelta(seconds=40)
)


class Scene:
    """What a test of the engine plays with.

    Attributes:
        calls: (virtual seconds, operation) of every API call, in order, as it left the bot.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.signals: list[Signal] = []
        self.calls: list[tuple[float, str]] = []
        self.faulty: Callable[[str, Moment, int], Fault | None] = lambda *_: None
        self._counts: Counter[str] = Counter()
        stage.observe = self.signals.append
        stage.loop.set_exception_handler(loop_error_handler(self.signals.append))
        stage.sandbox.server.faults = self._faults
        self.visitor: Visitor = stage.sandbox.visitor()

    def _faults(self, request: ApiRequest, moment: Moment) -> Fault | None:
        operation = request.operation
        if moment is Moment.BEFORE:
            self._counts[operation] += 1
            self.calls.append((self.stage.loop.time(), operation))
        return self.faulty(operation, moment, self._counts[operation])

    @property
    def now(self) -> datetime:
        """The virtual time."""
        return self.stage.clock.now()

    @property
    def operations(self) -> list[str]:
        """The API calls so far."""
        return [operation for _, operation in self.calls]

    def times(self, operation: str) -> list[float]:
        """When an operation was called."""
        return [at for at, name in self.calls if name == operation]

    def events(self, *names: str) -> list[Signal]:
        """The signals of these names."""
        return [signal for signal in self.signals if signal.event in names]

    @property
    def troubles(self) -> list[Signal]:
        """The signals that somebody should look at."""
        return [signal for signal in self.signals if signal.level in (Level.WARNING, Level.ERROR)]

    def bots(self, visitor: Visitor | None = None) -> list[str]:
        """What the bot said."""
        shown = (visitor or self.visitor).messages
        return [message.text for message in shown if EFFECT_KEY in (message.metadata or {})]

    def holder(self, visitor: Visitor | None = None) -> str | None:
        """Who is active."""
        return self.stage.sandbox.switchboard.holder((visitor or self.visitor).conversation_id)

    async def given_up(self, within: float = LONG) -> None:
        """Wait until the bot is not active any more."""
        await self.stage.sandbox.until(lambda: None if self.holder() == BOT else True, within, "control is given up")

    async def replace_process(self) -> None:
        """Another process."""
        await self.stage.start_process()

    def dies_here(self, process: Process) -> None:
        """The process dies, and another one starts."""
        self.stage.loop.create_task(self.replace_process())
        process.die_here()

    async def closed(self, within: timedelta = timedelta(hours=1)) -> None:
        """Wait for rest, and assert G1, G3 and G4 for every conversation."""
        assert await self.stage.quiet(within), "it never came to rest"
        history = self.stage.sandbox.switchboard.history
        for conversation_id in self.stage.ended():
            assert not self.stage.sandbox.switchboard.is_open(conversation_id), "an ended conversation is open"
            state = await self.stage.state(conversation_id)
            assert state is not None
            assert state.ended is not None
            assert state.ended.proof is not None
        for conversation_id in history.conversations():
            self._nothing_doubled_nothing_late(history.of(conversation_id))

    def _nothing_doubled_nothing_late(self, entries: Sequence[Entry]) -> None:
        said = [entry for entry in entries if entry.kind is Kind.MESSAGE and EFFECT_KEY in entry.metadata]
        ids = Counter(entry.metadata[EFFECT_KEY] for entry in said)
        assert not [effect for effect, count in ids.items() if count > 1], "a message was doubled"
        texts = Counter(entry.text for entry in said if not entry.text.startswith("again"))
        assert not [text for text, count in texts.items() if count > 1], "something was said twice"
        late = [entry.text for entry in said if entry.ended and not entry.text.startswith("closing")]
        assert late == [], "something was said after the end"


async def opening(chat: Chat) -> None:
    """Greets, asks, looks something up, tells it."""
    await chat.say("Welcome.")
    name = await chat.ask("Your name?", choices=["Ada", "Bob"])
    size = await chat.call(len, name.text)
    await chat.say(f"{name.text}: {size} letters.")
    await chat.ask("Anything else?")


async def closing(chat: Chat) -> None:
    """A short survey."""
    try:
        score = await chat.ask("closing: how was it?", timeout=timedelta(seconds=10))
    except NoAnswer:
        await chat.say("closing: no answer")
        return
    await chat.say(f"closing: thanks for {score.text}")


def act(
    script: Callable[[Scene], Coroutine[Any, Any, T]],
    opens: FlowFunction | None = opening,
    closes: FlowFunction | None = closing,
    *,
    mode: str = "release",
    policy: Policy = QUICK,
    processes: int = 1,
    batch: int = 1,
    **switches: Any,
) -> T:
    """Play a script in virtual time, with these functions as flows."""
    flows = {name: Flow(name, function) for name, function in (("opening", opens), ("closing", closes)) if function}
    catalogue = Catalogue(flows, "opening" if opens else "", "closing" if closes else "")
    given = replace(policy, opens=bool(opens), closes=bool(closes))

    async def whole(loop: VirtualTimeLoop) -> T:
        positions = Switches(**{"mode": mode, **switches})
        async with Stage(loop, switches=positions, catalogue=catalogue, policy=given, batch=batch) as stage:
            scene = Scene(stage)
            for _ in range(processes):
                await stage.start_process()
            return await script(scene)

    return run_virtual(whole)


async def whole_conversation(scene: Scene) -> None:
    """A visitor who opens, answers, and ends in the middle."""
    visitor = scene.visitor
    await visitor.says("hi")
    await visitor.waits_for("name?", LONG)
    await visitor.taps("Ada")
    await visitor.waits_for("else?", LONG)
    await visitor.ends()
    await scene.closed()


async def lasts(seconds: float) -> None:
    """A slow function."""
    await asyncio.sleep(seconds)
