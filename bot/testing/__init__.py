"""The testing kit for flows: the pytest fixture `chat_with`.

It runs flows on the real engine in virtual time. Use `ChatWith` and `Talk` to annotate
tests: `async def test_it(chat_with: ChatWith) -> None`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.testing.talk import Talk
    from bot.testing.talks import ChatWith

__all__ = ["ChatWith", "Talk"]

_HOMES = {"ChatWith": "bot.testing.talks", "Talk": "bot.testing.talk"}


def __getattr__(name: str) -> object:
    """Import a name on first use: pytest loads this package in every test run."""
    if home := _HOMES.get(name):
        return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
