"""Telling of what keeps happening ever more rarely, so that nobody can fill a log."""

from __future__ import annotations

from collections import Counter

KINDS = 1_000  # that are told apart; all further ones count as one

Told = Counter[object]
"""How often each kind has happened."""


def worth_telling(told: Told, kind: object) -> int:
    """Count something, and return how often it has happened: the 1st, 2nd, 4th, 8th, … time; else 0."""
    if kind not in told and len(told) >= KINDS:
        kind = "everything else"
    told[kind] += 1
    return told[kind] if told[kind].bit_count() == 1 else 0
