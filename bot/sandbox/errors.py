"""What the sandbox refuses: to a program at the API, and to a person at the widget or in the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A request that the API refuses.

    Attributes:
        status: the HTTP status.
        code: the machine-readable code in the body.
        title: what is wrong, for people.
    """

    def __init__(self, status: int, code: str, title: str) -> None:
        super().__init__(f"{status} {code}: {title}")
        self.status = status
        self.code = code
        self.title = title


class NotPossibleError(Exception):
    """Something that the widget or the workspace offers no button for, such as writing after the end."""


def bad_request(title: str) -> ApiError:
    """A 400."""
    return ApiError(400, "bad_request", title)


def forbidden(title: str) -> ApiError:
    """A 403."""
    return ApiError(403, "forbidden", title)


def not_found(what: str) -> ApiError:
    """A 404 for a kind of thing: `conversation`, `integration`, `switchboard`, …"""
    return ApiError(404, f"{what.replace(' ', '_')}_not_found", f"There is no such {what}.")


def items(body: Mapping[str, Any], name: str) -> list[Any]:
    """A list of a request; none where it is left out, 400 where it is no list."""
    found = body.get(name)
    if not isinstance(found, list | None):
        raise bad_request(f"{name} has to be a list.")
    return found or []


def maybe_text(body: Mapping[str, Any], name: str, known: str | None = None) -> str | None:
    """A text of a request, or null; `known` where it is left out, 400 where it is something else."""
    found = body.get(name, known)
    if not isinstance(found, str | None):
        raise bad_request(f"{name} has to be a text.")
    return found
