"""Sessions: signed cookies that any process of the bot can verify, and CSRF tokens for forms.

A session cookie contains expiry, operator and id, signed with a key derived from the operator's
token. Changing the token ends its sessions. Only the ids of signed-out sessions are stored
(`OperatorStore.end_session`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

LIFETIME = timedelta(hours=12)
_VERSION = "2"
_PARTS = 4


NAMED = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]{0,31}):(?P<token>.*)", re.DOTALL)


def operators_of(setting: str) -> dict[str, str]:
    """Parse CONSOLE_TOKEN: `ada:token,grace:token`, or one token without a name."""
    named = [NAMED.fullmatch(part.strip()) for part in setting.split(",")]
    found = {one["name"]: one["token"] for one in named if one}
    return found if len(found) == len(named) else {"": setting}


@dataclass(frozen=True, slots=True)
class Session:
    """A session from a genuine cookie. It may have been signed out.

    Attributes:
        id: the session's id. Not a secret: it is useless without the signature.
        end: the time of expiry.
        operator: the operator's name; empty if tokens have no names.
    """

    id: str
    end: datetime
    operator: str = ""


class Sessions:
    """Signs sessions and forms, and verifies them.

    Args:
        setting: CONSOLE_TOKEN.
    """

    def __init__(self, setting: str) -> None:
        operators = operators_of(setting)
        self._tokens = {name: hashlib.sha256(token.encode()).digest() for name, token in operators.items()}
        self._keys = {name: _key(token, "sessions") for name, token in operators.items()}
        self._form_key = _key(setting, "forms")

    def operator_of(self, given: str) -> str | None:
        """Return the operator with this token; None if there is none. Takes constant time."""
        hashed = hashlib.sha256(given.encode("utf-8", "replace")).digest()
        tokens = self._tokens.items()
        found = [name for name, token in tokens if hmac.compare_digest(hashed, token)]
        return found[0] if found else None

    def begin(self, now: datetime, operator: str = "") -> str:
        """Create a session, and return the cookie's value."""
        end = int((now + LIFETIME).timestamp())
        body = f"{_VERSION}.{end}.{operator}.{secrets.token_urlsafe(12)}"
        return f"{body}.{_signature(self._keys[operator], body)}"

    def find(self, cookie: str, now: datetime) -> Session | None:
        """Return the session of a cookie; None if forged or expired, or if the token changed."""
        body, _, signature = cookie.rpartition(".")
        parts = body.split(".")
        key = self._keys.get(parts[2]) if len(parts) == _PARTS else None
        if key is None or not _is_signed(key, body, signature):
            return None
        version, end, operator, id_ = parts
        until = datetime.fromtimestamp(int(end), UTC)
        return Session(id_, until, operator) if version == _VERSION and now < until else None

    def form_token(self, cookie: str) -> str:
        """Return the CSRF token for a form of a page with this cookie."""
        return _signature(self._form_key, cookie)

    def is_form_token(self, given: str, cookie: str) -> bool:
        """Return whether a CSRF token belongs to a page with this cookie."""
        return bool(cookie) and _is_signed(self._form_key, cookie, given)


def _key(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), f"switchboard-bot console {purpose}".encode(), "sha256")


def _is_signed(key: bytes, text: str, signature: str) -> bool:
    return hmac.compare_digest(signature.encode("utf-8", "replace"), _signature(key, text).encode())


def _signature(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode("utf-8", "replace"), "sha256").hexdigest()
