"""The known shape of a delivery: the places and values that a scrubbed tape keeps.

All other places and values become stand-ins. Kept is what the bot and the replay base
decisions on: types, reasons, times, holders. Source: the published API ("Webhooks", the
event schemas).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from bot.engine.delivery import EFFECT_KEY
from webhooks.events import EVENT_TYPES


class Rule(Enum):
    """What to do with a value in a known place."""

    ID = "id"
    TIME = "time"
    FLAG = "flag"
    EFFECT = "effect"  # the bot's own marker: a conversation's id and a number
    ROLE = "role"  # the name of a switchboard integration
    NAME = "name"
    EMAIL = "email"
    URL = "url"
    PAYLOAD = "payload"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Word:
    """A text that is kept if it is one of a set.

    Attributes:
        known: the values to keep.
        otherwise: the rule for all others.
    """

    known: frozenset[str]
    otherwise: Rule = Rule.TEXT


@dataclass(frozen=True, slots=True)
class Many:
    """A list of values of one shape."""

    each: Shape


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with its known keys. Unknown keys keep only `prefix`, if they have it."""

    known: dict[str, Shape]
    prefix: str = ""


Shape: TypeAlias = Rule | Word | Many | Fields


def _word(*known: str, otherwise: Rule = Rule.TEXT) -> Word:
    return Word(frozenset(known), otherwise)


ROLES = frozenset(
    {
        "switchboard-bot",
        "zd-agentWorkspace",
        "zd-answerBot",
        "zd:agentWorkspace",
        "zd:answerBot",
    }
)
"""Names of switchboard integrations that reveal nothing about an account."""

_CHANNELS = _word(
    *(
        "android",
        "api",
        "api:conversations",
        "apple",
        "custom",
        "gbm",
        "googlercs",
        "instagram",
        "ios",
        "kakao",
        "line",
    ),
    *(
        "mailgun",
        "messagebird",
        "messenger",
        "sdk",
        "slackconnect",
        "telegram",
        "twilio",
        "twitter",
        "unity",
        "viber",
    ),
    *("web", "wechat", "whatsapp", "zd:agentWorkspace", "zd:answerBot"),
)
_REASONS = _word(
    *(
        "api",
        "authCode",
        "authentication",
        "blocked",
        "channelLinking",
        "confirmed",
        "linkCancelled",
        "linkFailed",
    ),
    *(
        "localeDetection",
        "matched",
        "sdk",
        "sdkLogin",
        "theft",
        "ticketClosed",
        "transferToEmail",
        "unblocked",
    ),
)
_ACTIVITIES = _word(
    *(
        "conversation:endedByUser",
        "conversation:read",
        "ticket:closed",
        "ticket:transfer:email",
    ),
    *("typing:start", "typing:stop"),
)
_CONTENTS = _word(
    *(
        "carousel",
        "file",
        "form",
        "formResponse",
        "image",
        "list",
        "location",
        "template",
        "text",
    ),
)
_ACTIONS = _word("buy", "link", "locationRequest", "postback", "reply", "share", "webview")

_METADATA = Fields(
    {
        EFFECT_KEY: Rule.EFFECT,
        "type": _word("csat"),
        "__zendesk_msg.agent.id": _word("__trigger", otherwise=Rule.ID),
    },
    prefix="__zendesk_msg.",
)
_PROFILE = Fields(
    {
        "givenName": Rule.NAME,
        "surname": Rule.NAME,
        "email": Rule.EMAIL,
        "avatarUrl": Rule.URL,
    }
)
_USER = Fields(
    {
        "id": Rule.ID,
        "externalId": Rule.ID,
        "authenticated": Rule.FLAG,
        "profile": _PROFILE,
        "metadata": _METADATA,
    }
)
_CLIENT = Fields(
    {
        "id": Rule.ID,
        "type": _CHANNELS,
        "status": _word("active", "blocked", "inactive", "pending"),
        "integrationId": Rule.ID,
        "externalId": Rule.ID,
        "displayName": Rule.NAME,
        "avatarUrl": Rule.URL,
    }
)
_SOURCE = Fields({"type": _CHANNELS, "integrationId": Rule.ID, "client": _CLIENT})
_AUTHOR = Fields(
    {
        "type": _word("business", "user"),
        "subtypes": Many(_word("AI", "activity", "agent", "bot")),
        "userId": Rule.ID,
        "displayName": _word("Automated Response", otherwise=Rule.NAME),
        "avatarUrl": Rule.URL,
        "user": _USER,
    }
)
_ACTION = Fields(
    {
        "type": _ACTIONS,
        "text": Rule.TEXT,
        "payload": Rule.PAYLOAD,
        "uri": Rule.URL,
        "metadata": _METADATA,
    }
)
_CONTENT = Fields(
    {
        "type": _CONTENTS,
        "text": Rule.TEXT,
        "payload": Rule.PAYLOAD,
        "altText": Rule.TEXT,
        "mediaUrl": Rule.URL,
        "actions": Many(_ACTION),
        "items": Many(
            Fields(
                {
                    "title": Rule.TEXT,
                    "description": Rule.TEXT,
                    "mediaUrl": Rule.URL,
                    "actions": Many(_ACTION),
                },
            )
        ),
        "fields": Many(
            Fields(
                {
                    "type": _word("email", "select", "text"),
                    "name": Rule.NAME,
                    "label": Rule.TEXT,
                    "text": Rule.TEXT,
                    "email": Rule.EMAIL,
                    "select": Many(Fields({"name": Rule.NAME, "label": Rule.TEXT})),
                }
            )
        ),
    }
)
_ACTIVITY = Fields({"type": _ACTIVITIES, "author": _AUTHOR, "source": _SOURCE})
_MESSAGE = Fields(
    {
        "id": Rule.ID,
        "received": Rule.TIME,
        "author": _AUTHOR,
        "content": _CONTENT,
        "source": _SOURCE,
        "activity": _ACTIVITY,
        "metadata": _METADATA,
    }
)
_SWITCHBOARD_INTEGRATION = Fields(
    {
        "id": Rule.ID,
        "name": Rule.ROLE,
        "integrationId": Rule.ID,
        "integrationType": _word("custom", "zd:agentWorkspace", "zd:answerBot"),
    }
)
_CONVERSATION = Fields(
    {
        "id": Rule.ID,
        "type": _word("personal", "sdkGroup"),
        "brandId": Rule.ID,
        "metadata": _METADATA,
        "activeSwitchboardIntegration": _SWITCHBOARD_INTEGRATION,
        "pendingSwitchboardIntegration": _SWITCHBOARD_INTEGRATION,
    }
)
_ERROR = Fields(
    {
        "code": _word("switchboard_invalid_action", "switchboard_invalid_target"),
        "message": Rule.TEXT,
    }
)
_PAYLOAD = Fields(
    {
        "conversation": _CONVERSATION,
        "message": _MESSAGE,
        "user": _USER,
        "source": _SOURCE,
        "destination": _SOURCE,
        "client": _CLIENT,
        "activity": _ACTIVITY,
        "postback": Fields({"payload": Rule.PAYLOAD, "metadata": _METADATA}),
        "referral": Fields({"code": Rule.TEXT}),
        "error": _ERROR,
        "reason": _REASONS,
        "creationReason": _word(
            *(
                "linkRequest",
                "message",
                "none",
                "notification",
                "prechatCapture",
                "proactiveMessaging",
            ),
            "startConversation",
        ),
        "isFinalEvent": Rule.FLAG,
        "metadata": _METADATA,
        "mergedUsers": Fields({"surviving": _USER, "discarded": _USER}),
        "mergedConversations": Fields({"surviving": _CONVERSATION, "discarded": _CONVERSATION}),
    }
)
DELIVERY = Fields(
    {
        "app": Fields({"id": Rule.ID}),
        "webhook": Fields({"id": Rule.ID, "version": _word("v2")}),
        "events": Many(
            Fields(
                {
                    "id": Rule.ID,
                    "createdAt": Rule.TIME,
                    "type": Word(EVENT_TYPES),
                    "payload": _PAYLOAD,
                }
            ),
        ),
    }
)
"""A delivery as posted."""
