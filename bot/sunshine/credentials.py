"""API keys, and Basic auth with them.

The published API description, "Authentication": the key id is the user name, and the secret is
the password.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import httpx2


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
