"""What a check has to say: one line each, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """It works, but something is lost by it, or may be."""
    WRONG = "wrong"
    """The bot can't keep its guarantee, or can't work at all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `doctor`.

    Attributes:
        level: how bad it is.
        name: what was looked at; stable, for programs.
        what: what was found. No secrets.
        todo: what to do; empty where all is well.
    """

    level: Severity
    name: str
    what: str
    todo: str = ""


def ok(name: str, what: str) -> Finding:
    """All is well."""
    return Finding(Severity.OK, name, what)


def warn(name: str, what: str, todo: str) -> Finding:
    """Something is lost, or may be."""
    return Finding(Severity.WARN, name, what, todo)


def wrong(name: str, what: str, todo: str) -> Finding:
    """It has to be mended."""
    return Finding(Severity.WRONG, name, what, todo)
