"""The network address of a browser, behind reverse proxies that are trusted to tell it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_HOPS = 20
"""Entries of X-Forwarded-For that are read, from the right. No real chain of proxies is longer."""

_WITH_PORT = re.compile(r"\[(?P<six>[^\[\]]+)\](:\d+)?|(?P<four>[\d.]+):\d+")


def client_address(remote: str | None, forwarded: Iterable[str], trusted: Sequence[IpNetwork]) -> str:
    """Return the address to count a browser's attempts by.

    Each proxy appends the address of its caller, so only entries that a trusted proxy appended are believed: the
    result is the rightmost address that is not a trusted proxy. Everything to the left of it may be forged.

    Args:
        remote: where the connection comes from.
        forwarded: the values of the X-Forwarded-For headers, in order.
        trusted: the proxies' networks; none: the header is not looked at.

    Returns:
        An address; `unknown` if the connection has none. If an entry is malformed, the address of the proxy that
        appended it.
    """
    found = _parsed(remote or "")
    if found is None:
        return remote or "unknown"
    if not _is_trusted(found, trusted):
        return str(found)
    entries = ",".join(forwarded).split(",")[-MOST_HOPS:]
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
    """An address as proxies write it, perhaps with a port; None if it is none."""
    text = text.strip()
    if found := _WITH_PORT.fullmatch(text):
        text = found["six"] or found["four"]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
