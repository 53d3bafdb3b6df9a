"""Keeps an account in a file across restarts of the stand-in.

Pending webhook deliveries are not kept: a real platform is never restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from bot.sandbox.history import Entry, History
from bot.sandbox.keys import Key
from bot.sandbox.records import (
    Attachment,
    Client,
    Conversation,
    Ids,
    Integration,
    Json,
    SwitchboardIntegration,
    Ticket,
    User,
    Webhook,
)
from bot.sandbox.sandbox import Sandbox

WRITE_INTERVAL = 0.05
"""Seconds between two writes, so that a burst of changes is written once."""


class StateFileError(Exception):
    """The file can't be read or written; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class State:
    """The whole state of an account: the model's attributes by name, and other parts.

    Attributes:
        made: number of ids created so far; none may be created again.
        keys: the API's keys.
        history: all entries so far.
    """

    made: int
    keys: list[Key]
    history: list[Entry]
    app_id: str
    channel_id: str
    switchboard_id: str | None
    enabled: bool
    default_id: str | None
    settings: Json
    members: dict[str, SwitchboardIntegration]
    integrations: dict[str, Integration]
    webhooks: dict[str, Webhook]
    users: dict[str, User]
    conversations: dict[str, Conversation]
    tickets: list[Ticket]
    clients: dict[str, Client]
    attachments: dict[str, Attachment]
    widget_seen: dict[str, datetime]
    version: Literal[1] = 1


_STATE = TypeAdapter(State)
_OF_THE_MODEL = tuple(name for name in State.__slots__ if name not in ("made", "keys", "history", "version"))


class StateFile:
    """Keeps a sandbox in a file.

    Args:
        path: the file; created if missing.
        sandbox: the sandbox to keep.
        ids: the sandbox's id source.
    """

    def __init__(self, path: Path, sandbox: Sandbox, ids: Ids) -> None:
        self._path = path
        self._sandbox = sandbox
        self._ids = ids
        self._changed = asyncio.Event()

    def restore(self) -> bool:
        """Restore the sandbox; return False if there is no file. Raises `StateFileError`."""
        try:
            state = _STATE.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StateFileError(f"{self._path} can't be read: {error.strerror}") from None
        except ValidationError:
            raise StateFileError(
                f"{self._path} is not the state of a sandbox's account: use another file",
            ) from None
        board = self._sandbox.switchboard
        for name in _OF_THE_MODEL:
            setattr(board, name, getattr(state, name))
        board.history = History()
        for entry in state.history:
            board.history.append(entry)
        self._sandbox.keys.put_back(state.keys)
        self._ids.made = max(self._ids.made, state.made)
        return True

    def state(self) -> State:
        """Return the sandbox's current state."""
        board = self._sandbox.switchboard
        return State(
            made=self._ids.made,
            keys=self._sandbox.keys.all(),
            history=list(board.history),
            **{name: getattr(board, name) for name in _OF_THE_MODEL},
        )

    def write(self) -> None:
        """Replace the file atomically. Raises `StateFileError`."""
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.write_bytes(_STATE.dump_json(self.state()))
            new.replace(self._path)
        except OSError as error:
            raise StateFileError(f"{self._path} can't be written: {error.strerror}") from None

    async def keep(self) -> None:
        """Write the file after each change and at cancellation. Raises `StateFileError`."""
        self._sandbox.observers.append(lambda _: self._changed.set())
        self._sandbox.api.on_change = self._changed.set
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                self.write()
                await asyncio.sleep(WRITE_INTERVAL)
        finally:
            with contextlib.suppress(StateFileError):
                self.write()
