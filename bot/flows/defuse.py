"""The one place that everything said passes: control shorthands are made harmless, and what is too long is cut.

Source: a business message whose text contains `%((switchboard:passControl))%` (or `…:NAME`) moves control
(platform.md, section 2); a text holds 4096 characters (section 5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

TEXT_LIMIT = 4096

_SHORTHAND = re.compile(r"%(?=\s*\(\s*\()")
_ZERO_WIDTH_SPACE = "\u200b"


def defused(value: Any) -> Any:
    """The same value with every text in it, at any depth, made unable to move control.

    A zero-width space after the `%` that would begin a shorthand: invisible to people, and no shorthand any more.
    """
    if isinstance(value, str):
        return _SHORTHAND.sub("%" + _ZERO_WIDTH_SPACE, value) if "%" in value else value
    if isinstance(value, dict | Mapping):
        return {key: defused(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [defused(inner) for inner in value]
    return value


def pieces(text: str, limit: int = TEXT_LIMIT) -> Iterator[str]:
    """The text in parts of 1 to `limit` characters, cut at the last white space where there is one."""
    text = text.strip() if len(text) > limit else text
    while len(text) > limit:
        cut = max(text.rfind(space, 1, limit + 1) for space in " \n\t")
        cut = cut if cut > 0 else limit
        yield text[:cut].rstrip()
        text = text[cut:].lstrip()
    yield text
