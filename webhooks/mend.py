"""Mends JSON that a careless or hostile sender broke, so that the damage costs no more than the place it is in."""

from __future__ import annotations

import re
import time

DEEPEST = 128
"""Levels of nesting that are kept in a body that has too many (the parser takes about 200)."""

LONGEST_NUMBER = 4300
"""Digits of the longest whole number that Python reads."""

_TOKENS_AT_ONCE = 1024
_TURN = 0.0002  # seconds; 0 would not let another thread have the interpreter
_REPLACEMENT = r"\ufffd"
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair of surrogates: one character
    r"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half a pair
    r"|.)",
    re.DOTALL,
)
_TOKEN = re.compile(
    r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'  # a text; one without an end goes on to the end, so that this takes linear time
    r"|[\[\]{}]"
    rf"|(?<![0-9])-?[0-9]{{{LONGEST_NUMBER + 1},}}+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]*)?",  # a number that is too long
    re.DOTALL,
)


def mended(body: bytes) -> str:
    """Replace bytes that are not UTF-8, and halves of surrogate pairs; drop a byte order mark."""
    text = body.decode("utf-8-sig", "replace")
    return _ESCAPE.sub(lambda escape: _REPLACEMENT if escape["lone"] else escape[0], text)


def pruned(text: str) -> str:
    """Put null in the place of what is nested too deep, and of numbers that are too long.

    Takes about 0.3 microseconds per bracket and text. What is not JSON comes back in some form that isn't, either.
    """
    kept: list[str] = []
    depth = done = 0
    for number, token in enumerate(_TOKEN.finditer(text), start=1):
        if number % _TOKENS_AT_ONCE == 0:
            time.sleep(_TURN)  # a large body is read in a thread: the event loop has its turn meanwhile
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth == DEEPEST + 1:
                kept += text[done : token.start()], "null"
                done = len(text)  # unless it is closed
        elif first in "]}":
            if depth == DEEPEST + 1:
                done = token.end()
            depth -= 1
        elif first != '"' and depth <= DEEPEST:
            kept += text[done : token.start()], "null"
            done = token.end()
    return "".join((*kept, text[done:]))
