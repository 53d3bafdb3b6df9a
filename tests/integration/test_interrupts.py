"""How fast a running turn is cut off: in real time, over real HTTP, on a real database file."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from types import ModuleType

import pytest
from loop_clock import LoopClock
from tiers import some

from bot import Chat, flow
from bot.app import running
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Moment
from bot.sandbox.records import Caller
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.scripted_people import Visitor
from bot.sandbox.switchboard import WORKSPACE
from bot.sandbox.switches import Switches
from bot.settings import load_settings

LIMIT = 0.1  # seconds of the loop; the median of some conversations, since a commit may take long
ROUNDS = 5
MODULE = "flows_of_interrupts"

cut_off: dict[str, float] = {}
began: dict[str, float] = {}
freed = threading.Event()
clock = LoopClock()


async def _waits(conversation_id: str) -> None:
    began[conversation_id] = clock.now
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        cut_off[conversation_id] = clock.now


@flow("waits")
async def waits(chat: Chat) -> None:
    """Hangs in a call, and notes when it is cut off."""
    await chat.say("One moment.")
    await chat.call(_waits, chat.conversation_id)


@flow("blocks_thread")
async def blocks_thread(chat: Chat) -> None:
    """Hangs in a plain function, which no one can cut off."""
    await chat.say("One moment.")
    await chat.call(freed.wait, 30)
    await chat.say("too late")


@flow("blocks_loop")
async def blocks_loop(chat: Chat) -> None:
    """Does what no flow must do."""
    await chat.say("One moment.")
    await chat.call(asyncio.sleep, 0.3)
    time.sleep(1)  # noqa: ASYNC251 - what the test is about
    await chat.call(_waits, chat.conversation_id)


@pytest.fixture(autouse=True)
def _forget() -> None:
    cut_off.clear()
    began.clear()


@asynccontextmanager
async def _bot(sandbox: Sandbox, folder: Path, opening: str, **changes: str) -> AsyncIterator[None]:
    module = ModuleType(MODULE)
    vars(module).update(waits=waits, blocks_thread=blocks_thread, blocks_loop=blocks_loop)
    sys.modules[MODULE] = module
    given = {**sandbox.settings_for_bot(), "FLOWS": MODULE, "OPENING_FLOW": opening, "HOST": "127.0.0.1", "PORT": "0"}
    given |= {"DATABASE_URL": f"sqlite:///{folder / 'bot.db'}", "RELEASE_GRACE": "1s", **changes}
    settings = load_settings(**{name.lower(): value for name, value in given.items()})
    _migrate(folder)
    async with clock.running(), running(settings, hooks=()) as bot:
        sandbox.connect(f"http://127.0.0.1:{bot.port}/webhooks/sunshine")
        yield
    del sys.modules[MODULE]


def _migrate(folder: Path) -> None:
    from bot.store.migrations import migrate

    migrate(f"sqlite:///{folder / 'bot.db'}")


async def _interrupt(sandbox: Sandbox, visitor: Visitor, how: str) -> float:
    """Do it, and say when."""
    board, now = sandbox.switchboard, sandbox.clock.now
    at = clock.now
    match how:
        case "end":
            await visitor.ends()
        case "loss":
            board.pass_control(visitor.conversation_id, Caller("desk", "app"), WORKSPACE, now())
        case "agent":
            board.agent_says(visitor.conversation_id, "I take this one.", now=now())
        case _:
            at = began[visitor.conversation_id] + 1.0  # FLOW_IDLE_TIMEOUT
    return at


async def _noted(times: dict[str, float], conversation_id: str) -> float:
    """When it was, as soon as it has been."""
    async with asyncio.timeout(60):
        while conversation_id not in times:  # noqa: ASYNC110 - noted by a flow, which knows nothing of this test
            await asyncio.sleep(0.001)
    return times[conversation_id]


@pytest.mark.parametrize("mode", some(["pass", "release"]))
@pytest.mark.parametrize("how", ["end", "loss", "agent", "deadline"])
async def test_a_turn_is_cut_off_within_a_tenth_of_a_second(how: str, mode: str, tmp_path: Path) -> None:
    """In the middle of a call that would never end. The machine may be busy: only time in which the loop ran counts."""
    seconds = []
    idle = "1s" if how == "deadline" else "1m"
    sandbox = Sandbox(switches=Switches(mode=mode))  # type: ignore[arg-type]
    async with sandbox, _bot(sandbox, tmp_path, "waits", FLOW_IDLE_TIMEOUT=idle):
        for _ in range(ROUNDS):
            visitor = sandbox.visitor()
            await visitor.says("hi")
            await visitor.waits_for("One moment.")
            await _noted(began, visitor.conversation_id)
            at = await _interrupt(sandbox, visitor, how)
            seconds.append(await _noted(cut_off, visitor.conversation_id) - at)
    assert median(seconds) < LIMIT, seconds


@pytest.mark.parametrize("opening", ["blocks_thread", "blocks_loop"])
async def test_a_release_waits_for_no_function_that_blocks(opening: str, tmp_path: Path) -> None:
    """A thread is left alone, and what blocks the event loop for a second costs that second."""
    requests: list[tuple[str, float]] = []

    def note(request: ApiRequest, moment: Moment) -> None:
        if moment is Moment.BEFORE:
            requests.append((request.operation, clock.now))

    freed.clear()
    async with Sandbox(switches=Switches(mode="pass")) as sandbox:
        sandbox.server.faults = note
        async with _bot(sandbox, tmp_path, opening):
            visitor = sandbox.visitor()
            await visitor.says("hi")
            await visitor.waits_for("One moment.")
            await visitor.ends()
            at = clock.now
            await visitor.waits_until_closed(60)
            (released,) = [when for operation, when in requests if operation == "ReleaseControl"]
            assert released - at < 1.0
            freed.set()
            await asyncio.sleep(0.2)
            assert "too late" not in [message.text for message in visitor.messages]
