"""Fits the values of a hand-over into the platform's limit, so that it never fails."""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bot.control.state import Metadata
from bot.flows.authoring import FlowMisuse
from bot.flows.defuse import defused
from bot.flows.identity import User
from bot.flows.json_form import json_form

METADATA_LIMIT = 4096  # bytes; the platform's limit for metadata
SHORTEST = 200  # bytes; texts are not cut below this, fields are left out instead
CUT = "…"
_JOINER = "\u200d"


Priority = Literal["low", "normal", "high", "urgent"]

_FIELD = "dataCapture.ticketField."
_SYSTEM_FIELD = "dataCapture.systemField."
_NOT_IN_A_TAG = re.compile(r"[\s,]+")


def ticket_values(
    fields: Mapping[str, Any],
    tags: Sequence[str],
    priority: str | None,
    requester: User | None,
) -> dict[str, Any]:
    """Return the metadata of a pass that fills the agent's ticket (docs/platform.md, 2).

    Invalid values become None, so that they are left out and reported: a hand-over never
    fails because of a field.
    """
    system: dict[str, Any] = {}
    if tags:
        texts = [tags] if isinstance(tags, str) else [str(tag) for tag in tags]
        made = [_NOT_IN_A_TAG.sub("_", tag.strip()) for tag in texts]
        system["tags"] = ",".join(dict.fromkeys(filter(None, made)))
    if priority is not None:
        system["priority"] = priority if priority in get_args(Priority) else None
    if requester is not None:
        known = {"requester.name": requester.name, "requester.email": requester.email}
        system |= {name: value for name, value in known.items() if value}
    return {
        **{f"{_FIELD}{key}": value for key, value in fields.items()},
        **{f"{_SYSTEM_FIELD}{key}": value for key, value in system.items()},
    }


@dataclass(frozen=True, slots=True)
class Fitted:
    """Values that fit, and the keys of those that were shortened or left out."""

    metadata: Metadata
    shortened: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def fitted(values: Mapping[str, Any], limit: int = METADATA_LIMIT) -> Fitted:
    """Fit the values of a hand-over into `limit` bytes.

    The longest texts are shortened first, all to the same length. If that is not enough,
    the last fields are left out. Values that are not flat (a list, None, NaN) are left
    out too: an agent with a field missing is better than no agent.
    """
    flat, left_out = _flat(values)
    while (cap := _cap(flat, limit)) is None:
        left_out.append(flat.popitem()[0])
    made = _capped(flat, cap)
    return Fitted(made, tuple(key for key in made if made[key] != flat[key]), tuple(left_out))


def json_bytes(value: Any) -> int:
    """The size of a value in a request: UTF-8 bytes of its JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _flat(values: Mapping[str, Any]) -> tuple[Metadata, list[str]]:
    flat: Metadata = {}
    left_out: list[str] = []
    for key, value in values.items():
        try:
            made = defused(json_form("a value", value))
        except FlowMisuse:
            made = None
        if isinstance(made, str | int | float | bool):
            flat[str(key)] = made
        else:
            left_out.append(str(key))
    return flat, left_out


def _cap(values: Metadata, limit: int) -> int | None:
    """The largest size per text at which everything fits; None if `SHORTEST` is too large."""
    if json_bytes(values) <= limit:
        return limit
    too_much = bisect_right(
        range(limit),
        limit,
        lo=SHORTEST,
        key=lambda cap: json_bytes(_capped(values, cap)),
    )
    return too_much - 1 if too_much > SHORTEST else None


def _capped(values: Metadata, cap: int) -> Metadata:
    return {key: _cut(value, cap) if isinstance(value, str) else value for key, value in values.items()}


def _cut(text: str, most: int) -> str:
    """The text, cut to at most `most` bytes; a mark shows the cut."""
    if len(text) <= most and json_bytes(text) <= most:
        return text
    text = text[:most]
    end = bisect_right(range(len(text)), most, key=lambda end: json_bytes(text[:end] + CUT)) - 1
    while end > 0 and _belongs_to_previous(text, end):
        end -= 1
    return text[:end] + CUT


def _belongs_to_previous(text: str, at: int) -> bool:
    """Whether a cut here would tear off an accent, or half of a joined emoji."""
    return _JOINER in text[at - 1 : at + 1] or unicodedata.category(text[at]).startswith("M")
