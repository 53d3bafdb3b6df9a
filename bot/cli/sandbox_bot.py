"""The bot beside a sandbox: started, stopped and started again in one process, and asked what it knows."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from bot.app import WEBHOOK_PATH, Running, running
from bot.clock import Clock
from bot.console.doors import SESSION
from bot.console.render import HOME
from bot.console.sessions import Sessions
from bot.console.words import action
from bot.control.state import Action, Duty
from bot.observability import log_signal
from bot.sandbox.pages import BotView, Console, Note
from bot.sandbox.pages.bot_view import Mode
from bot.sandbox.sandbox import Sandbox
from bot.settings import ControlMode, Settings, load_settings
from bot.signals import Signal
from bot.store.interface import StoreError


class SandboxBot:
    """The bot of a sandbox. It keeps its database and its address from one start to the next.

    Args:
        sandbox: the platform that it talks to.
        settings: its settings; `control_mode` is changed by `set_mode`, and port 0 becomes the port that it got.
        changed: called when it may know something new.
        signs_in: does the way to its console sign in? Only where nobody from outside gets at the pages.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        settings: Settings,
        clock: Clock,
        changed: Callable[[], None],
        *,
        signs_in: bool = False,
    ) -> None:
        self._signs_in = signs_in
        self._sandbox = sandbox
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._notes: defaultdict[str, list[Note]] = defaultdict(list)
        self._stack: AsyncExitStack | None = None
        self._running: Running | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def mode(self) -> Mode:
        """Its CONTROL_MODE."""
        return "pass" if self._settings.control_mode is ControlMode.PASS else "release"

    @property
    def is_running(self) -> bool:
        """Is it up?"""
        return self._running is not None

    @property
    def console_url(self) -> str:
        """The operator's page."""
        return f"http://{address(self._settings.host)}:{self._settings.port}{HOME}"

    def console(self) -> Console:
        """The operator's page, with a new sign-in where only this machine reaches it."""
        if not self._signs_in:
            return Console(self._settings.port, HOME)
        session = Sessions(self._settings.console_token.get_secret_value()).begin(self._clock.now())
        return Console(self._settings.port, HOME, (SESSION, session))

    async def view(self, conversation_id: str) -> BotView:
        """What it knows of a conversation; what it told is known even where it is stopped."""
        notes = tuple(self._notes.get(conversation_id, ()))
        if self._running is None:
            return BotView(notes=notes)
        try:
            known = await self._running.store.find(conversation_id)
        except StoreError:
            known = None
        if known is None:
            return BotView(notes=notes)
        proof = known.ended.proof if known.ended else None
        return BotView(_owed(known.duty), Note(proof.at, proof.how) if proof else None, notes)

    async def set_mode(self, mode: Mode) -> None:
        """Start it again with another CONTROL_MODE; where it is stopped, the next start has it."""
        was_running = self.is_running
        await self.stop()
        self._settings = self._settings.model_copy(update={"control_mode": ControlMode(mode)})
        if was_running:
            await self.start()

    async def start(self) -> None:
        """Start it. Raises `SettingsProblem`, `StoreError`, `OSError`."""
        async with self._one_at_a_time:
            if self._running is not None:
                return
            stack = AsyncExitStack()
            self._running = await stack.enter_async_context(running(self._settings, hooks=(log_signal, self._heard)))
            self._stack = stack
            self._settings = self._settings.model_copy(update={"port": self._running.port})
            self._sandbox.connect(f"http://{address(self._settings.host)}:{self._settings.port}{WEBHOOK_PATH}")

    async def stop(self) -> None:
        """Stop it."""
        async with self._one_at_a_time:
            stack, self._stack, self._running = self._stack, None, None
            if stack is not None:
                await stack.aclose()

    def _heard(self, signal: Signal) -> None:
        sentence = _sentence(signal.event, signal.fields)
        if signal.conversation_id and sentence:
            self._notes[signal.conversation_id].append(
                Note(self._clock.now(), sentence, proves=signal.event == "duty_closed")
            )
        self._changed()


def settings_beside(sandbox: Sandbox, **more: Any) -> Settings:
    """The settings of a bot that talks to this sandbox. Raises `SettingsProblem`."""
    told = {name.lower(): value for name, value in sandbox.settings_for_bot().items()}
    return load_settings(_env_file=None, **{"log_errors": "full", **told, **more})


def address(host: str) -> str:
    """What a URL has for a host where something listens."""
    known = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - only compared
    return f"[{known}]" if ":" in known else known


_DONE = {Action.RELEASE: "released control", Action.PASS: "passed control", Action.TAKE: "got control"}


def _owed(duty: Duty | None) -> str:
    if duty is None:
        return ""
    return f"a {action(duty)} ({duty.reason})"


def _sentence(event: str, fields: Any) -> str:
    """What the bot tells, in a sentence; empty for what is of no interest here."""
    match event:
        case "duty_closed":
            return f"Proven, that the bot {_DONE[fields['action']]}: {fields['proof']}."
        case "flow_failed":
            return f"The bot's flow failed: {fields['detail']}. Control is given up all the same."
        case "flow_not_begun" | "reminder_dropped":
            return f"The bot dropped a flow that was to begin: {fields['detail']}."
        case "flow_timed_out":
            return "The bot's flow took too long and was stopped. Control is given up."
        case "mode_mismatch":
            return f"The bot noticed: {fields['detail']}. Check CONTROL_MODE."
        case "duty_overdue":
            return f"The bot reports as overdue: {fields['detail']}."
        case "pass_refused" | "no_app_key":
            return f"The bot reports: {fields['detail']}."
        case _:
            return ""
