"""The sandbox, put together: model, server, webhook sender and clock, started and stopped as one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from bot.clock import Clock, SystemClock
from bot.sandbox import users
from bot.sandbox.api import Api
from bot.sandbox.deliveries import TRIGGERS, Post, Sender
from bot.sandbox.faults import Faults
from bot.sandbox.history import Entry
from bot.sandbox.keys import Keys
from bot.sandbox.records import Caller, Ids, IdSource
from bot.sandbox.server import Server
from bot.sandbox.switchboard import (
    ANSWERS,
    BOT,
    WORKSPACE,
    Switchboard,
    standard_switchboard,
)
from bot.sandbox.switches import Switches
from bot.sandbox.users import Agent, Visitor

T = TypeVar("T")


class Sandbox:
    """A copy of the platform that runs on this machine.

    Args:
        switches: how it behaves where the documents leave it open; `switches.mode` is the control mode.
        webhook_url: where the bot takes its webhook; it can also be given later, by `connect`.
        secret: the webhook's secret.
        host: where the API listens.
        port: 0 for any free port.
        clock: the platform's time.
        ids: makes new ids; from the time of the start if it is not given.
        untouched: an account in which nobody has set the switchboard integrations' `next` yet.
        time_scale: what the waits between webhook attempts are multiplied with.
        batch: events a webhook delivery, at most.
        faults: what goes wrong on the way to the API; `server.faults` can be changed later.
        post: how webhooks are posted; real HTTP if it is not given.
        model: what to make the switchboard of; a replay has one that follows a tape.

    Attributes:
        switchboard: the model; call its operations with `now=sandbox.clock.now()`.
        keys: the keys of the API; `integration_key` and `app_key` are made already.
        observers: called with each entry of the history.
        pace: awaited by people before they do something, for those who watch.
        server, sender: the parts; `sender.attempts` and `server.requests` are records for checks.
    """

    def __init__(
        self,
        *,
        switches: Switches | None = None,
        webhook_url: str | None = None,
        secret: str = "sandbox-webhook-secret",  # noqa: S107 - the stand-in's, and it guards nothing
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        untouched: bool = False,
        time_scale: float = 1.0,
        batch: int = 1,
        faults: Faults | None = None,
        post: Post | None = None,
        model: type[Switchboard] = Switchboard,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.secret = secret
        self.host = host
        made = ids or Ids(int(self.clock.now().timestamp()))
        self.switchboard = standard_switchboard(switches or Switches(), made, untouched=untouched, model=model)
        self.keys = Keys(made)
        self.integration_key = self.keys.for_integration(self.switchboard.member(BOT).integration_id)
        self.app_key = self.keys.for_app()
        self.api = Api(self.switchboard, self.keys)
        self.server = Server(self.api, self.clock, host, port)
        self.server.faults = faults
        self.sender = Sender(self.switchboard, self.clock, post=post, time_scale=time_scale, batch=batch)
        self.observers: list[Callable[[Entry], None]] = []
        self.pace: Callable[[], Awaitable[None]] = _at_once
        self._waiting: set[asyncio.Future[None]] = set()
        self.switchboard.observers.append(self._noticed)
        if webhook_url is not None:
            self.connect(webhook_url)

    @property
    def switches(self) -> Switches:
        """How the platform behaves now."""
        return self.switchboard.switches

    @property
    def app_id(self) -> str:
        """The app's id."""
        return self.switchboard.app_id

    @property
    def base_url(self) -> str:
        """What the bot calls SUNSHINE_BASE_URL; known once started."""
        return self.server.url

    def connect(self, webhook_url: str) -> None:
        """Make the bot's webhook, with all triggers, or move it to another URL."""
        integration_id = self.switchboard.member(BOT).integration_id
        caller = Caller("sandbox", "app")
        body = {"target": webhook_url, "triggers": list(TRIGGERS), "includeFullUser": True}
        for webhook in self.switchboard.webhooks.values():
            if webhook.integration_id == integration_id:
                self.switchboard.update_webhook(integration_id, webhook.id, body, caller)
                return
        self.switchboard.create_webhook(integration_id, body, caller, secret=self.secret)

    def forget_bot(self) -> None:
        """Remove the bot from an untouched account; answerBot answers first then."""
        board, bot = self.switchboard, self.switchboard.member(BOT)
        board.default_id = board.member(ANSWERS).id
        board.delete_switchboard_integration(str(board.switchboard_id), bot.id, self.clock.now())
        board.delete_integration(bot.integration_id)
        self.keys.revoke_all(bot.integration_id)

    def settings_for_bot(self) -> dict[str, str]:
        """The environment of a bot that talks to this sandbox."""
        return {
            "SUNSHINE_BASE_URL": self.base_url,
            "SUNSHINE_APP_ID": self.app_id,
            "SUNSHINE_KEY_ID": self.integration_key.id,
            "SUNSHINE_KEY_SECRET": self.integration_key.secret,
            "SUNSHINE_APP_KEY_ID": self.app_key.id,
            "SUNSHINE_APP_KEY_SECRET": self.app_key.secret,
            "SUNSHINE_SWITCHBOARD_INTEGRATION": BOT,
            "SUNSHINE_WEBHOOK_SECRET": self.secret,
            "CONTROL_MODE": self.switches.mode,
            "PASS_TO": WORKSPACE,
        }

    def visitor(self, name: str = "Sam") -> Visitor:
        """A new person in front of the web widget."""
        return Visitor(self, name)

    def agent(self, name: str = "Ada") -> Agent:
        """An agent in the agent workspace."""
        return Agent(self, name)

    async def until(self, look: Callable[[], T | None], timeout: float | None, what: str) -> T:
        """Wait until `look` finds something; it looks again after each entry of the history.

        Args:
            look: returns what it found, or None.
            timeout: seconds; None: `users.PATIENCE`.
            what: what is waited for, for the error.
        """
        timeout = users.PATIENCE if timeout is None else timeout
        try:
            async with asyncio.timeout(timeout):
                while (found := look()) is None:
                    await self.changed()
                return found
        except TimeoutError as error:
            raise TimeoutError(f"{what}: not within {timeout:g} s") from error

    async def changed(self) -> None:
        """Wait for the next entry of the history."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    async def start(self) -> None:
        """Listen, and send webhooks."""
        await self.server.start()
        await self.sender.start()

    async def stop(self) -> None:
        """End."""
        await self.sender.stop()
        await self.server.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _noticed(self, entry: Entry) -> None:
        for observer in tuple(self.observers):
            observer(entry)
        for waiting in tuple(self._waiting):
            if not waiting.done():
                waiting.set_result(None)


async def _at_once() -> None:
    """Nobody watches."""
