"""Wrong tokens slow down whoever gives them, and nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.console import attempts
from bot.console.attempts import FREE, MAX_DELAY, WINDOW, Attempts, delay, network_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_pauses_grow() -> None:
    """The first few are answered at once, for people mistype; then ever later, up to a bound."""
    pauses = [delay(failures) for failures in range(1, 20)]
    assert pauses[:FREE] == [0.0] * FREE
    assert pauses[FREE:] == sorted(pauses[FREE:])
    assert pauses[FREE] == 1.0
    assert pauses[-1] == delay(10_000) == MAX_DELAY


def test_each_network_for_itself() -> None:
    """What one does is not counted for another."""
    tried = Attempts()
    assert [tried.failed("192.0.2.1", NOW) for _ in range(3)] == [1, 2, 3]
    assert tried.failed("192.0.2.2", NOW) == 1


def test_forgotten_after_a_while() -> None:
    """A pause of five minutes, and the count begins anew."""
    tried = Attempts()
    tried.failed("192.0.2.1", NOW)
    assert tried.failed("192.0.2.1", NOW + WINDOW - SECOND) == 2
    assert tried.failed("192.0.2.1", NOW + 2 * WINDOW) == 1


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("unknown", "unknown"),
    ],
)
def test_networks(address: str, network: str) -> None:
    """Whoever has one IPv6 address has millions of them."""
    assert network_of(address) == network


def test_memory() -> None:
    """However many networks try, little is remembered: the newest."""
    tried = Attempts()
    for number in range(3 * attempts._MAX_NETWORKS):
        tried.failed(f"2001:db8:0:{number:x}::1", NOW)
    assert len(tried._networks) == attempts._MAX_NETWORKS
    assert tried.failed(f"2001:db8:0:{3 * attempts._MAX_NETWORKS - 1:x}::2", NOW) == 2
