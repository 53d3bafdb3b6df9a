"""A local stand-in for the platform: a pure model behind a server with the real API.

`Sandbox` combines all parts. A simulation uses the pure parts (`Switchboard`, `Api`,
`SandboxTransport`). It sends the events of `Switchboard.drain()` itself, or by a `Sender`
with its own `post`.
"""

from bot.sandbox.api import Api, ApiReply, ApiRequest
from bot.sandbox.deliveries import (
    TRIGGERS,
    Attempt,
    Post,
    Sender,
    batches,
    envelope,
    next_attempt_in,
)
from bot.sandbox.errors import ApiError, NotPossibleError
from bot.sandbox.faults import BrokenConnectionError, Fault, Faults, Moment
from bot.sandbox.history import Cause, Entry, History, Kind
from bot.sandbox.keys import Key, Keys
from bot.sandbox.records import (
    Caller,
    Conversation,
    Delivery,
    Ids,
    Message,
    SwitchboardIntegration,
    Ticket,
    TicketStatus,
    User,
    Webhook,
)
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.server import Server
from bot.sandbox.switchboard import (
    ANSWERS,
    BOT,
    WORKSPACE,
    Switchboard,
    standard_switchboard,
)
from bot.sandbox.switches import Switches
from bot.sandbox.transport import SandboxTransport
from bot.sandbox.users import Agent, Visitor

__all__ = [
    "ANSWERS",
    "BOT",
    "TRIGGERS",
    "WORKSPACE",
    "Agent",
    "Api",
    "ApiError",
    "ApiReply",
    "ApiRequest",
    "Attempt",
    "BrokenConnectionError",
    "Caller",
    "Cause",
    "Conversation",
    "Delivery",
    "Entry",
    "Fault",
    "Faults",
    "History",
    "Ids",
    "Key",
    "Keys",
    "Kind",
    "Message",
    "Moment",
    "NotPossibleError",
    "Post",
    "Sandbox",
    "SandboxTransport",
    "Sender",
    "Server",
    "Switchboard",
    "SwitchboardIntegration",
    "Switches",
    "Ticket",
    "TicketStatus",
    "User",
    "Visitor",
    "Webhook",
    "batches",
    "envelope",
    "next_attempt_in",
    "standard_switchboard",
]
