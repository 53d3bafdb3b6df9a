"""How often somebody may try to sign in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.console import attempts
from bot.console.attempts import MOST_OF_ALL, MOST_OF_ONE, WINDOW, Attempts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_one_address() -> None:
    """So many wrong tokens, and then a wait that shrinks; others don't wait."""
    tried = Attempts()
    for number in range(MOST_OF_ONE):
        assert tried.wait("a", NOW) is None
        tried.failed("a", NOW + number * SECOND)
    now = NOW + MOST_OF_ONE * SECOND
    assert tried.wait("a", now) == WINDOW - MOST_OF_ONE * SECOND
    assert tried.wait("b", now) is None
    assert tried.wait("a", NOW + WINDOW) is None


def test_all_addresses() -> None:
    """Many addresses together are bounded as well."""
    tried = Attempts()
    for number in range(MOST_OF_ALL):
        assert tried.wait("new", NOW) is None
        tried.failed(f"address {number}", NOW)
    assert tried.wait("new", NOW) == WINDOW
    assert tried.wait("new", NOW + WINDOW) is None


def test_memory() -> None:
    """However many addresses try, what is remembered stays small; those of long ago make room."""
    tried = Attempts()
    for number in range(3 * attempts._MOST_ADDRESSES):
        tried.failed(f"address {number}", NOW)
    assert len(tried._by_address) == attempts._MOST_ADDRESSES
    tried.failed("later", NOW + WINDOW)
    assert set(tried._by_address) == {"later"}
