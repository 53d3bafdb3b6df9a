"""Log sampling: logs recurring problems ever more rarely, so that they can't fill a log."""

from __future__ import annotations

from collections import Counter

MAX_KINDS = 1_000  # kinds counted separately; further ones count as one

Occurrences = Counter[object]
"""The number of occurrences of each kind."""


def count_to_log(occurrences: Occurrences, kind: object) -> int:
    """Count an occurrence. Return the new count at 1, 2, 4, 8, …; otherwise 0."""
    if kind not in occurrences and len(occurrences) >= MAX_KINDS:
        kind = "everything else"
    occurrences[kind] += 1
    count = occurrences[kind]
    return count if count.bit_count() == 1 else 0
