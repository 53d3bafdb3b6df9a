"""The JSON of deliveries: lenient reading, strict writing, and the ids of events.

`webhooks.intake` and `webhooks.events` share these rules, so that both see the same event id,
type and conversation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress

from pydantic_core import from_json, to_json

from webhooks.json_repair import prune, repair_encoding

UNKNOWN_TYPE = "unknown"
"""The stored type of an event without a valid type."""

ID_LENGTH = 255
"""Maximum length of an id, for the sake of indexes. The platform's ids have 24 characters."""

_ID_BITS = 63
_DOTS = (".", "..")  # path segments with a meaning of their own
_TAPS = {"conversation:postback": "postback", "conversation:referral": "referral"}


def read_json(body: bytes) -> object:
    """Parse JSON, repairing damage that would otherwise cost a whole delivery.

    Lone surrogates (text cut inside an emoji) and invalid UTF-8 become U+FFFD; a byte order
    mark is dropped. Too deeply nested values and numbers of more than 4300 digits become null.
    Without the repair, the answer would be 400, which the platform never retries.

    Raises:
        ValueError: not JSON. The message gives the position, and quotes nothing.
    """
    try:
        return from_json(body)
    except ValueError:
        text = repair_encoding(body)
    with suppress(ValueError):
        if text.encode() != body:
            return from_json(text)
    return from_json(prune(text))


def write_json(value: object) -> bytes:
    """Serialise to JSON. NaN and infinities become null."""
    return to_json(value, inf_nan_mode="null")


def identifier(value: object) -> str | None:
    """Return a valid id as text, or None.

    Valid are whole numbers of up to 63 bits, and printable text of 1 to `ID_LENGTH`
    characters (PostgreSQL stores no NUL, and a log line no line break) other than "." and
    "..", which have a meaning in URLs.
    """
    if isinstance(value, str):
        is_valid = 0 < len(value) <= ID_LENGTH and value.isprintable() and value not in _DOTS
        return value if is_valid else None
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _ID_BITS:
        return str(value)
    return None


def event_id(event: Mapping[str, object]) -> str:
    """Return the platform's id of an event or, if invalid, the hash of its content.

    Raises:
        ValueError: no valid id, and not JSON (never for results of `read_json`).
    """
    return identifier(event.get("id")) or content_id(event)


def content_id(value: object) -> str:
    """Return `sha256:` and a hash of the canonical JSON, independent of the order of keys.

    Raises:
        ValueError: not JSON (never for results of `read_json`).
    """
    canonical = json.dumps(from_json(write_json(value)), sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def said_id(event: Mapping[str, object]) -> str | None:
    """Return an id of the message, tap or referral in an event; None for other events.

    It detects duplicates under different event ids, as a leftover second webhook or a
    renumbering relay sends them. Taps and referrals have no id of their own: theirs is a hash
    of user, time and content.
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
    """Return the type as posted, or `UNKNOWN_TYPE` if it is invalid."""
    posted = event.get("type")
    return posted if isinstance(posted, str) and identifier(posted) else UNKNOWN_TYPE


def conversation_id(event: Mapping[str, object]) -> str | None:
    """Return `payload.conversation.id`; None if the event belongs to no single conversation."""
    payload = event.get("payload")
    return _id_in(payload.get("conversation")) if isinstance(payload, Mapping) else None


def _id_in(part: object) -> str | None:
    return identifier(part.get("id")) if isinstance(part, Mapping) else None
