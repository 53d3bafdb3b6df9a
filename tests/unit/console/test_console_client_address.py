"""Behind reverse proxies, the rightmost address that is no trusted proxy's counts."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from bot.console.client_address import MAX_HOPS, client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("192.0.2.7"), ip_network("2001:db8:ffff::/48")]


@pytest.mark.parametrize(
    ("remote", "forwarded", "counts"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # a stranger's claim
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # what it put there itself
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),  # in a header of its own
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1, 192.0.2.7, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),  # from within
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("2001:db8:ffff::1", ["[2001:db8::5]:443"], "2001:db8::5"),
        ("10.0.0.1", ["198.51.100.1:50000"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::5]"], "2001:db8::5"),
        ("", ["198.51.100.1"], "unknown"),
        (None, [], "unknown"),
        ("/run/proxy.sock", ["198.51.100.1"], "/run/proxy.sock"),
    ],
)
def test_counts(remote: str | None, forwarded: list[str], counts: str) -> None:
    assert client_address(remote, forwarded, PROXIES) == counts


@pytest.mark.parametrize(
    "odd", ["", " ", ",", "unknown", "_hidden", "1.2.3", "[::1", "]:80", "1.2.3.4:", "é" * 9, "%00"]
)
def test_malformed(odd: str) -> None:
    """The proxy that passed it on counts, and whatever stands left of it is not read."""
    assert client_address("10.0.0.1", [f"198.51.100.1, {odd}"], PROXIES) == "10.0.0.1"
    assert client_address("10.0.0.1", [f"198.51.100.1, {odd}, 10.3.3.3"], PROXIES) == "10.3.3.3"


def test_nobody_is_trusted_by_default() -> None:
    assert client_address("10.0.0.1", ["198.51.100.1"], ()) == "10.0.0.1"


def test_long_headers() -> None:
    """Only the entries at the right are read."""
    header = ",".join(["198.51.100.1", *["10.0.0.2"] * MAX_HOPS])
    assert client_address("10.0.0.1", [header], PROXIES) == "10.0.0.2"
