"""The shared secret in each delivery."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

API_KEY_HEADER = "X-API-Key"
"""The header that carries the secret (docs/platform.md, 4)."""


class Secrets:
    """The valid webhook secrets; several during a rotation. Stored as hashes, never shown."""

    __slots__ = ("_digests",)

    def __init__(self, values: Sequence[str]) -> None:
        """Hash the secrets.

        Raises:
            TypeError: a plain string, whose characters would each become a secret.
            ValueError: no secret, or a blank one, which would let anyone deliver.
        """
        if isinstance(values, str):
            raise TypeError("the webhook secrets are a plain string: pass a list")
        if not values:
            raise ValueError("there is no webhook secret: set at least one")
        if not all(value.strip() for value in values):
            raise ValueError("a webhook secret is blank: remove it, or a stray comma")
        self._digests = tuple(_digest(value) for value in values)

    def accepts(self, header: str | None) -> bool:
        """Return whether the header is one of the secrets, in constant time."""
        digest = _digest(header or "")
        accepted = False
        for known in self._digests:
            accepted |= hmac.compare_digest(digest, known)
        return accepted


def _digest(value: str) -> bytes:
    # Header bytes that are not UTF-8 arrive as lone surrogates, which UTF-8 can't encode.
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
