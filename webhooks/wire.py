"""JSON as it crosses the wire: read leniently, written strictly, and the ids that an event goes by.

Intake (which looks at an event for a microsecond) and `webhooks.events` (which reads it whole) share these rules, so
both see the same event id, type and conversation.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from pydantic_core import from_json, to_json

UNKNOWN_TYPE = "unknown"
"""The type that an event is stored under when it does not tell a usable one."""

ID_LENGTH = 255
"""Characters. The platform's ids have 24; whatever is longer is no id, and would be too long for an index."""

_ID_BITS = 63
_REPLACEMENT = r"\ufffd"
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair of surrogates: one character
    r"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half a pair
    r"|.)",
    re.DOTALL,
)


def read_json(body: bytes) -> object:
    """Read JSON, and mend what a careless sender breaks.

    Half of a surrogate pair (a text cut in the middle of an emoji), bytes that are not UTF-8, and a byte order mark
    would otherwise cost the whole delivery: it would be answered 400, which is never retried (platform.md, 4).

    Raises:
        ValueError: it is not JSON, is nested more than about 200 levels deep, or has a number of over 4300 digits. The
            message says where, and quotes nothing.
    """
    try:
        return from_json(body)
    except ValueError:
        return from_json(_mended(body))


def write_json(value: object) -> bytes:
    """Write JSON. NaN and the infinities, which JSON does not have, become null."""
    return to_json(value, inf_nan_mode="null")


def identifier(value: object) -> str | None:
    """An id as text, or None if it can't be one.

    Text must be printable (PostgreSQL stores no NUL, a log no line break) and have 1 to `ID_LENGTH` characters; a whole
    number of up to 63 bits will do.
    """
    if isinstance(value, str):
        return value if 0 < len(value) <= ID_LENGTH and value.isprintable() else None
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


def event_type(event: Mapping[str, object]) -> str:
    """The type as posted, or `UNKNOWN_TYPE` where it is no usable text."""
    posted = event.get("type")
    return posted if isinstance(posted, str) and identifier(posted) else UNKNOWN_TYPE


def conversation_id(event: Mapping[str, object]) -> str | None:
    """`payload.conversation.id`, or None where the event belongs to no single conversation."""
    payload = event.get("payload")
    conversation = payload.get("conversation") if isinstance(payload, Mapping) else None
    return identifier(conversation.get("id")) if isinstance(conversation, Mapping) else None


def _mended(body: bytes) -> str:
    text = body.decode("utf-8-sig", "replace")
    return _ESCAPE.sub(lambda escape: _REPLACEMENT if escape["lone"] else escape[0], text)
