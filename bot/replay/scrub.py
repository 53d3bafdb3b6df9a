"""A tape without personal data: who and what was said becomes stand-ins, the same for the same; the rest stays.

Kept: types, ids (each replaced by one stand-in throughout), times, who is active, reasons, activities, payloads' shape.
Whatever is not known to be harmless is replaced: a key that the platform adds tomorrow does not leak.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from bot.engine.delivery import EFFECT_KEY
from bot.replay.tape import TapedDelivery

_WORD = re.compile(r"[\w:.+-]{1,64}", re.ASCII)
"""What a type, a time or a reason looks like; a sentence or an address is none, wherever it stands."""
_KEY = re.compile(r"[A-Za-z_$][\w.:$-]{0,63}", re.ASCII)
_STAND_IN = re.compile(r"\[\w+ [0-9a-f]{6}\]")

_IDS = frozenset({"id", "userId", "integrationId", "externalId", "quotedMessageId", "brandId", "clientId", "deviceId"})
_KEPT = frozenset(
    {
        "type",
        "subtypes",
        "version",
        "createdAt",
        "received",
        "creationReason",
        "reason",
        "integrationType",
        "code",
        "isFinalEvent",
        "authenticated",
        "isDefault",
        "status",
    }
)
_NAMES_KEPT_IN = frozenset({"activeSwitchboardIntegration", "pendingSwitchboardIntegration"})
_KINDS = {
    "email": "email",
    "givenName": "name",
    "surname": "name",
    "displayName": "name",
    "name": "name",
    "avatarUrl": "url",
    "mediaUrl": "url",
    "uri": "url",
    "payload": "payload",
}


class Scrubber:
    """Replaces what is personal.

    Args:
        secret: the same secret gives the same stand-ins, on other tapes too; drawn anew if it is not given, so that
            nobody can find out by trying what a stand-in stands for.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secret or secrets.token_bytes(16)

    def scrub(self, deliveries: Iterable[TapedDelivery]) -> Iterator[TapedDelivery]:
        """The deliveries of a tape without personal data. The note stays: a person wrote it."""
        for delivery in deliveries:
            yield TapedDelivery(delivery.at, self._value(dict(delivery.body), "", ""), delivery.note)

    def _value(self, value: Any, key: str, within: str) -> Any:
        match value:
            case dict():
                if key == "metadata":
                    return self._metadata(value)
                return {self._key(name): self._value(one, name, key) for name, one in value.items()}
            case list():
                return [self._value(one, key, within) for one in value]
            case bool() | None:
                return value
            case str() if key in _IDS:
                return self._id(value)
            case str() if key in _KEPT and _WORD.fullmatch(value):
                return value
            case str() if key == "name" and within in _NAMES_KEPT_IN:
                return value
            case str():
                kind = _KINDS.get(key, "text")
                return self._stand_in(kind, value) if value else value
            case int() | float() if key in _IDS:
                return int(self._digest(str(value))[:12], 16)
            case _:
                return 0

    def _key(self, name: str) -> str:
        """Names of keys stay, unless they are none: somebody's address as a key, for example."""
        return name if _KEY.fullmatch(name) else self._stand_in("key", name)

    def _metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """The bot's own marks stay whole, but for the conversation's id in them."""
        scrubbed: dict[str, Any] = {}
        for key, value in metadata.items():
            if key == EFFECT_KEY and isinstance(value, str):
                conversation, dot, serial = value.rpartition(".")
                serial = serial if serial.isdecimal() else self._id(serial)
                scrubbed[key] = f"{self._id(conversation)}{dot}{serial}"
            elif isinstance(value, str):
                scrubbed[self._key(key)] = self._stand_in("text", value)
            else:
                scrubbed[self._key(key)] = 0
        return scrubbed

    def _id(self, value: str) -> str:
        """As long as the platform's, and yet none of them: those ascend, and order what happened at the same moment."""
        return f"x{self._digest(value)[:23]}" if value else value

    def _stand_in(self, kind: str, value: str) -> str:
        mark = self._digest(value)[:6]
        match kind:
            case "email":
                return f"person-{mark}@example.com"
            case "url":
                return f"https://example.com/{mark}"
            case "payload":
                return f"payload-{mark}"
            case _:
                return f"[{kind} {mark}]"

    def _digest(self, value: str) -> str:
        return hmac.new(self._secret, value.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def is_stand_in(text: str) -> bool:
    """Does a text stand for another one?"""
    return _STAND_IN.fullmatch(text) is not None
