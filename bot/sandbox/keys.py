"""API keys, and the check of a request's Authorization: Basic, or a JWT signed with HS256 (platform.md, section 6)."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import jwt
from jwt.types import Options

from bot.sandbox.errors import ApiError
from bot.sandbox.records import Caller, IdSource

_BY_OUR_CLOCK: Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}


@dataclass(frozen=True, slots=True)
class Key:
    """A key: who it stands for, and its secret."""

    caller: Caller
    secret: str

    @property
    def id(self) -> str:
        """`int_…` or `app_…`."""
        return self.caller.key_id


class Keys:
    """The keys of an app."""

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids
        self._by_id: dict[str, Key] = {}

    def for_integration(self, integration_id: str) -> Key:
        """Make a key of an integration (scope `integration`)."""
        return self._add(Caller(f"int_{self._ids()}", "integration", integration_id))

    def for_app(self) -> Key:
        """Make a key of the app (scope `app`)."""
        return self._add(Caller(f"app_{self._ids()}", "app"))

    def revoke(self, key_id: str) -> None:
        """The key is no good any more."""
        del self._by_id[key_id]

    def authenticate(self, headers: Mapping[str, str], now: datetime) -> Caller:
        """Who calls? Raises `ApiError` 401.

        Args:
            headers: with lower-case names.
            now: for a token's `exp`.
        """
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        match scheme.lower():
            case "basic":
                return self._basic(credentials.strip())
            case "bearer":
                return self._bearer(credentials.strip(), now)
            case _:
                raise _unauthorized("Sign the request: Basic authentication or a JWT.")

    def _basic(self, credentials: str) -> Caller:
        try:
            key_id, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise _unauthorized("The Basic credentials can't be decoded.") from error
        key = self._by_id.get(key_id)
        if key is None or not hmac.compare_digest(key.secret.encode(), secret.encode()):
            raise _unauthorized("The key or its secret is wrong.")
        return key.caller

    def _bearer(self, token: str, now: datetime) -> Caller:
        try:
            key = self._by_id.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise _unauthorized("The token's kid names no key.")
            claims = jwt.decode(token, key.secret, algorithms=["HS256"], options=_BY_OUR_CLOCK)
        except jwt.InvalidTokenError as error:
            raise _unauthorized("The token is not valid.") from error
        if claims.get("scope") != key.caller.scope:
            raise _unauthorized("The token's scope is not the key's.")
        if "exp" in claims and now.timestamp() >= claims["exp"]:
            raise _unauthorized("The token has expired.")
        return key.caller

    def _add(self, caller: Caller) -> Key:
        key = Key(caller, secret=f"secret-of-{caller.key_id}-{self._ids()}")
        self._by_id[key.id] = key
        return key


def _unauthorized(title: str) -> ApiError:
    return ApiError(401, "unauthorized", title)
