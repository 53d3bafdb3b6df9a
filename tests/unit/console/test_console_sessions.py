"""Sessions and forms: what is signed counts, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.console.sessions import LIFETIME, Sessions, operators_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def sessions() -> Sessions:
    """With a token that is not ASCII."""
    return Sessions("a tökén for the console")


def test_token(sessions: Sessions) -> None:
    """The very token, and nothing like it."""
    assert sessions.operator_of("a tökén for the console") == ""
    for wrong in ("", "a token for the console", "a tökén for the console ", "\ud83d"):
        assert sessions.operator_of(wrong) is None


class TestOperators:
    """Several tokens, each with a name."""

    SETTING = "ada:token-of-ada-42, grace:token:with:colons"

    def test_names(self) -> None:
        """The token alone signs in; what is said before the colon is whose it is."""
        sessions = Sessions(self.SETTING)
        found = [sessions.operator_of(token) for token in ("token-of-ada-42", "token:with:colons")]
        assert found == ["ada", "grace"]
        for wrong in ("ada:token-of-ada-42", "ada", "", self.SETTING):
            assert sessions.operator_of(wrong) is None

    def test_session(self) -> None:
        """It tells whose it is, and nobody can make it another's."""
        sessions = Sessions(self.SETTING)
        cookie = sessions.begin(NOW, "ada")
        found = sessions.find(cookie, NOW)
        assert found
        assert found.operator == "ada"
        assert sessions.find(cookie.replace(".ada.", ".grace."), NOW) is None

    def test_a_token_that_has_changed(self) -> None:
        """It ends the sessions of that operator, and of nobody else."""
        ada, grace = (Sessions(self.SETTING).begin(NOW, name) for name in ("ada", "grace"))
        later = Sessions(self.SETTING.replace("ada:token-of-ada-42", "ada:another-token-of-ada"))
        assert later.find(ada, NOW) is None
        assert later.find(grace, NOW)
        assert Sessions("grace:token:with:colons").find(ada, NOW) is None

    @pytest.mark.parametrize(
        "single", ["one-token-for-all", "with,comma-and-more", "7:begins-with-a-digit", "ada:x,more"]
    )
    def test_a_single_token(self, single: str) -> None:
        """As before, whatever it is made of."""
        assert operators_of(single) == {"": single}


def test_lasts(sessions: Sessions) -> None:
    """Until its end, and no longer."""
    cookie = sessions.begin(NOW)
    session = sessions.find(cookie, NOW)
    assert session
    assert session.end == NOW + LIFETIME
    assert sessions.find(cookie, NOW + LIFETIME - SECOND) == session
    assert sessions.find(cookie, NOW + LIFETIME) is None


def test_other_processes(sessions: Sessions) -> None:
    """Another process with the same token knows the session; one with another token does not."""
    cookie = sessions.begin(NOW)
    assert Sessions("a tökén for the console").find(cookie, NOW)
    assert Sessions("a new token of the console").find(cookie, NOW) is None
    assert sessions.begin(NOW) != cookie


@pytest.mark.parametrize("forge", ["", ".", "1.99999999999.x.", "x" * 5000, "\ud83d.1", "1.2.3.4"])
def test_forged(sessions: Sessions, forge: str) -> None:
    """A cookie that was not made here is none."""
    assert sessions.find(forge, NOW) is None


def test_stretched(sessions: Sessions) -> None:
    """A later end is another text than the one that was signed; a form's token is no session's signature."""
    version, end, rest = sessions.begin(NOW).split(".", 2)
    assert sessions.find(f"{version}.{int(end) + 1}.{rest}", NOW) is None
    body = f"{version}.{int(end) + 1}.nonce"
    assert sessions.find(f"{body}.{sessions.form_token(body)}", NOW) is None


def test_forms(sessions: Sessions) -> None:
    """A form belongs to the session that it was given to."""
    one, other = sessions.begin(NOW), sessions.begin(NOW)
    assert sessions.is_form_token(sessions.form_token(one), one)
    assert not sessions.is_form_token(sessions.form_token(one), other)
    assert not sessions.is_form_token("", one)
    assert not sessions.is_form_token(sessions.form_token(""), "")
