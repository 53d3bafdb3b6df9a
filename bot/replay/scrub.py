"""Removes personal data from a tape; what happens, and when, stays the same.

Only known values in known places are kept (`bot.replay.shapes`); all others become
stand-ins, keys included. So new fields of the platform leak nothing. Equal texts get
equal stand-ins, so that equality remains visible.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from bot.replay.shapes import DELIVERY, ROLES, Fields, Many, Rule, Shape, Word
from bot.tape import TapedDelivery
from webhooks.fields import moment

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_SERIAL = re.compile(r"\d{1,6}", re.ASCII)  # number of an effect within its conversation
_STAND_IN = re.compile(r"\[\w+ [0-9a-f]{6}\]", re.ASCII)


class Scrubber:
    """Replaces personal data.

    Args:
        secret: the same secret gives the same stand-ins, also on other tapes. Random by
            default, so that stand-ins can't be reversed by guessing.
        roles: names of switchboard integrations to keep, besides the usual ones.
    """

    def __init__(self, secret: bytes | None = None, roles: Iterable[str] = ()) -> None:
        self._secret = secret or secrets.token_bytes(16)
        self._roles = ROLES | {*roles}

    def scrub(self, deliveries: Iterable[TapedDelivery]) -> Iterator[TapedDelivery]:
        """Scrub the deliveries of a tape, and drop its note, which may name somebody."""
        for delivery in deliveries:
            yield TapedDelivery(delivery.at, self._known(dict(delivery.body), DELIVERY))

    def _known(self, value: Any, shape: Shape) -> Any:
        """Scrub a value in a known place; treat it as unknown if its type is wrong."""
        match shape, value:
            case Fields(), dict():
                return self._object(value, shape)
            case Many(each), list():
                return [self._known(one, each) for one in value]
            case Word(known, _), str() if value in known:
                return value
            case Word(_, otherwise), _:
                return self._known(value, otherwise)
            case Rule.FLAG, bool():
                return value
            case Rule.ID, int() if not isinstance(value, bool):
                return int(self._digest(str(value))[:12], 16)
            case Rule(), str():
                return self._text(value, shape)
            case _:
                return self._unknown(value)

    def _object(self, value: dict[str, Any], shape: Fields) -> dict[str, Any]:
        scrubbed = {}
        for key, one in value.items():
            if inner := shape.known.get(key):
                scrubbed[key] = self._known(one, inner)
            else:
                prefix = shape.prefix if shape.prefix and key.startswith(shape.prefix) else ""
                scrubbed[prefix + self._stand_in("key", key)] = self._unknown(one)
        return scrubbed

    def _unknown(self, value: Any) -> Any:
        """Scrub a value in an unknown place: only its structure stays."""
        match value:
            case dict():
                return {self._stand_in("key", key): self._unknown(one) for key, one in value.items()}
            case list():
                return [self._unknown(one) for one in value]
            case str():
                return self._stand_in("text", value) if value else ""
            case bool():
                return False
            case None:
                return None
            case _:
                return 0

    def _text(self, value: str, rule: Rule) -> str:
        if not value:
            return ""
        match rule:
            case Rule.ID:
                return self._id(value)
            case Rule.TIME if _TIME.fullmatch(value) and moment(value):
                return value
            case Rule.EFFECT:
                conversation, dot, serial = value.rpartition(".")
                serial = serial if _SERIAL.fullmatch(serial) else self._id(serial)
                return f"{self._id(conversation)}{dot}{serial}"
            case Rule.ROLE if value in self._roles:
                return value
            case Rule.EMAIL:
                return f"person-{self._digest(value)[:6]}@example.com"
            case Rule.URL:
                return f"https://example.com/{self._digest(value)[:6]}"
            case Rule.PAYLOAD:
                return f"payload-{self._digest(value)[:6]}"
            case Rule.ROLE | Rule.NAME:
                return self._stand_in("name", value)
            case _:
                return self._stand_in("text", value)

    def _id(self, value: str) -> str:
        """A stand-in as long as a real id but not sorted among them: those are ordered."""
        return f"x{self._digest(value)[:23]}" if value else ""

    def _stand_in(self, kind: str, value: str) -> str:
        return f"[{kind} {self._digest(value)[:6]}]"

    def _digest(self, value: str) -> str:
        return hmac.new(self._secret, value.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def is_stand_in(text: str) -> bool:
    """Return whether a text is a stand-in."""
    return _STAND_IN.fullmatch(text) is not None
