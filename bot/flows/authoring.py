"""What a flow author writes with: the `flow` decorator, and the values that a flow gets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from bot.control.state import Purpose
from bot.flows.identity import Conversation, User
from bot.flows.message import Carrier

if TYPE_CHECKING:
    from bot.flows.chat import Chat

FlowFunction = Callable[["Chat"], Awaitable[None]]
RouterFunction = Callable[["Began", Purpose], "Flow | str | None"]


class FlowError(Exception):
    """What can go wrong in a flow, as its author sees it.

    FlowError
    ├── NoAnswer          nobody answered: the time is over, or the user has ended the conversation
    ├── CallFailed        a function run by `chat.call` kept failing
    ├── JournalMismatch   the journal of a run no longer fits the flow's code
    └── FlowMisuse        the flow asked for something that can't be: a limit, a wrong argument, two steps at once
    """


class NoAnswer(FlowError):
    """Nobody answered: the time is over, or the user has ended the conversation."""


class CallFailed(FlowError):
    """A function run by `chat.call` failed in its last attempt.

    Attributes:
        function: its name.
        error: the exception's type and message, as in `KeyError: 'price'`.
        attempts: how often it was tried.
    """

    def __init__(self, function: str, error: str, attempts: int = 1) -> None:
        super().__init__(f"{function} failed: {error}")
        self.function = function
        self.error = error
        self.attempts = attempts

    @property
    def error_type(self) -> str:
        """The name of the exception's type."""
        return self.error.partition(":")[0]

    @property
    def message(self) -> str:
        """What the exception said."""
        return self.error.partition(": ")[2]


class JournalMismatch(FlowError):
    """The journal holds another step than the code wants to take: the code changed while the run was under way.

    It ends the run, even if the flow catches it. What happens then is the operator's choice (FLOW_MISMATCH).
    """


class FlowMisuse(FlowError):
    """The flow asked for something that can't be done."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A named flow in one version: one plain coroutine that takes a `Chat`."""

    name: str
    function: FlowFunction
    version: int = 1

    @property
    def title(self) -> str:
        """Name and version, for people."""
        return f"{self.name!r} version {self.version}"

    async def __call__(self, chat: Chat) -> None:
        """Run the flow as a part of another one: the journal has it under its own name and version."""
        begun = await chat._turn.enter(self)  # noqa: SLF001 - no step of an author's
        await begun.run(chat)

    async def run(self, chat: Chat) -> None:
        """Run the flow. Raises `FlowMisuse`: its function is no coroutine."""
        running = self.function(chat)
        if not isinstance(running, Awaitable):
            raise FlowMisuse(f"flow {self.name!r} is no coroutine function: begin it with `async def`")
        await running


def flow(name: str, version: int = 1) -> Callable[[FlowFunction], Flow]:
    """Make a coroutine function a flow with the name that the settings use.

    Args:
        name: as in OPENING_FLOW and CLOSING_FLOW.
        version: a whole number from 1. New runs begin with the newest version that is registered; a run goes on with
            the version that it began with, so keep the older function until no conversation waits in it.

    Raises:
        FlowMisuse: no name, or no such version.
    """
    if callable(name):  # the decorator without brackets
        called = getattr(name, "__name__", "name")
        raise FlowMisuse(f'above {called}, write @flow("{called}"): a flow needs a name')
    if not name:
        raise FlowMisuse("a flow needs a name")
    number: object = version
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise FlowMisuse(f"the version of flow {name!r} is a whole number, and at least 1")

    def made(function: FlowFunction) -> Flow:
        return Flow(name, function, version)

    return made


@dataclass(frozen=True, slots=True)
class Router:
    """A team's own choice of the flow. `greets`: it also wants to know of a widget that was opened without a word."""

    function: RouterFunction
    greets: bool = False


@overload
def router(function: RouterFunction, /) -> Router: ...
@overload
def router(*, greets: bool = False) -> Callable[[RouterFunction], Router]: ...
def router(
    function: RouterFunction | None = None, /, *, greets: bool = False
) -> Router | Callable[[RouterFunction], Router]:
    """Make a plain function the router of `FLOWS`: it chooses the flow, and not OPENING_FLOW and CLOSING_FLOW.

    The function gets what began it all (`Began`) and the purpose ("opening": to serve the user, "closing": control was
    handed back, or the user has ended the conversation), and gives the flow, its name, or None for no flow: then
    control is given up at once. It decides by its arguments alone, and at once: what takes time belongs into a flow.

    Args:
        function: the function, where the decorator is written without brackets.
        greets: let a flow begin where the widget was opened and nobody has written yet (`began.kind == "created"`).
            Without it that is no contact, and nothing happens.
    """

    def made(function: RouterFunction) -> Router:
        return Router(function, greets)

    return made(function) if function else made


@dataclass(frozen=True, slots=True)
class Began(Carrier):
    """What began the flow.

    It has what the first message carried, as an `Answer` has it: `attachments`, `location`, `fields`, `metadata`.

    Attributes:
        kind: "message", "postback", "referral", "created" (the widget was opened, and nobody has written yet),
            "handback", "ended", "outside" (another system asked for it) or "reminder".
        text: what the user said or tapped, where that began it; a form's answers as lines.
        payload: what the tapped button carries.
        reason: of a handback, as the platform gives it ("ticketClosed", …).
        referral: of a referral, its code.
        data: where another system or a reminder began it: what it was given, as JSON has it; None without any.
        message: the first message (or postback) as the platform posted it; empty where none began it.
        referral_details: all that a referral tells, such as the ad, as the platform posted it.
        user: the end user, as far as what began it tells.
        conversation: the conversation: brand, channel, metadata.
    """

    kind: str
    text: str = ""
    payload: str | None = None
    reason: str | None = None
    referral: str | None = None
    message: Mapping[str, Any] = field(default_factory=dict)
    referral_details: Mapping[str, Any] = field(default_factory=dict)
    user: User = field(default_factory=User)
    conversation: Conversation = field(default_factory=Conversation)
    data: Any = None
