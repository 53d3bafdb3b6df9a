"""Matches a typed text to a choice, by its label in any spelling or by its number."""

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


def typed_choice(
    choices: Sequence[Choice],
    listed: Sequence[Choice | None],
    typed: str,
) -> Choice | None:
    """Return the choice that a typed text means; None if it means none or several.

    Case, Unicode form, quotation marks, invisible characters, repeated white space and
    final punctuation are ignored. A number is a position in the list, from one, if the
    list has at least two entries. If the labels themselves contain numbers ("2 tickets"),
    it means the label with that number instead.

    Args:
        choices: the offered choices and buttons.
        listed: the visible list, in order; None for entries that are not choices, such as
            links.
        typed: the user's words.
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
    """Whether all of them have the same payload."""
    return len({choice.payload for choice in found}) == 1


def _plain(text: str) -> str:
    return text.strip().casefold()


def _canonical(text: str) -> str:
    """Normalize a text: drop what people don't see or care about."""
    bare = "".join(character for character in text if character not in _QUOTES)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", bare).casefold())
    seen = "".join(character for character in folded if not _is_invisible(character) and character not in _QUOTES)
    return " ".join(seen.split()).strip(_ENDS)


def _is_invisible(character: str) -> bool:
    """Whether it is a format or control character (not white space) or emoji variation."""
    is_format = unicodedata.category(character) in ("Cf", "Cc") and not character.isspace()
    return is_format or "\ufe00" <= character <= "\ufe0f"
