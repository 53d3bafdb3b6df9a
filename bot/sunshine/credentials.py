"""API keys, and the two ways to prove that one has them: Basic auth, and a signed token (JWT).

The published API description, "Authentication": the key id is the user name and the secret the password; or a
token signed with HS256, with the key id as `kid` and the key's scope as the claim `scope`.
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
"""How long a token is valid: short, and yet longer than the clocks of two machines are apart."""


class Scope(StrEnum):
    """What a key may do (the published API description, "Authorization")."""

    INTEGRATION = "integration"
    APP = "app"
    ACCOUNT = "account"


_SCOPES: Final = {"int_": Scope.INTEGRATION, "app_": Scope.APP, "act_": Scope.ACCOUNT, "svc_": Scope.ACCOUNT}


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API key. The secret does not show in its `repr()`.

    Attributes:
        key_id: starts with `int_`, `app_`, `act_` or `svc_`.
        secret: shown once, when the key is made.

    Raises:
        ValueError: one of them is empty, or the key id holds a colon, which Basic auth can't carry.
    """

    key_id: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.key_id or not self.secret:
            raise ValueError("an API key needs both its id and its secret")
        if ":" in self.key_id:
            raise ValueError("the id of an API key holds no colon; were id and secret pasted together?")

    @property
    def scope(self) -> Scope | None:
        """What the key may do, judged by its id; None for an id that is none of the known kinds."""
        return _SCOPES.get(self.key_id[:4])


class BasicAuth(httpx2.BasicAuth):
    """Key id and secret with every request."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__(credentials.key_id, credentials.secret)


class JwtAuth(httpx2.Auth):
    """A token with every request, signed here; the secret itself never leaves the process.

    A token is renewed when half of its life is over.

    Args:
        credentials: the key; its id must tell its scope.
        clock: tells when a token runs out.
        lifetime: how long a token is valid.

    Raises:
        ValueError: the key id doesn't tell which scope to claim.
    """

    def __init__(
        self, credentials: Credentials, *, clock: Clock | None = None, lifetime: timedelta = TOKEN_LIFETIME
    ) -> None:
        if credentials.scope is None:
            raise ValueError(
                f"the key id {credentials.key_id!r} starts with none of {', '.join(_SCOPES)}, so its scope "
                "is unknown; use Basic auth, or another key"
            )
        self._credentials = credentials
        self._scope = credentials.scope
        self._clock = clock or SystemClock()
        self._lifetime = lifetime
        self._token = ""
        self._renew_at: datetime | None = None

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Put the current token on the request."""
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
