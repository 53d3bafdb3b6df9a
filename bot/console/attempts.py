"""Slows down whoever keeps giving wrong tokens, by network address. Nobody is ever locked out."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=5)
FREE = 3  # wrong tokens that are answered at once
SLOWEST = 10.0  # seconds
_MOST_NETWORKS = 1_000


class Attempts:
    """Counts wrong tokens, in memory: another process counts for itself."""

    def __init__(self) -> None:
        self._networks: OrderedDict[str, tuple[int, datetime]] = OrderedDict()

    def failed(self, address: str, now: datetime) -> int:
        """Count a wrong token, and return how many came from there without a pause of `WINDOW`."""
        network = network_of(address)
        count, last = self._networks.pop(network, (0, now))
        count = 1 if now - last >= WINDOW else count + 1
        self._networks[network] = count, now
        if len(self._networks) > _MOST_NETWORKS:
            self._networks.popitem(last=False)
        return count


def pause(failures: int) -> float:
    """Return how many seconds the answer to the latest of so many wrong tokens is held back."""
    return 0.0 if failures <= FREE else min(SLOWEST, 2.0 ** min(failures - FREE - 1, 10))


def network_of(address: str) -> str:
    """Return what one person has of addresses: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
