"""Determines a browser's network address behind trusted reverse proxies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS = 20
"""Maximum entries of X-Forwarded-For to read, from the right. Real chains are shorter."""

_WITH_PORT = re.compile(r"\[(?P<six>[^\[\]]+)\](:\d+)?|(?P<four>[\d.]+):\d+")


def client_address(remote: str | None, forwarded: Iterable[str], trusted: Sequence[IpNetwork]) -> str:
    """Return the address by which to count a browser's attempts.

    Each proxy appends the address of its caller, so only entries appended by a trusted proxy
    are reliable. The result is the rightmost address that is not a trusted proxy; anything to
    the left of it may be forged.

    Args:
        remote: the address of the connection.
        forwarded: the values of the X-Forwarded-For headers, in order.
        trusted: the proxies' networks; if empty, the headers are ignored.

    Returns:
        An address; `unknown` if the connection has none. For a malformed entry, the address of
        the proxy that appended it.
    """
    found = _parsed(remote or "")
    if found is None:
        return remote or "unknown"
    if not _is_trusted(found, trusted):
        return str(found)
    entries = ",".join(forwarded).split(",")[-MAX_HOPS:]
    for entry in reversed(entries):
        hop = _parsed(entry)
        if hop is None:
            break
        found = hop
        if not _is_trusted(found, trusted):
            break
    return str(found)


def _is_trusted(address: IpAddress, trusted: Sequence[IpNetwork]) -> bool:
    return any(address in network for network in trusted)


def _parsed(text: str) -> IpAddress | None:
    """Parse an address as proxies write it, perhaps with a port; None if invalid."""
    text = text.strip()
    if found := _WITH_PORT.fullmatch(text):
        text = found["six"] or found["four"]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
