"""The face of the testing kit, for the annotations of typed tests."""

from __future__ import annotations

import pytest

import bot.testing
from bot.testing import talk, talks


def test_its_names_are_there() -> None:
    """As those of the modules that define them."""
    assert bot.testing.ChatWith is talks.ChatWith
    assert bot.testing.Talk is talk.Talk


def test_no_other_name_is_there() -> None:
    """With the error that Python itself would give."""
    with pytest.raises(AttributeError, match=r"module 'bot\.testing' has no attribute 'Chat'"):
        bot.testing.__getattr__("Chat")
