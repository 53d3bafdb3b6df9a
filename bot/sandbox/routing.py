"""Request routing: a table of paths, and the arguments of an operation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from bot.sandbox.errors import bad_request
from bot.sandbox.keys import Keys
from bot.sandbox.records import Caller, Json, User

if TYPE_CHECKING:
    from bot.sandbox.switchboard import Switchboard

Scope = Literal["integration", "app", "account"]
"""The smallest key scope that an operation takes. No key has `account`: always 403."""


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed request.

    Attributes:
        board: the model.
        keys: the app's keys.
        caller: the owner of the request's key.
        ids: the variable parts of the path, by name.
        query: the query's parameters.
        body: the JSON body; empty for an upload.
        now: the platform's time.
        content_type: of the body.
        raw: the body's bytes.
        base_url: the API's URL in the request, without a trailing slash.
    """

    board: Switchboard
    keys: Keys
    caller: Caller
    ids: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    now: datetime
    content_type: str = ""
    raw: bytes = b""
    base_url: str = ""

    @property
    def conversation(self) -> str:
        """The conversation's id."""
        return self.ids["conversation"]

    @property
    def user(self) -> User:
        """The user with this id or external id, or 404."""
        return self.board.find_user(self.ids["user"])

    @property
    def integration(self) -> str:
        """The integration's id."""
        return self.ids["integration"]

    @property
    def custom(self) -> Json:
        """The integration, or 404."""
        found: Json = self.board.get_integration(self.integration)["integration"]
        return found

    @property
    def webhook(self) -> tuple[str, str]:
        """The ids of an integration and its webhook."""
        return self.integration, self.ids["webhook"]

    @property
    def link(self) -> tuple[str, str]:
        """The ids of the switchboard and a switchboard integration."""
        return self.ids["switchboard"], self.ids["member"]

    @property
    def control(self) -> tuple[str, Caller, datetime, Json | None]:
        """The common arguments of release and accept."""
        return self.conversation, self.caller, self.now, self.body.get("metadata")

    @property
    def move(self) -> tuple[str, Caller, str, datetime, Json | None]:
        """The common arguments of pass and offer."""
        target = self.body.get("switchboardIntegration")
        if not isinstance(target, str) or not target:
            raise bad_request("switchboardIntegration is required.")
        return self.conversation, self.caller, target, self.now, self.body.get("metadata")


Run = Callable[[Call], Json | None]


@dataclass(frozen=True, slots=True)
class Route:
    """A path below `/v2/apps` and its operation. `{name}` matches one part of the path."""

    operation: str
    method: str
    template: str
    run: Run
    status: int = 200
    scope: Scope = "integration"
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        below = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.template)
        object.__setattr__(self, "pattern", re.compile(rf"(?:/sc)?/v2/apps{below}"))


class RouteTable:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[tuple[str, int], list[Route]] = {}
        for route in routes:
            self._routes.setdefault((route.method, route.template.count("/")), []).append(route)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route, and the variable parts of the path; None if there is no operation."""
        parts = path.removeprefix("/sc").removeprefix("/v2/apps").count("/")
        for route in self._routes.get((method, parts), ()):
            if match := route.pattern.fullmatch(path):
                return route, match.groupdict()
        return None
