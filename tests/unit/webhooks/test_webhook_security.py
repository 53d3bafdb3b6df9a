"""Who may deliver."""

from __future__ import annotations

import hmac

import pytest

from webhooks.security import Secrets


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("new", True),
        ("old", True),
        ("New", False),
        ("new ", False),
        ("", False),
        (None, False),
        ("new,old", False),
        ("nëw", False),
        ("new\udcff", False),
        ("\ud800", False),
    ],
)
def test_only_the_secrets_are_accepted(header: str | None, accepted: bool) -> None:
    """Each secret that is valid during a rotation, exactly; strange bytes are no error."""
    assert Secrets(["new", "old"]).accepts(header) is accepted


def test_a_secret_may_have_any_characters() -> None:
    """A secret is compared as UTF-8."""
    assert Secrets(["schlüssel"]).accepts("schlüssel")


def test_every_secret_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """No early exit: the time tells nothing about which secret matched."""
    compared: list[bytes] = []
    genuine = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return genuine(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    assert Secrets(["first", "second", "third"]).accepts("first")
    assert len(compared) == 3


@pytest.mark.parametrize(("values", "error"), [([], ValueError), (["a", ""], ValueError), ([" "], ValueError)])
def test_there_must_be_secrets(values: list[str], error: type[Exception]) -> None:
    """Without one, or with a blank one, anybody could deliver."""
    with pytest.raises(error, match="secret"):
        Secrets(values)


def test_a_text_is_no_list_of_secrets() -> None:
    """Each of its characters would be a secret."""
    with pytest.raises(TypeError, match="pass a list"):
        Secrets("abc")


def test_secrets_are_not_shown() -> None:
    """Nothing that prints an object prints a secret."""
    assert "hush" not in repr(Secrets(["hush"]))
