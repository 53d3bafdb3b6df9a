"""Decompress request bodies, with a size limit."""

from __future__ import annotations

import zlib

_GZIP = 16 + zlib.MAX_WBITS
_CM_DEFLATE = 8  # low bits of the first zlib byte; some senders omit the zlib header


class UnknownEncodingError(ValueError):
    """The Content-Encoding is not gzip, deflate or identity."""


class BodyTooLargeError(ValueError):
    """The decompressed body exceeds the limit."""


class DamagedBodyError(ValueError):
    """The body was altered or truncated in transit."""


def inflate(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Decompress a body.

    Args:
        body: the complete body as received.
        encoding: its Content-Encoding; "" if there is none.
        max_bytes: maximum size of the result.

    Raises:
        UnknownEncodingError: the Content-Encoding is not supported.
        BodyTooLargeError: the result exceeds `max_bytes`.
        DamagedBodyError: the body was altered or truncated.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            bits = _GZIP
        case "deflate":
            bits = zlib.MAX_WBITS if body[:1] and body[0] & 0xF == _CM_DEFLATE else -zlib.MAX_WBITS
        case _:
            raise UnknownEncodingError("the Content-Encoding is not gzip, deflate or identity")
    inflater = zlib.decompressobj(bits)
    try:
        plain = inflater.decompress(body, max_bytes + 1)
    except zlib.error:
        raise DamagedBodyError("the body does not match its Content-Encoding") from None
    if len(plain) > max_bytes:
        raise BodyTooLargeError(f"the decompressed body exceeds {max_bytes} bytes")
    if not inflater.eof or inflater.unused_data:
        raise DamagedBodyError("the compressed body is truncated, or has trailing data")
    return plain
