"""API keys, and Basic auth with them.

The published API description, "Authentication": the key id is the user name and the secret the password.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import httpx2


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
