"""Sessions and forms: what is signed counts, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.console.sessions import LASTS, Sessions

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def sessions() -> Sessions:
    """With a token that is not ASCII."""
    return Sessions("a tökén for the console")


def test_token(sessions: Sessions) -> None:
    """The very token, and nothing like it."""
    assert sessions.is_token("a tökén for the console")
    for wrong in ("", "a token for the console", "a tökén for the console ", "\ud83d"):
        assert not sessions.is_token(wrong)


def test_lasts(sessions: Sessions) -> None:
    """Until its end, and no longer."""
    cookie = sessions.begin(NOW)
    assert sessions.end_of(cookie, NOW) == NOW + LASTS
    assert sessions.end_of(cookie, NOW + LASTS - SECOND) == NOW + LASTS
    assert sessions.end_of(cookie, NOW + LASTS) is None


def test_other_processes(sessions: Sessions) -> None:
    """Another process with the same token knows the session; one with another token does not."""
    cookie = sessions.begin(NOW)
    assert Sessions("a tökén for the console").end_of(cookie, NOW)
    assert Sessions("a new token of the console").end_of(cookie, NOW) is None
    assert sessions.begin(NOW) != cookie


@pytest.mark.parametrize("forge", ["", ".", "1.99999999999.x.", "x" * 5000, "\ud83d.1", "1.2.3.4"])
def test_forged(sessions: Sessions, forge: str) -> None:
    """A cookie that was not made here is none."""
    assert sessions.end_of(forge, NOW) is None


def test_stretched(sessions: Sessions) -> None:
    """A later end is another text than the one that was signed; a form's token is no session's signature."""
    version, end, rest = sessions.begin(NOW).split(".", 2)
    assert sessions.end_of(f"{version}.{int(end) + 1}.{rest}", NOW) is None
    body = f"{version}.{int(end) + 1}.nonce"
    assert sessions.end_of(f"{body}.{sessions.form_token(body)}", NOW) is None


def test_forms(sessions: Sessions) -> None:
    """A form belongs to the session that it was given to."""
    one, other = sessions.begin(NOW), sessions.begin(NOW)
    assert sessions.is_form_token(sessions.form_token(one), one)
    assert not sessions.is_form_token(sessions.form_token(one), other)
    assert not sessions.is_form_token("", one)
    assert not sessions.is_form_token(sessions.form_token(""), "")
