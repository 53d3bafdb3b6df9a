"""The testing kit for flows: a pytest plugin with the fixture `chat_with`, on the real engine in virtual time.

`ChatWith` and `Talk` are for the annotations of typed tests: `async def test_it(chat_with: ChatWith) -> None`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.testing.talk import ChatWith, Talk

__all__ = ["ChatWith", "Talk"]


def __getattr__(name: str) -> object:
    """Import a name when it is asked for: pytest loads this package in every environment that has it."""
    if name in __all__:
        return getattr(import_module("bot.testing.talk"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
