"""Webhook deliveries as the platform posts them, about 1.2 kB each, and the same for the frameworks beside ours."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

from .load import request_bytes

SECRET = "the-secret-of-the-benchmark"
WEBHOOK_PATH = "/webhooks/sunshine"
BOT = {"id": "5fbot", "name": "bot", "integrationId": "5fint", "integrationType": "custom"}
_HEADERS = {"X-API-Key": SECRET, "User-Agent": "Zendesk/1.0"}

_numbers = count(1)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _posted(*events: dict[str, Any]) -> bytes:
    body = {"app": {"id": "5fapp"}, "webhook": {"id": "5fhook", "version": "v2"}, "events": list(events)}
    return json.dumps(body, separators=(",", ":")).encode()


def _event(conversation_id: str, type_: str, active: dict[str, str] | None, **payload: Any) -> dict[str, Any]:
    conversation: dict[str, Any] = {"id": conversation_id, "type": "personal", "brandId": "360000000001"}
    if active:
        conversation["activeSwitchboardIntegration"] = active
    return {
        "id": f"{next(_numbers):024x}",
        "createdAt": _now(),
        "type": type_,
        "payload": {"conversation": conversation, **payload},
    }


def _message(conversation_id: str, text: str, **more: Any) -> dict[str, Any]:
    user = {"id": f"user-of-{conversation_id}", "authenticated": False, "externalId": "someone@example.com"}
    profile = {"givenName": "Ada", "surname": "Lovelace", "locale": "en-GB", "localeOrigin": "browser"}
    return {
        "id": f"{next(_numbers):024x}",
        "received": _now(),
        "author": {
            "type": "user",
            "userId": user["id"],
            "displayName": "Ada Lovelace",
            "avatarUrl": "https://www.gravatar.example/avatar/205e460b479e2e5b48aec07710c08d50.png",
            "user": {**user, "profile": profile, "signedUpAt": _now()},
        },
        "content": {"type": "text", "text": text},
        "source": {
            "type": "web",
            "integrationId": "5fint-web",
            "originalMessageId": None,
            "client": {"platform": "web", "info": {"vendor": "smooch", "sdkVersion": "5.6.0", "URL": "shop.example"}},
        },
        "metadata": {},
        **more,
    }


def user_writes(conversation_id: str, text: str = "Where is my order? I have been waiting for it.") -> bytes:
    """A request in which a user writes; the bot is active."""
    event = _event(conversation_id, "conversation:message", BOT, message=_message(conversation_id, text))
    return request_bytes(WEBHOOK_PATH, _posted(event), _HEADERS)


def user_ends(conversation_id: str) -> bytes:
    """A request that tells that a user has ended a conversation in which the bot is active."""
    author = {"type": "business", "subtypes": ["activity"]}
    activity = {"type": "conversation:endedByUser"}
    message = {**_message(conversation_id, "The conversation was ended."), "author": author, "activity": activity}
    event = _event(conversation_id, "conversation:message", BOT, message=message)
    return request_bytes(WEBHOOK_PATH, _posted(event), _HEADERS)


def control_released(conversation_id: str) -> bytes:
    """A request that tells that control was released: the proof."""
    return request_bytes(WEBHOOK_PATH, _posted(_event(conversation_id, "switchboard:releaseControl", None)), _HEADERS)


def endless_messages() -> Callable[[], bytes]:
    """Requests of users who write, each with an event id of its own, as fast as bytes can be joined."""
    request = user_writes("conversation-000000000000")
    event_id = json.loads(request.partition(b"\r\n\r\n")[2])["events"][0]["id"].encode()
    before, between, after = _cut(request, event_id, b"conversation-000000000000")

    def following() -> bytes:
        number = next(_numbers)
        return b"%b%024x%bconversation-%012d%b" % (before, number, between, number % 10_000, after)

    return following


def _cut(request: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes, bytes]:
    """The pieces around the event's id and the conversation's, which comes once more in the id of the user."""
    before, _, rest = request.partition(first)
    between, _, after = rest.partition(second)
    return before, between, after


def slack_message(signing_secret: str) -> bytes:
    """A signed event as Slack posts it."""
    event = {"type": "message", "channel": "C1", "user": "U1", "text": "Where is my order?", "ts": "1.1", "team": "T1"}
    body = {
        "token": "t",
        "team_id": "T1",
        "api_app_id": "A1",
        "event": {**event, "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 600}}]},
        "type": "event_callback",
        "event_id": "Ev1",
        "event_time": int(time.time()),
        "authorizations": [{"team_id": "T1", "user_id": "U0", "is_bot": True}],
    }
    raw = json.dumps(body).encode()
    at = str(int(time.time()))
    signature = hmac.new(signing_secret.encode(), b"v0:" + at.encode() + b":" + raw, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={signature}"}
    return request_bytes("/slack/events", raw, headers)


def telegram_message(secret: str) -> bytes:
    """An update as Telegram posts it."""
    person = {"id": 7, "is_bot": False, "first_name": "Ada", "last_name": "Lovelace", "language_code": "en"}
    chat = {"id": 7, "first_name": "Ada", "last_name": "Lovelace", "type": "private"}
    text = "Where is my order? " + "x" * 600
    message = {"message_id": 1, "from": person, "chat": chat, "date": int(time.time()), "text": text}
    raw = json.dumps({"update_id": 1, "message": message}).encode()
    return request_bytes("/telegram", raw, {"X-Telegram-Bot-Api-Secret-Token": secret})
