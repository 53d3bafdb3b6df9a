"""API keys, and the two ways to authenticate with them: Basic auth, and a signed token (JWT).

The published API description, "Authentication": Basic auth uses the key id as user name and
the secret as password. A token is signed with HS256, with the key id as `kid` and the key's
scope as the claim `scope`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import httpx2
import jwt

from bot.clock import Clock, SystemClock

TOKEN_LIFETIME: Final = timedelta(minutes=10)
"""Lifetime of a token: short, but longer than any clock difference."""


class Scope(StrEnum):
    """The scope of a key (the published API description, "Authorization")."""

    INTEGRATION = "integration"
    APP = "app"
    ACCOUNT = "account"


_SCOPES: Final = {
    "int_": Scope.INTEGRATION,
    "app_": Scope.APP,
    "act_": Scope.ACCOUNT,
    "svc_": Scope.ACCOUNT,
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key. Its `repr()` hides the secret.

    Attributes:
        key_id: starts with `int_`, `app_`, `act_` or `svc_`.
        secret: shown only once, on creation of the key.

    Raises:
        ValueError: a value is empty, or the id contains a colon, which Basic auth can't encode.
    """

    key_id: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.key_id or not self.secret:
            raise ValueError("an API key needs both its id and its secret")
        if ":" in self.key_id:
            raise ValueError("an API key's id contains no colon; did you paste id and secret?")

    @property
    def scope(self) -> Scope | None:
        """The scope, derived from the prefix of the id; None for an unknown prefix."""
        return _SCOPES.get(self.key_id[:4])


class BasicAuth(httpx2.BasicAuth):
    """Sends key id and secret with every request."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__(credentials.key_id, credentials.secret)


class JwtAuth(httpx2.Auth):
    """Sends a signed token with every request. The secret never leaves the process.

    Renews a token after half its lifetime.

    Args:
        credentials: the key. Its id must have a known prefix.
        clock: the clock for expiry.
        lifetime: the lifetime of a token.

    Raises:
        ValueError: the key id has an unknown prefix, so its scope is unknown.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        clock: Clock | None = None,
        lifetime: timedelta = TOKEN_LIFETIME,
    ) -> None:
        if credentials.scope is None:
            raise ValueError(
                f"the key id {credentials.key_id!r} has an unknown prefix (known: "
                f"{', '.join(_SCOPES)}), so its scope is unknown; use Basic auth, or another key"
            )
        self._credentials = credentials
        self._scope = credentials.scope
        self._clock = clock or SystemClock()
        self._lifetime = lifetime
        self._token = ""
        self._renew_at: datetime | None = None

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Add the current token to the request."""
        request.headers["Authorization"] = f"Bearer {self._current()}"
        yield request

    def _current(self) -> str:
        now = self._clock.now()
        if self._renew_at is None or now >= self._renew_at:
            self._token = jwt.encode(
                {"scope": self._scope.value, "exp": now + self._lifetime},
                self._credentials.secret,
                algorithm="HS256",
                headers={"kid": self._credentials.key_id},
            )
            self._renew_at = now + self._lifetime / 2
        return self._token
