"""The package's pytest plugin: the fixture `chat_with`.

pytest loads it in every environment with the bot, so it imports nothing of the bot until
a test needs it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bot.testing.talks import ChatWith


@pytest.fixture
def chat_with() -> Iterator[ChatWith]:
    """Start a talk with a flow.

    For example `talk = chat_with(survey, mode="pass")`, then `await talk.user("hi")`. See
    `bot.testing.talk.Talk` for everything a talk can do.
    """
    from bot.testing.talks import ChatWith

    with ChatWith() as chat_with:
        yield chat_with


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test that uses `chat_with`, unless another plugin does.

    pytest-asyncio (in auto mode, or with its mark) and anyio take precedence.
    """
    test = pyfuncitem.obj
    if "chat_with" not in pyfuncitem.fixturenames or not inspect.iscoroutinefunction(test):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    asyncio.run(test(**wanted))
    return True
