"""The package's own pytest plugin, and a small world for the sandbox's tests: an account, a clock, and callers.

There is one conftest for all tests: the type checker takes no second module of that name. What the browser tests share
is in `browser/browsing.py`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import drawing  # noqa: F401 - the examples of every test are drawn as it says
import pytest
import structlog
from postgres_server import CHOSEN, NoServer, PostgresServer

from bot.sandbox import (
    ANSWERS,
    BOT,
    WORKSPACE,
    Caller,
    Conversation,
    Ids,
    Switchboard,
    Switches,
    standard_switchboard,
    users,
)
from bot.testing import plugin

Event = dict[str, Any]

pytest_plugins = ["browsing"]


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin, unless its entry point has: the package may not be installed here."""
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin)


def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: half as many processes again as there are cores, for a third of the time is waiting."""
    return (os.cpu_count() or 1) * 3 // 2


@pytest.fixture(autouse=True)
def _same_logging() -> Iterator[None]:
    """Undo what a test does to logging: commands that run in this process configure it for good."""
    root, configured, config = logging.root, structlog.is_configured(), structlog.get_config()
    level, handlers, disabled = root.level, root.handlers[:], root.manager.disable
    yield
    if (root.level, root.handlers) != (level, handlers):
        root.setLevel(level)
        root.handlers[:] = handlers
    if root.manager.disable != disabled:
        logging.disable(disabled)
    if configured:
        structlog.configure(**config)
    elif structlog.is_configured():
        structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _patient_people(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let visitors and agents wait for longer in real time: the machine may be busy."""
    before = users.WAIT_TIMEOUT
    if "integration" in request.path.parts:
        users.WAIT_TIMEOUT = 60.0
    yield
    users.WAIT_TIMEOUT = before


class World:
    """An account, its callers, and the time."""

    def __init__(self, *, untouched: bool = False, message_limit: int = 30_000, **switches: Any) -> None:
        self.switches = Switches(**switches)
        self.board: Switchboard = standard_switchboard(
            self.switches, Ids(7), untouched=untouched, message_limit=message_limit
        )
        self.bot, self.desk, self.answers = (self.board.member(name) for name in (BOT, WORKSPACE, ANSWERS))
        self.bot_key = Caller("int_bot", "integration", self.bot.integration_id)
        self.desk_key = Caller("int_desk", "integration", self.desk.integration_id)
        self.app_key = Caller("app_key", "app")
        self.user = self.board.create_user("Sam")
        self._now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    @property
    def now(self) -> datetime:
        """The time; each look is a second later."""
        self._now += timedelta(seconds=1)
        return self._now

    def conversation(self, holder: str | None = BOT) -> Conversation:
        """A conversation in which the user has written, held by `holder`; its events so far are taken away."""
        conversation = self.board.create_conversation(self.user, "message", now=self.now)
        self.board.user_says(conversation.id, "hello", now=self.now)
        if holder is None:
            self.board.release_control(conversation.id, self.app_key, self.now)
        elif holder != BOT:
            self.board.pass_control(conversation.id, self.app_key, holder, self.now)
        self.events()
        return conversation

    def events(self) -> list[Event]:
        """What the bot has heard since the last look."""
        return [dict(d.event) for d in self.board.drain() if d.integration_id == self.bot.integration_id]

    def types(self) -> list[str]:
        """The types of these events."""
        return [event["type"] for event in self.events()]

    def says(self, conversation: Conversation, text: str, **more: Any) -> dict[str, Any]:
        """The bot posts a text."""
        body = {"author": {"type": "business"}, "content": {"type": "text", "text": text}, **more}
        answer = self.board.post_message(conversation.id, self.bot_key, body, self.now)
        return answer["messages"][0] if answer["messages"] else {}


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests of this process; those that need one are skipped where there can be none."""
    try:
        server = PostgresServer()
    except NoServer as error:
        pytest.skip(str(error))
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a migrated database that is this test's own."""
    url = postgres.new_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture(scope="session")
def _shared_database(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture
def emptied_database(postgres: PostgresServer, _shared_database: str) -> Iterator[str]:
    """The URL of a migrated database that is this test's own while it runs. It must leave the schema as it is."""
    yield _shared_database
    postgres.empty(_shared_database)


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Makes a test run on both engines: `CHOSEN` has the URL of an empty PostgreSQL database, or None."""
    CHOSEN.url = request.getfixturevalue("emptied_database") if request.param == "postgres" else None
    yield str(request.param)
    CHOSEN.url = None


@pytest.fixture
def world() -> World:
    """The most documented reading of everything."""
    return World()


@pytest.fixture
def worlds() -> Callable[..., World]:
    """Makes a world with the given switches."""
    return World
