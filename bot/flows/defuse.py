"""The one place that everything said passes: shorthand that the author has not marked is made harmless.

The platform turns shorthand in a business message into buttons, pictures, templates and control actions:
`%[label](url)`, `%{{template}}%`, `![](url)`, `%((switchboard:passControl))%`, `&((WhatsApp template))&`. Words of a
user, a model or a backend must not do that in the name of the business. Only `markup` lets it through.

A text holds 4096 characters.
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
    """A text in which shorthand counts; made by `markup`.

    `+` joins it to other texts, and what is joined stays words. Every other operation (an f-string, `strip`, `format`)
    gives a plain text, in which nothing counts.
    """

    __slots__ = ()

    def __add__(self, other: str) -> Markup:
        """Join a text behind it; only markup keeps its shorthand."""
        return Markup(str(self) + defused(other))

    def __radd__(self, other: str) -> Markup:
        """Join a text in front of it; only markup keeps its shorthand."""
        return Markup(defused(other) + str(self))


def markup(text: str) -> Markup:
    """Mark a text of your own as shorthand for the platform.

    Mark only what you wrote yourself, and join the rest: `"Hello " + name + markup("! %[Pay](https://example.com)")`.

    Args:
        text: may hold `%[label](url)`, `%{{template}}%` and the platform's other forms.

    Returns:
        The text, to be said like any other: as a text, a choice's label, or a part of a card or form.
    """
    return Markup(text)


def defused(value: Any) -> Any:
    """Return the same value with the shorthand in every text made harmless, at any depth, except in markup.

    A zero-width space goes behind the sign that begins it: people don't see it, and the platform sees no shorthand.
    """
    if isinstance(value, str):
        plain = type(value) is not Markup and may_be_live(value)
        return _LIVE.sub(lambda found: found[0] + _ZERO_WIDTH_SPACE, value) if plain else value
    kind = type(value)  # exact types first: each message is looked through in each turn of its flow
    if kind is dict or isinstance(value, Mapping):
        return {key: defused(inner) for key, inner in value.items()}
    if kind is list or isinstance(value, list | tuple):
        return [defused(inner) for inner in value]
    return value


def may_be_live(text: str) -> bool:
    """Has a text, or a value in JSON, any of the signs that shorthand begins with? Most have none."""
    return _SIGNS.search(text) is not None


def undefused(text: str) -> str:
    """Return a text of ours that has come back, such as a tapped choice's label, as the flow's author wrote it."""
    return _DEFUSED.sub(r"\g<sign>", text) if _ZERO_WIDTH_SPACE in text else text


def pieces(text: str, limit: int = TEXT_LIMIT) -> Iterator[str]:
    """The text in parts of 1 to `limit` characters, cut at the last white space where there is one."""
    kind = type(text) if isinstance(text, Markup) else str
    text = text.strip() if len(text) > limit else text
    while len(text) > limit:
        cut = max(text.rfind(space, 1, limit + 1) for space in " \n\t")
        cut = cut if cut > 0 else limit
        yield kind(text[:cut].rstrip())
        text = text[cut:].lstrip()
    yield kind(text)
