"""The complete sandbox: model, server, webhook sender and clock, started together."""

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
    """A local copy of the platform.

    Args:
        switches: the undocumented behaviour; `switches.mode` is the control mode.
        webhook_url: the bot's webhook; can also be set later by `connect`.
        secret: the webhook's secret.
        host: the API's address.
        port: 0 for any free port.
        clock: the platform's time.
        ids: creates new ids; by default from the start time.
        untouched: an account in which no switchboard integration's `next` was changed.
        time_scale: factor for the pauses between webhook attempts.
        batch: maximum number of events per webhook delivery.
        faults: faults on the way to the API; `server.faults` can change later.
        post: posts webhooks; real HTTP by default.
        model: the class of the switchboard; a replay has one that follows a tape.

    Attributes:
        switchboard: the model; pass `now=sandbox.clock.now()` to its operations.
        keys: the API's keys; `integration_key` and `app_key` exist from the start.
        observers: called with each entry of the history.
        pace: awaited before each action of a person, so that an audience can follow.
        server, sender: the parts; `sender.attempts` and `server.requests` record all
            traffic for checks.
    """

    def __init__(
        self,
        *,
        switches: Switches | None = None,
        webhook_url: str | None = None,
        secret: str = "sandbox-webhook-secret",  # noqa: S107 - the stand-in's; it protects nothing
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
        self.switchboard = standard_switchboard(
            switches or Switches(),
            made,
            untouched=untouched,
            model=model,
        )
        self.keys = Keys(made)
        self.integration_key = self.keys.for_integration(
            self.switchboard.member(BOT).integration_id,
        )
        self.app_key = self.keys.for_app()
        self.api = Api(self.switchboard, self.keys)
        self.server = Server(self.api, self.clock, host, port)
        self.server.faults = faults
        self.sender = Sender(
            self.switchboard,
            self.clock,
            post=post,
            time_scale=time_scale,
            batch=batch,
        )
        self.observers: list[Callable[[Entry], None]] = []
        self.pace: Callable[[], Awaitable[None]] = _at_once
        self._waiting: set[asyncio.Future[None]] = set()
        self.switchboard.observers.append(self._noticed)
        if webhook_url is not None:
            self.connect(webhook_url)

    @property
    def switches(self) -> Switches:
        """The platform's current behaviour."""
        return self.switchboard.switches

    @property
    def app_id(self) -> str:
        """The app's id."""
        return self.switchboard.app_id

    @property
    def base_url(self) -> str:
        """The bot's SUNSHINE_BASE_URL; known after the start."""
        return self.server.url

    def connect(self, webhook_url: str) -> None:
        """Create the bot's webhook with all triggers, or move it to another URL."""
        integration_id = self.switchboard.member(BOT).integration_id
        caller = Caller("sandbox", "app")
        body = {"target": webhook_url, "triggers": list(TRIGGERS), "includeFullUser": True}
        for webhook in self.switchboard.webhooks.values():
            if webhook.integration_id == integration_id:
                self.switchboard.update_webhook(integration_id, webhook.id, body, caller)
                return
        self.switchboard.create_webhook(integration_id, body, caller, secret=self.secret)

    def forget_bot(self) -> None:
        """Remove the bot from an untouched account; answerBot is the default then."""
        board, bot = self.switchboard, self.switchboard.member(BOT)
        board.default_id = board.member(ANSWERS).id
        board.delete_switchboard_integration(str(board.switchboard_id), bot.id, self.clock.now())
        board.delete_integration(bot.integration_id)
        self.keys.revoke_all(bot.integration_id)

    def settings_for_bot(self) -> dict[str, str]:
        """Return the environment of a bot for this sandbox."""
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
        """A new user of the web widget."""
        return Visitor(self, name)

    def agent(self, name: str = "Ada") -> Agent:
        """An agent in the agent workspace."""
        return Agent(self, name)

    async def until(self, look: Callable[[], T | None], timeout: float | None, what: str) -> T:
        """Wait until `look` finds something; it is called after each entry of the history.

        Args:
            look: returns the result, or None.
            timeout: in seconds; None: `users.WAIT_TIMEOUT`.
            what: a description of the wait, for the error.
        """
        timeout = users.WAIT_TIMEOUT if timeout is None else timeout
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
        """Start the server and the webhook sender."""
        await self.server.start()
        await self.sender.start()

    async def stop(self) -> None:
        """Stop everything."""
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
    """Don't wait: there is no audience."""
