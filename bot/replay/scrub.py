"""A tape without personal data: the same happens at the same times, to nobody in particular.

What is kept is kept by place and by value (`bot.replay.shapes`); everything else becomes a stand-in, keys included. The
same text gets the same stand-in, so that it can still be seen that two are the same. So what the platform adds tomorrow
leaks nothing.
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
_SERIAL = re.compile(r"\d{1,6}", re.ASCII)  # of an effect, within its conversation
_STAND_IN = re.compile(r"\[\w+ [0-9a-f]{6}\]", re.ASCII)


class Scrubber:
    """Replaces what is personal.

    Args:
        secret: the same secret gives the same stand-ins, on other tapes too; drawn anew if it is not given, so that
            nobody can find out by trying what a stand-in stands for.
        roles: names of switchboard integrations to keep, beside those that every account has.
    """

    def __init__(self, secret: bytes | None = None, roles: Iterable[str] = ()) -> None:
        self._secret = secret or secrets.token_bytes(16)
        self._roles = ROLES | {*roles}

    def scrub(self, deliveries: Iterable[TapedDelivery]) -> Iterator[TapedDelivery]:
        """Scrub the deliveries of a tape. Its note goes: it may tell of somebody, too."""
        for delivery in deliveries:
            yield TapedDelivery(delivery.at, self._known(dict(delivery.body), DELIVERY))

    def _known(self, value: Any, shape: Shape) -> Any:
        """A value in a place that is known. If it isn't of the place's kind, it is as good as in an unknown place."""
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
        """A value in an unknown place: only its structure stays."""
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
        """As long as the platform's, and yet none of them: those ascend, and order what happened at the same moment."""
        return f"x{self._digest(value)[:23]}" if value else ""

    def _stand_in(self, kind: str, value: str) -> str:
        return f"[{kind} {self._digest(value)[:6]}]"

    def _digest(self, value: str) -> str:
        return hmac.new(self._secret, value.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def is_stand_in(text: str) -> bool:
    """Does a text stand for another one?"""
    return _STAND_IN.fullmatch(text) is not None
