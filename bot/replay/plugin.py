"""The pytest plugin: a fixture that plays a tape against the project's own flows.

    async def test_ends(replay):
        result = await replay("tapes/ended_mid_flow.jsonl", mode="pass")
        assert result.closed

pytest loads it in every environment with the bot, so it imports nothing of the bot until
a test needs it.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bot.replay.fixture import Replay


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> Replay:
    """Play a tape: `await replay("tape.jsonl", mode="pass")`. See `Replay`."""
    from bot.replay.fixture import Replay

    return Replay(request.path.parent)


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test that uses `replay`, unless another plugin does."""
    test, names = pyfuncitem.obj, pyfuncitem.fixturenames
    if "replay" not in names or "chat_with" in names or not inspect.iscoroutinefunction(test):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    asyncio.run(test(**wanted))
    return True
