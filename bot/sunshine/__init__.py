"""The client for the Sunshine Conversations API v2, and its errors."""

from bot.sunshine.addresses import check_account_url, check_base_url
from bot.sunshine.calls import LATE, Call, Observer, Timeouts
from bot.sunshine.client import SunshineClient
from bot.sunshine.configuration import Resource
from bot.sunshine.credentials import BasicAuth, Credentials, Scope
from bot.sunshine.errors import (
    Gone,
    Locked,
    NoAnswer,
    NotOurs,
    NotSent,
    RateLimited,
    Refused,
    ServerError,
    SunshineError,
    Unauthorized,
    Unclear,
    to_answer,
)
from bot.sunshine.readings import ConversationSnapshot, MessagePage
from bot.sunshine.transport import AiohttpTransport

__all__ = [
    "LATE",
    "AiohttpTransport",
    "BasicAuth",
    "Call",
    "ConversationSnapshot",
    "Credentials",
    "Gone",
    "Locked",
    "MessagePage",
    "NoAnswer",
    "NotOurs",
    "NotSent",
    "Observer",
    "RateLimited",
    "Refused",
    "Resource",
    "Scope",
    "ServerError",
    "SunshineClient",
    "SunshineError",
    "Timeouts",
    "Unauthorized",
    "Unclear",
    "check_account_url",
    "check_base_url",
    "to_answer",
]
