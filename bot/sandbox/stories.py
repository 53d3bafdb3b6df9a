"""The demo's conversations, acted by scripted people in the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.switchboard import BOT
from bot.sandbox.users import Visitor

GREETING = "What can I do for you?"
MORE = "Is there anything else?"
SURVEY = "How did we do?"


@dataclass(frozen=True, slots=True)
class Story:
    """One conversation of the demo.

    Attributes:
        title: a few words on what happens.
        play: plays it up to the user's end, or the last human action.
    """

    title: str
    play: Callable[[Sandbox, Visitor], Awaitable[None]]


async def _ended_mid_flow(_: Sandbox, visitor: Visitor) -> None:
    await visitor.says("Hi")
    await visitor.waits_for(GREETING)
    await visitor.taps("Track my order")
    await visitor.waits_for("order number")
    await visitor.ends()


async def _ended_after_flow(sandbox: Sandbox, visitor: Visitor) -> None:
    await visitor.says("Hello there")
    await visitor.waits_for(GREETING)
    await visitor.taps("Opening hours")
    await visitor.waits_for(MORE)
    await visitor.says("bye")
    await visitor.waits_for("Goodbye")
    await _until_given_up(sandbox, visitor)
    await visitor.ends()


async def _ended_with_agent(sandbox: Sandbox, visitor: Visitor) -> None:
    await visitor.says("Good morning")
    await visitor.waits_for(GREETING)
    await visitor.taps("Talk to a person")
    agent = sandbox.agent()
    await agent.waits_for_ticket(visitor)
    await agent.says("Hello, this is Ada.")
    await visitor.waits_for("this is Ada")
    await visitor.ends()


async def _ticket_closed(sandbox: Sandbox, visitor: Visitor) -> None:
    await visitor.says("I need help")
    await visitor.waits_for(GREETING)
    await visitor.taps("Talk to a person")
    agent = sandbox.agent()
    await agent.waits_for_ticket(visitor)
    await agent.says("All done.")
    await agent.solves()
    await agent.closes()
    if sandbox.switches.mode == "pass":
        await visitor.waits_for(SURVEY)
        await visitor.taps("Good")
        await visitor.waits_for("Thank you!")
    await visitor.waits_until_closed()
    await visitor.ends()


async def _abandoned(sandbox: Sandbox, visitor: Visitor) -> None:
    await visitor.says("Anybody there?")
    await visitor.waits_for(GREETING)
    await _until_given_up(sandbox, visitor)
    await visitor.ends()


async def _flow_raises(sandbox: Sandbox, visitor: Visitor) -> None:
    await visitor.says("crash")
    await _until_given_up(sandbox, visitor)
    await visitor.ends()


async def _flow_hangs(_: Sandbox, visitor: Visitor) -> None:
    await visitor.says("hang")
    await asyncio.sleep(0.5)
    await visitor.ends()


async def _api_fails(sandbox: Sandbox, visitor: Visitor) -> None:
    """The API answers 503 to the first two releases, but the second one takes effect."""
    await visitor.says("Hi, it is me")
    await visitor.waits_for(GREETING)
    left = [Moment.BEFORE, Moment.AFTER]
    path = f"/{visitor.conversation_id}/releaseControl"

    def fail(request: ApiRequest, moment: Moment) -> Fault | None:
        if request.path.endswith(path) and left and moment is left[0]:
            left.pop(0)
            return Fault(status=503)
        return None

    sandbox.server.faults = fail
    await visitor.ends()


async def _until_given_up(sandbox: Sandbox, visitor: Visitor) -> None:
    """Wait until the bot no longer holds control."""

    def look() -> bool | None:
        holder = sandbox.switchboard.holder(visitor.conversation_id)
        return None if holder == BOT else True

    await sandbox.until(look, 15.0, "the bot gives control up")


STORIES = (
    Story("ended in mid-flow", _ended_mid_flow),
    Story("ended after the flow", _ended_after_flow),
    Story("ended with an agent", _ended_with_agent),
    Story("ticket closed", _ticket_closed),
    Story("abandoned", _abandoned),
    Story("flow raises", _flow_raises),
    Story("flow hangs", _flow_hangs),
    Story("API answers 503", _api_fails),
)
