"""The shared secret that the platform sends with each delivery."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

API_KEY_HEADER = "X-API-Key"
"""The header that carries it (docs/platform.md, 4)."""


class Secrets:
    """The secrets that are valid now: one, or several while they are being rotated. Kept as hashes, shown nowhere."""

    __slots__ = ("_digests",)

    def __init__(self, values: Sequence[str]) -> None:
        """Take the secrets.

        Raises:
            TypeError: a plain text was given, which would make each of its characters a secret.
            ValueError: there is none, or one is blank: then anybody could deliver.
        """
        if isinstance(values, str):
            raise TypeError("the webhook secrets are a plain text: give them as a list")
        if not values:
            raise ValueError("there is no webhook secret: set at least one")
        if not all(value.strip() for value in values):
            raise ValueError("a webhook secret is blank: remove it, or a comma too many")
        self._digests = tuple(_digest(value) for value in values)

    def accepts(self, header: str | None) -> bool:
        """Whether the header's value is one of the secrets. Takes the same time whichever it is, and if it is none."""
        digest = _digest(header or "")
        accepted = False
        for known in self._digests:
            accepted |= hmac.compare_digest(digest, known)
        return accepted


def _digest(value: str) -> bytes:
    # A header's bytes that are not UTF-8 come as lone surrogates, which plain UTF-8 can't encode.
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
