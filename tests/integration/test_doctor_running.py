"""`doctor` asks the bot that runs on this machine what lasts there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from bot_program import free_port

from bot.account.examination import ask_running
from bot.clock import SystemClock
from bot.health import add_metrics
from bot.observability import Metrics, Watch
from bot.settings import usable_settings
from bot.store import SqliteStore
from bot.troubles import What

TOKEN = "metrics-token-of-the-test"


@pytest.fixture
async def running() -> AsyncIterator[TestServer]:
    """A bot whose key is refused."""
    store, watch, app = SqliteStore(":memory:", inline=True), Watch(Metrics()), web.Application()
    await store.start()
    watch.troubles.failed(What.KEY, "refused", "Mend it.", where="SUNSHINE_KEY")
    watch.troubles.failed(What.RATE_LIMIT, "refused", "Wait.")
    add_metrics(app, store, SystemClock(), watch.metrics, TOKEN)
    server = TestServer(app)
    async with server:
        yield server
    await store.stop()


async def test_what_lasts_there(running: TestServer) -> None:
    """Whichever address it listens at, and with its token."""
    port = running.port or 0
    for known in (
        {"metrics_token": TOKEN, "port": port},
        {"metrics_token": TOKEN, "metrics_port": port, "host": "127.0.0.1"},
    ):
        settings, _ = usable_settings(_env_file=None, **known)
        assert await ask_running(settings) == (What.KEY, What.RATE_LIMIT)


async def test_a_bot_that_can_not_be_asked(running: TestServer) -> None:
    """Metrics are off, the token is wrong, or nothing runs here."""
    port = running.port or 0
    for known in (
        {"port": port},
        {"port": port, "metrics_token": "another-token-of-the-test"},
        {"metrics_port": free_port()},
    ):
        settings, _ = usable_settings(_env_file=None, **known)
        assert await ask_running(settings) is None
