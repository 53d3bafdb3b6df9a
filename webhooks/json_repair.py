"""Repair malformed JSON, so that the damage stays confined to the affected values."""

from __future__ import annotations

import re
import time

MAX_DEPTH = 128
"""Levels of nesting kept when pruning. The parser accepts about 200."""

MAX_DIGITS = 4300
"""Maximum number of digits that Python converts to an integer."""

_YIELD_EVERY = 1024  # tokens
_YIELD_SECONDS = 0.0002  # 0 would not release the interpreter to another thread
_REPLACEMENT = r"\ufffd"
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair of surrogates: one character
    r"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half a pair
    r"|.)",
    re.DOTALL,
)
_TOKEN = re.compile(
    # A string. An unterminated one extends to the end of the text, to keep the time linear.
    r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
    r"|[\[\]{}]"
    # A number with too many digits.
    rf"|(?<![0-9])-?[0-9]{{{MAX_DIGITS + 1},}}+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]*)?",
    re.DOTALL,
)


def repair_encoding(body: bytes) -> str:
    """Replace invalid UTF-8 and lone surrogates; drop a byte order mark."""
    text = body.decode("utf-8-sig", "replace")
    return _ESCAPE.sub(lambda escape: _REPLACEMENT if escape["lone"] else escape[0], text)


def prune(text: str) -> str:
    """Replace too deeply nested values and too long numbers with null.

    Takes about 0.3 microseconds per bracket or string. Invalid JSON stays invalid.
    """
    kept: list[str] = []
    depth = done = 0
    for number, token in enumerate(_TOKEN.finditer(text), start=1):
        if number % _YIELD_EVERY == 0:
            time.sleep(_YIELD_SECONDS)  # large bodies are read in a thread: let the loop run
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += text[done : token.start()], "null"
                done = len(text)  # reset by the closing bracket, if there is one
        elif first in "]}":
            if depth == MAX_DEPTH + 1:
                done = token.end()
            depth -= 1
        elif first != '"' and depth <= MAX_DEPTH:
            kept += text[done : token.start()], "null"
            done = token.end()
    return "".join((*kept, text[done:]))
