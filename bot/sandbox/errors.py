"""The sandbox's refusals: to API clients, and to people at the widget or workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """A request refused by the API.

    Attributes:
        status: the HTTP status.
        code: the machine-readable code in the body.
        title: the problem, for people.
    """

    def __init__(self, status: int, code: str, title: str) -> None:
        super().__init__(f"{status} {code}: {title}")
        self.status = status
        self.code = code
        self.title = title


class NotPossibleError(Exception):
    """An action without a button in the widget or workspace, such as writing after an end."""


def bad_request(title: str) -> ApiError:
    """An `ApiError` with status 400."""
    return ApiError(400, "bad_request", title)


def forbidden(title: str) -> ApiError:
    """An `ApiError` with status 403."""
    return ApiError(403, "forbidden", title)


def not_found(what: str) -> ApiError:
    """An `ApiError` 404 for a type: `conversation`, `integration`, `switchboard`, …"""
    return ApiError(404, f"{what.replace(' ', '_')}_not_found", f"There is no such {what}.")


def items(body: Mapping[str, Any], name: str) -> list[Any]:
    """A list in a request; empty if missing, 400 if it is not a list."""
    found = body.get(name)
    if not isinstance(found, list | None):
        raise bad_request(f"{name} must be a list.")
    return found or []


def maybe_text(body: Mapping[str, Any], name: str, known: str | None = None) -> str | None:
    """A text or null in a request; `known` if missing, 400 if it is something else."""
    found = body.get(name, known)
    if not isinstance(found, str | None):
        raise bad_request(f"{name} must be a text.")
    return found
