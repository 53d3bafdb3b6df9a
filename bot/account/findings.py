"""Findings: the results of checks, with the action to take."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARN = "warn"
    """The bot works, but with a limitation or a risk."""
    WRONG = "wrong"
    """The bot can't keep its guarantee, or does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of `doctor`.

    Attributes:
        level: the severity.
        name: the name of the check; stable, for programs.
        what: the result. No secrets.
        todo: the action to take; empty if none is needed.
    """

    level: Severity
    name: str
    what: str
    todo: str = ""


def ok(name: str, what: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(Severity.OK, name, what)


def warn(name: str, what: str, todo: str) -> Finding:
    """Return a finding about a limitation or a risk."""
    return Finding(Severity.WARN, name, what, todo)


def wrong(name: str, what: str, todo: str) -> Finding:
    """Return a finding about an error."""
    return Finding(Severity.WRONG, name, what, todo)
