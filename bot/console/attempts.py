"""Delays answers to repeated wrong tokens, by network address. Never locks anyone out."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=5)
FREE = 3  # wrong tokens answered without delay
MAX_DELAY = 10.0  # seconds
_MAX_NETWORKS = 1_000


class Attempts:
    """Counts wrong tokens, in the memory of this process."""

    def __init__(self) -> None:
        self._networks: OrderedDict[str, tuple[int, datetime]] = OrderedDict()

    def failed(self, address: str, now: datetime) -> int:
        """Count a wrong token. Return the number from this network without a gap of `WINDOW`."""
        network = network_of(address)
        count, last = self._networks.pop(network, (0, now))
        count = 1 if now - last >= WINDOW else count + 1
        self._networks[network] = count, now
        if len(self._networks) > _MAX_NETWORKS:
            self._networks.popitem(last=False)
        return count


def delay(failures: int) -> float:
    """Return the delay of the answer to the latest of `failures` wrong tokens, in seconds."""
    return 0.0 if failures <= FREE else min(MAX_DELAY, 2.0 ** min(failures - FREE - 1, 10))


def network_of(address: str) -> str:
    """Return the network that one person may have: an IPv4 address, or an IPv6 /64 network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
