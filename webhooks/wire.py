"""JSON as it crosses the wire: read leniently, written strictly, and the ids that an event goes by.

Intake (which looks at an event for a microsecond) and `webhooks.events` (which reads it whole) share these rules, so
both see the same event id, type and conversation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress

from pydantic_core import from_json, to_json

from webhooks.mend import mended, pruned

UNKNOWN_TYPE = "unknown"
"""The type that an event is stored under when it does not tell a usable one."""

ID_LENGTH = 255
"""Characters. The platform's ids have 24; whatever is longer is no id, and would be too long for an index."""

_ID_BITS = 63
_DOTS = (".", "..")  # in an address they name something else than themselves
_TAPS = {"conversation:postback": "postback", "conversation:referral": "referral"}


def read_json(body: bytes) -> object:
    """Read JSON, and mend what would cost a whole delivery: it would be answered 400, which is never retried.

    Half of a surrogate pair (a text cut in the middle of an emoji) and bytes that are not UTF-8 become U+FFFD, a byte
    order mark is dropped. What is nested too deep and numbers of more than 4300 digits become null.

    Raises:
        ValueError: it is not JSON. The message says where, and quotes nothing.
    """
    try:
        return from_json(body)
    except ValueError:
        text = mended(body)
    with suppress(ValueError):
        if text.encode() != body:
            return from_json(text)
    return from_json(pruned(text))


def write_json(value: object) -> bytes:
    """Write JSON. NaN and the infinities, which JSON does not have, become null."""
    return to_json(value, inf_nan_mode="null")


def identifier(value: object) -> str | None:
    """An id as text, or None if it can't be one.

    Text must be printable (PostgreSQL stores no NUL, a log no line break), have 1 to `ID_LENGTH` characters, and be no
    "." or "..", which can't be addressed; a whole number of up to 63 bits will do.
    """
    if isinstance(value, str):
        return value if 0 < len(value) <= ID_LENGTH and value.isprintable() and value not in _DOTS else None
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _ID_BITS:
        return str(value)
    return None


def event_id(event: Mapping[str, object]) -> str:
    """The platform's id of an event or, where it has no usable one, one made from its content.

    Raises:
        ValueError: there is no id, and the content is not JSON (never for what `read_json` returned).
    """
    return identifier(event.get("id")) or content_id(event)


def content_id(value: object) -> str:
    """`sha256:` and the hash of the canonical JSON: the same on every retry, whatever the order of the keys.

    Raises:
        ValueError: the value is not JSON (never for what `read_json` returned).
    """
    canonical = json.dumps(from_json(write_json(value)), sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def said_id(event: Mapping[str, object]) -> str | None:
    """An id of what was said, the same under whichever event id it comes; None where nothing was said.

    The same message comes under two event ids where a second webhook was left over, or a relay numbers anew. A tap on a
    button and a referral have no id of their own: the user, the time and what was tapped make one.
    """
    payload, type_ = event.get("payload"), event.get("type")
    if not isinstance(payload, Mapping):
        return None
    if type_ == "conversation:message":
        return _id_in(payload.get("message"))
    what = _TAPS.get(type_) if isinstance(type_, str) else None
    if what is None or not isinstance(event.get("createdAt"), str):
        return None
    return content_id([type_, event.get("createdAt"), _id_in(payload.get("user")), payload.get(what)])


def event_type(event: Mapping[str, object]) -> str:
    """The type as posted, or `UNKNOWN_TYPE` where it is no usable text."""
    posted = event.get("type")
    return posted if isinstance(posted, str) and identifier(posted) else UNKNOWN_TYPE


def conversation_id(event: Mapping[str, object]) -> str | None:
    """`payload.conversation.id`, or None where the event belongs to no single conversation."""
    payload = event.get("payload")
    return _id_in(payload.get("conversation")) if isinstance(payload, Mapping) else None


def _id_in(part: object) -> str | None:
    return identifier(part.get("id")) if isinstance(part, Mapping) else None
