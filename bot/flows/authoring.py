"""The tools of a flow author: the `flow` decorator, and the values passed to a flow."""

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
    """Base class of the errors that a flow can meet.

    FlowError
    ├── NoAnswer          the timeout expired, or the user ended the conversation
    ├── CallFailed        a function run by `chat.call` failed in every attempt
    ├── JournalMismatch   the journal of a run no longer fits the flow's code
    └── FlowMisuse        an invalid request: a limit, a wrong argument, concurrent steps
    """


class NoAnswer(FlowError):
    """The timeout expired, or the user ended the conversation."""


class CallFailed(FlowError):
    """A function run by `chat.call` failed in its last attempt.

    Attributes:
        function: the function's name.
        error: the exception's type and message, as in `KeyError: 'price'`.
        attempts: the number of attempts made.
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
        """The exception's message."""
        return self.error.partition(": ")[2]


class JournalMismatch(FlowError):
    """The journal's next step differs from the code's: the code changed during the run.

    This ends the run, even if the flow catches it. FLOW_MISMATCH sets what happens next.
    """


class FlowMisuse(FlowError):
    """The flow made an invalid request."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One version of a named flow: a coroutine function that takes a `Chat`."""

    name: str
    function: FlowFunction
    version: int = 1

    @property
    def title(self) -> str:
        """Name and version, for display."""
        return f"{self.name!r} version {self.version}"

    async def __call__(self, chat: Chat) -> None:
        """Run the flow as part of another; the journal records its name and version."""
        begun = await chat._turn.enter(self)  # noqa: SLF001 - not a step for authors
        await begun.run(chat)

    async def run(self, chat: Chat) -> None:
        """Run the flow. Raises `FlowMisuse` if its function is not a coroutine function."""
        running = self.function(chat)
        if not isinstance(running, Awaitable):
            raise FlowMisuse(
                f"flow {self.name!r} is not a coroutine function: define it with `async def`",
            )
        await running


def flow(name: str, version: int = 1) -> Callable[[FlowFunction], Flow]:
    """Turn a coroutine function into a flow.

    Args:
        name: the name used in OPENING_FLOW and CLOSING_FLOW.
        version: a positive integer. New runs use the newest registered version. A run
            keeps the version it began with, so keep the older function until no
            conversation waits in it.

    Raises:
        FlowMisuse: the name is missing or the version is invalid.
    """
    if callable(name):  # the decorator was written without parentheses
        called = getattr(name, "__name__", "name")
        raise FlowMisuse(f'above {called}, write @flow("{called}"): a flow needs a name')
    if not name:
        raise FlowMisuse("a flow needs a name")
    number: object = version
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise FlowMisuse(f"the version of flow {name!r} must be a whole number, at least 1")

    def made(function: FlowFunction) -> Flow:
        return Flow(name, function, version)

    return made


@dataclass(frozen=True, slots=True)
class Router:
    """A function that chooses the flow.

    Attributes:
        function: the function.
        greets: also call it when the widget was opened and nobody has written yet.
    """

    function: RouterFunction
    greets: bool = False


@overload
def router(function: RouterFunction, /) -> Router: ...
@overload
def router(*, greets: bool = False) -> Callable[[RouterFunction], Router]: ...
def router(
    function: RouterFunction | None = None,
    /,
    *,
    greets: bool = False,
) -> Router | Callable[[RouterFunction], Router]:
    """Turn a plain function into the router of `FLOWS`, which chooses the flow.

    It replaces OPENING_FLOW and CLOSING_FLOW. It takes the origin of the run (`Began`)
    and the purpose: "opening" to serve the user, or "closing" after a handback or after
    the user ended the conversation. It returns the flow, the flow's name, or None for no
    flow, in which case control is given up at once. Its result must depend on its
    arguments alone, and it must not block: slow work belongs in a flow.

    Args:
        function: the function, if the decorator is written without parentheses.
        greets: begin a flow when the widget was opened and nobody has written yet
            (`began.kind == "created"`). By default, opening the widget is no contact,
            and nothing happens.
    """

    def made(function: RouterFunction) -> Router:
        return Router(function, greets)

    return made(function) if function else made


@dataclass(frozen=True, slots=True)
class Began(Carrier):
    """The origin of a run.

    It offers the content of the first message as an `Answer` does: `attachments`,
    `location`, `fields`, `metadata`.

    Attributes:
        kind: "message", "postback", "referral", "created" (the widget was opened, and
            nobody has written yet), "handback", "ended", "outside" (started by another
            system) or "reminder".
        text: the user's words or the tapped label, if any; a form's answers as lines.
        payload: the payload of the tapped button.
        reason: the reason of a handback, as the platform gives it ("ticketClosed", …).
        referral: the code of a referral.
        data: the JSON data from another system or a reminder; None if there is none.
        message: the first message (or postback) as the platform posted it, or empty.
        referral_details: all details of a referral, such as the ad, as the platform
            posted them.
        user: the end user, as far as the first event describes them.
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
