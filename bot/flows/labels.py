"""Finds the choice that a user has typed: by its label, however it is written, or by its number in the list."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from bot.flows.content import Choice

_QUOTES = frozenset(
    "\"'`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a"
    "\u301d\u301e\u301f\u300c\u300d\u300e\u300f\uff02\uff07\uff40"
)
_ENDS = " .!?,;:\u2026\u3002\u3001"
_BULLET = re.compile(r"[#(]*\s*(?P<number>\d{1,3})\s*[.):]*")
_NUMBERS = re.compile(r"\d+")


def typed_choice(choices: Sequence[Choice], listed: Sequence[Choice | None], typed: str) -> Choice | None:
    """Return the choice that a typed text means, or None if it means none or more than one.

    Case, Unicode form, quotation marks, invisible characters, repeated white space and punctuation at the end don't
    matter. A number is a position in the list, counted from one, if the list has two entries or more. Where the labels
    have numbers of their own ("2 tickets"), it means the label with that number instead.

    Args:
        choices: the choices and buttons that were offered.
        listed: what is shown as one list, in its order; None for what is no choice, such as a link.
        typed: what the user wrote.
    """
    for form in (_plain, _canonical):
        wanted = form(typed)
        found = [choice for choice in choices if form(choice.text) == wanted] if wanted else []
        if found:
            return found[0] if _all_the_same(found) else None
    return _numbered(listed, typed)


def _numbered(listed: Sequence[Choice | None], typed: str) -> Choice | None:
    found = _BULLET.fullmatch(_canonical(typed))
    if found is None or len(listed) < 2:
        return None
    number = int(found["number"])
    own = [(set(map(int, _NUMBERS.findall(_canonical(choice.text)))), choice) for choice in listed if choice]
    if any(numbers for numbers, _ in own):
        named = [choice for numbers, choice in own if number in numbers]
        return named[0] if len(named) == 1 else None
    return listed[number - 1] if 1 <= number <= len(listed) else None


def _all_the_same(found: Sequence[Choice]) -> bool:
    """Do all of them mean the same to the flow?"""
    return len({choice.payload for choice in found}) == 1


def _plain(text: str) -> str:
    return text.strip().casefold()


def _canonical(text: str) -> str:
    """The text without what people can't see or don't care about."""
    bare = "".join(character for character in text if character not in _QUOTES)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", bare).casefold())
    seen = "".join(character for character in folded if not _is_invisible(character) and character not in _QUOTES)
    return " ".join(seen.split()).strip(_ENDS)


def _is_invisible(character: str) -> bool:
    """Formatting and control characters (except white space), and the variation selectors of emoji."""
    is_format = unicodedata.category(character) in ("Cf", "Cc") and not character.isspace()
    return is_format or "\ufe00" <= character <= "\ufe0f"
