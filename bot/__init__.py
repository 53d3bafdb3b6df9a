"""switchboard-bot: a custom bot that guarantees that control of an ended conversation is released.

This is the face for flow authors: `flow` makes a coroutine a flow, `Chat` is what it talks through.
"""

from bot.flows.authoring import Answer, Began, CallFailed, Flow, FlowError, FlowMisuse, NoAnswer, User, flow
from bot.flows.chat import Chat, Choice

__all__ = [
    "Answer",
    "Began",
    "CallFailed",
    "Chat",
    "Choice",
    "Flow",
    "FlowError",
    "FlowMisuse",
    "NoAnswer",
    "User",
    "flow",
]
