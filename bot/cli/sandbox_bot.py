"""The bot of a sandbox: starts, stops and restarts it in this process, and reads its state."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from bot.app import WEBHOOK_PATH, Running, running
from bot.clock import Clock
from bot.console.auth import SESSION
from bot.console.formatting import action
from bot.console.render import HOME
from bot.console.sessions import Sessions
from bot.control.state import Action, Duty
from bot.observability import log_signal
from bot.sandbox.pages import BotView, Console, Note
from bot.sandbox.pages.bot_view import Mode
from bot.sandbox.sandbox import Sandbox
from bot.settings import ControlMode, Settings, load_settings
from bot.signals import Signal
from bot.store.interface import StoreError


class SandboxBot:
    """The bot of a sandbox. It keeps its database and its port across restarts.

    Args:
        sandbox: the platform that the bot talks to.
        settings: the bot's settings. `set_mode` changes `control_mode`; port 0 is replaced by
            the actual port at the first start.
        clock: the clock for notes and sign-ins.
        changed: called when the bot's state may have changed.
        signs_in: whether links to the console sign in. Only if other machines can't reach
            the pages.
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
        self._lock = asyncio.Lock()

    @property
    def mode(self) -> Mode:
        """The bot's CONTROL_MODE."""
        return "pass" if self._settings.control_mode is ControlMode.PASS else "release"

    @property
    def is_running(self) -> bool:
        """Whether the bot is running."""
        return self._running is not None

    @property
    def console_url(self) -> str:
        """The URL of the console."""
        return f"http://{address(self._settings.host)}:{self._settings.port}{HOME}"

    def console(self) -> Console:
        """Return the console's address, with a new session if `signs_in`."""
        if not self._signs_in:
            return Console(self._settings.port, HOME)
        token = self._settings.console_token.get_secret_value()
        session = Sessions(token).begin(self._clock.now())
        return Console(self._settings.port, HOME, (SESSION, session))

    async def view(self, conversation_id: str) -> BotView:
        """Return the bot's view of a conversation; only its notes while it is stopped."""
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
        """Set CONTROL_MODE, and restart the bot if it is running."""
        was_running = self.is_running
        await self.stop()
        self._settings = self._settings.model_copy(update={"control_mode": ControlMode(mode)})
        if was_running:
            await self.start()

    async def start(self) -> None:
        """Start the bot. Raises `SettingsError`, `StoreError`, `OSError`."""
        async with self._lock:
            if self._running is not None:
                return
            stack = AsyncExitStack()
            work = running(self._settings, hooks=(log_signal, self._on_signal))
            self._running = await stack.enter_async_context(work)
            self._stack = stack
            # Keep the port for later starts: the webhook points to it.
            self._settings = self._settings.model_copy(update={"port": self._running.port})
            host = address(self._settings.host)
            self._sandbox.connect(f"http://{host}:{self._settings.port}{WEBHOOK_PATH}")

    async def stop(self) -> None:
        """Stop the bot."""
        async with self._lock:
            stack, self._stack, self._running = self._stack, None, None
            if stack is not None:
                await stack.aclose()

    def _on_signal(self, signal: Signal) -> None:
        sentence = _sentence(signal.event, signal.fields)
        if signal.conversation_id and sentence:
            proves = signal.event == "duty_closed"
            note = Note(self._clock.now(), sentence, proves=proves)
            self._notes[signal.conversation_id].append(note)
        self._changed()


def settings_beside(sandbox: Sandbox, **more: Any) -> Settings:
    """Return the settings of a bot for this sandbox. Raises `SettingsError`."""
    values = {name.lower(): value for name, value in sandbox.settings_for_bot().items()}
    return load_settings(_env_file=None, **{"log_errors": "full", **values, **more})


def address(host: str) -> str:
    """Return the host part of a URL for a listening address."""
    known = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - only compared
    return f"[{known}]" if ":" in known else known


_DONE = {Action.RELEASE: "released control", Action.PASS: "passed control", Action.TAKE: "got control"}


def _owed(duty: Duty | None) -> str:
    if duty is None:
        return ""
    return f"a {action(duty)} ({duty.reason})"


def _sentence(event: str, fields: Any) -> str:
    """Return a sentence for a signal; empty for signals that are not shown."""
    match event:
        case "duty_closed":
            return f"Proven: the bot {_DONE[fields['action']]} ({fields['proof']})."
        case "flow_failed":
            return f"The bot's flow failed: {fields['detail']}. The bot still releases control."
        case "flow_not_begun" | "reminder_dropped":
            return f"The bot dropped a scheduled flow: {fields['detail']}."
        case "flow_timed_out":
            return "The bot's flow timed out and was stopped. The bot releases control."
        case "mode_mismatch":
            return f"The bot reports: {fields['detail']}. Check CONTROL_MODE."
        case "duty_overdue":
            return f"The bot reports as overdue: {fields['detail']}."
        case "pass_refused" | "no_app_key":
            return f"The bot reports: {fields['detail']}."
        case _:
            return ""
