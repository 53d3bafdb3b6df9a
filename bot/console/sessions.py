"""Who is signed in: cookies that any process of the bot can check, and tokens that tell our own forms from others'.

Nothing is kept: a session is its end, signed with a key made from CONSOLE_TOKEN. Another token ends all of them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta

LASTS = timedelta(hours=12)
_VERSION = "1"


class Sessions:
    """Signs sessions and forms.

    Args:
        token: CONSOLE_TOKEN.
    """

    def __init__(self, token: str) -> None:
        self._token = hashlib.sha256(token.encode()).digest()
        self._key = hmac.digest(token.encode(), b"switchboard-bot console", "sha256")

    def is_token(self, given: str) -> bool:
        """Is it CONSOLE_TOKEN? Takes the same time whatever is given."""
        return hmac.compare_digest(hashlib.sha256(given.encode("utf-8", "replace")).digest(), self._token)

    def begin(self, now: datetime) -> str:
        """A new session, as a cookie's value."""
        end = int((now + LASTS).timestamp())
        body = f"{_VERSION}.{end}.{secrets.token_urlsafe(12)}"
        return f"{body}.{self._sign('session', body)}"

    def end_of(self, cookie: str, now: datetime) -> datetime | None:
        """When the session of a cookie ends; None if there is none, or not any more."""
        body, _, signature = cookie.rpartition(".")
        if not self._is_signed("session", body, signature):
            return None
        version, end, _ = body.split(".")
        until = datetime.fromtimestamp(int(end), UTC)
        return until if version == _VERSION and now < until else None

    def form_token(self, cookie: str) -> str:
        """What a form of this session (or of the sign-in page with this cookie) carries along."""
        return self._sign("form", cookie)

    def is_form_token(self, given: str, cookie: str) -> bool:
        """Did a form come from a page that was given out with this cookie?"""
        return bool(cookie) and self._is_signed("form", cookie, given)

    def _is_signed(self, purpose: str, text: str, signature: str) -> bool:
        expected = self._sign(purpose, text)
        return hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode())

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode("utf-8", "replace"), "sha256").hexdigest()
