"""Defuses the platform's shorthand in everything that is said, unless marked by `markup`.

The platform turns shorthand in a business message into buttons, pictures, templates and
control actions: `%[label](url)`, `%{{template}}%`, `![](url)`,
`%((switchboard:passControl))%`, `&((WhatsApp template))&`. The words of a user, a model or
a backend must not trigger these in the name of the business.

A text message holds 4096 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

TEXT_LIMIT = 4096

_ZERO_WIDTH_SPACE = "\u200b"
_OPENINGS = r"%(?={0}\s*(?:\(\s*\(|\[|\{{\s*\{{))|!(?={0}\[)|&(?={0}\s*\(\s*\()"
_LIVE = re.compile(_OPENINGS.format(""))
_DEFUSED = re.compile(f"(?P<sign>{_OPENINGS.format(_ZERO_WIDTH_SPACE)}){_ZERO_WIDTH_SPACE}")
_SIGNS = re.compile("[%!&]")


class Markup(str):
    """A text whose shorthand is active; made by `markup`.

    `+` joins it to other texts, whose shorthand stays inactive. Every other operation
    (an f-string, `strip`, `format`) returns a plain text without active shorthand.
    """

    __slots__ = ()

    def __add__(self, other: str) -> Markup:
        """Append a text; only markup keeps its shorthand active."""
        return Markup(str(self) + defused(other))

    def __radd__(self, other: str) -> Markup:
        """Prepend a text; only markup keeps its shorthand active."""
        return Markup(defused(other) + str(self))


def markup(text: str) -> Markup:
    """Activate the platform's shorthand in a text of your own.

    Mark only your own words, and join the rest:
    `"Hello " + name + markup("! %[Pay](https://example.com)")`.

    Args:
        text: may contain `%[label](url)`, `%{{template}}%` and the other forms.

    Returns:
        A text for any use: a message, a choice's label, or a part of a card or form.
    """
    return Markup(text)


def defused(value: Any) -> Any:
    """Return the value with the shorthand in every text inactive, except in markup.

    Works at any depth. A zero-width space after the opening sign hides the shorthand
    from the platform and is invisible to people.
    """
    if isinstance(value, str):
        plain = type(value) is not Markup and may_be_live(value)
        return _LIVE.sub(lambda found: found[0] + _ZERO_WIDTH_SPACE, value) if plain else value
    kind = type(value)  # exact types first, for speed: each turn checks all messages again
    if kind is dict or isinstance(value, Mapping):
        return {key: defused(inner) for key, inner in value.items()}
    if kind is list or isinstance(value, list | tuple):
        return [defused(inner) for inner in value]
    return value


def may_be_live(text: str) -> bool:
    """Return whether a text or JSON has any opening sign; most have none."""
    return _SIGNS.search(text) is not None


def undefused(text: str) -> str:
    """Return a defused text as the flow's author wrote it, such as a tapped label."""
    return _DEFUSED.sub(r"\g<sign>", text) if _ZERO_WIDTH_SPACE in text else text


def pieces(text: str, limit: int = TEXT_LIMIT) -> Iterator[str]:
    """Split a text into parts of 1 to `limit` characters, at white space if possible."""
    kind = type(text) if isinstance(text, Markup) else str
    text = text.strip() if len(text) > limit else text
    while len(text) > limit:
        cut = max(text.rfind(space, 1, limit + 1) for space in " \n\t")
        cut = cut if cut > 0 else limit
        yield kind(text[:cut].rstrip())
        text = text[cut:].lstrip()
    yield kind(text)
