"""switchboard-bot: a custom bot that guarantees that control of an ended conversation is released.

This is the public API for flow authors: `flow` registers a coroutine as a flow, and `Chat` is its
interface to the conversation.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.control.state import Outcome, Purpose
    from bot.flows.answer import Answer
    from bot.flows.authoring import (
        Began,
        CallFailed,
        Flow,
        FlowError,
        FlowMisuse,
        JournalMismatch,
        NoAnswer,
        Router,
        flow,
        router,
    )
    from bot.flows.calls import Call
    from bot.flows.chat import Chat, CleanUpHandle
    from bot.flows.content import (
        Button,
        Card,
        Carousel,
        Choice,
        Content,
        EmailField,
        File,
        Form,
        FormField,
        Image,
        Link,
        LocationRequest,
        SelectField,
        Text,
        TextField,
    )
    from bot.flows.defuse import Markup, markup
    from bot.flows.handlers import anywhere, every_turn, lifespan, on_error
    from bot.flows.identity import Conversation, User
    from bot.flows.message import Attachment, Location

__all__ = [
    "Answer",
    "Attachment",
    "Began",
    "Button",
    "Call",
    "CallFailed",
    "Card",
    "Carousel",
    "Chat",
    "Choice",
    "CleanUpHandle",
    "Content",
    "Conversation",
    "EmailField",
    "File",
    "Flow",
    "FlowError",
    "FlowMisuse",
    "Form",
    "FormField",
    "Image",
    "JournalMismatch",
    "Link",
    "Location",
    "LocationRequest",
    "Markup",
    "NoAnswer",
    "Outcome",
    "Purpose",
    "Router",
    "SelectField",
    "Text",
    "TextField",
    "User",
    "anywhere",
    "every_turn",
    "flow",
    "lifespan",
    "markup",
    "on_error",
    "router",
]

_HOMES = (
    "bot.flows.authoring",
    "bot.flows.content",
    "bot.flows.answer",
    "bot.flows.calls",
    "bot.flows.chat",
    "bot.flows.defuse",
    "bot.flows.handlers",
    "bot.flows.message",
    "bot.flows.outcome",
    "bot.flows.identity",
    "bot.control.state",
)


def __getattr__(name: str) -> object:
    """Import a name on first use: test runs load the pytest plugin, which must cost nothing."""
    if name in __all__:
        for home in map(import_module, _HOMES):
            if hasattr(home, name):
                globals()[name] = getattr(home, name)
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
