"""The pages' view of the bot, provided by the program that runs both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

Mode = Literal["release", "pass"]


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence that the bot reported about a conversation; `proves`: it is a proof."""

    at: datetime
    text: str
    proves: bool = False


@dataclass(frozen=True, slots=True)
class BotView:
    """The bot's view of a conversation.

    Attributes:
        owes: the control action that it owes, in words; empty for none.
        proof: its proof that an ended conversation is closed; None if it has none.
        notes: its reports, oldest first.
        can_tell: whether the bot can be asked; not if it runs elsewhere.
    """

    owes: str = ""
    proof: Note | None = None
    notes: Sequence[Note] = ()
    can_tell: bool = True


@dataclass(frozen=True, slots=True)
class Console:
    """The operator's console.

    Attributes:
        port: the bot's port for it.
        path: its path, which limits its cookie.
        cookie: name and value of a cookie that signs in; None if people sign in themselves.
    """

    port: int
    path: str
    cookie: tuple[str, str] | None = None


class BotPart(Protocol):
    """The bot next to the sandbox."""

    @property
    def mode(self) -> Mode:
        """Its CONTROL_MODE."""

    @property
    def is_running(self) -> bool:
        """Whether it is running."""

    def console(self) -> Console:
        """The operator's console, with a new sign-in."""

    async def view(self, conversation_id: str) -> BotView:
        """Its view of a conversation."""

    async def set_mode(self, mode: Mode) -> None:
        """Restart it with another CONTROL_MODE."""

    async def stop(self) -> None:
        """Shut it down cleanly."""

    async def start(self) -> None:
        """Start it, or start it again."""
