"""Inflates compressed bodies, within bounds."""

from __future__ import annotations

import zlib

_GZIP = 16 + zlib.MAX_WBITS
_CM_DEFLATE = 8  # how the first byte of zlib's format ends; some senders leave that format away


class UnknownEncoding(ValueError):
    """A Content-Encoding other than gzip, deflate and identity."""


class TooLarge(ValueError):
    """More would come out than is allowed."""


class Damaged(ValueError):
    """It was changed or cut off on its way."""


def inflate(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Inflate a body.

    Args:
        body: as received, complete.
        encoding: its Content-Encoding; "" if there is none.
        max_bytes: how much may come out of it.

    Raises:
        UnknownEncoding, TooLarge, Damaged: nothing has come out.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            bits = _GZIP
        case "deflate":
            bits = zlib.MAX_WBITS if body[:1] and body[0] & 0xF == _CM_DEFLATE else -zlib.MAX_WBITS
        case _:
            raise UnknownEncoding("the Content-Encoding is none of gzip, deflate and identity")
    inflater = zlib.decompressobj(bits)
    try:
        plain = inflater.decompress(body, max_bytes + 1)
    except zlib.error:
        raise Damaged("the body is not what its Content-Encoding says") from None
    if len(plain) > max_bytes:
        raise TooLarge(f"more than {max_bytes} bytes come out of the body")
    if not inflater.eof or inflater.unused_data:
        raise Damaged("the compressed body has no end, or something after it")
    return plain
