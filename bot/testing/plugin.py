"""The pytest plugin that comes with the package: the fixture `chat_with`.

It is loaded into every test run of an environment that has the bot, so it imports nothing of it before a test asks.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bot.testing.talk import ChatWith


@pytest.fixture
def chat_with() -> Iterator[ChatWith]:
    """Begin a talk with a flow: `talk = chat_with(survey, mode="pass")`, then `await talk.user("hi")`, and so on.

    See `bot.testing.talk.Talk` for what a talk can do.
    """
    from bot.testing.talks import Talks

    with Talks() as talks:
        yield talks.begin


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test that uses `chat_with` where no other plugin does.

    pytest-asyncio (in auto mode, or with its mark) and anyio come first, and such a test is none of ours then.
    """
    test = pyfuncitem.obj
    if "chat_with" not in pyfuncitem.fixturenames or not inspect.iscoroutinefunction(test):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    asyncio.run(test(**wanted))
    return True
