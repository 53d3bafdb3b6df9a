"""The face for flow authors: every name is there, and nothing is imported before it is asked for."""

from __future__ import annotations

import pytest

import bot


@pytest.mark.parametrize("name", bot.__all__)
def test_every_name_is_there(name: str) -> None:
    """As the thing of that name."""
    found = getattr(bot, name)
    assert getattr(found, "__name__", name) == name or name in ("Content", "FormField")


def test_no_other_name_is_there() -> None:
    """With the error that Python itself would give."""
    with pytest.raises(AttributeError, match="module 'bot' has no attribute 'chat_bot'"):
        bot.__getattr__("chat_bot")
