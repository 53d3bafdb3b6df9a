"""What the pages know of the bot: they are the platform's side, and are told by whoever runs both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

Mode = Literal["release", "pass"]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the bot told of a conversation: a sentence, when, and does it tell of a proof?"""

    at: datetime
    text: str
    proves: bool = False


@dataclass(frozen=True, slots=True)
class BotView:
    """What the bot knows of a conversation.

    Attributes:
        owes: the control action that it owes, in words; empty for none.
        proof: how it knows that an ended conversation is closed; None where it does not.
        notes: what it told, oldest first.
        can_tell: is it asked at all? A bot that runs elsewhere is not.
    """

    owes: str = ""
    proof: Note | None = None
    notes: Sequence[Note] = ()
    can_tell: bool = True


@dataclass(frozen=True, slots=True)
class Console:
    """The operator's page.

    Attributes:
        port: where the bot serves it.
        path: its path, below which its cookie is sent.
        cookie: name and value of a cookie that signs in; None where people have to do that by themselves.
    """

    port: int
    path: str
    cookie: tuple[str, str] | None = None


class BotPart(Protocol):
    """The bot beside the sandbox."""

    @property
    def mode(self) -> Mode:
        """Its CONTROL_MODE."""

    @property
    def is_running(self) -> bool:
        """Is it up?"""

    def console(self) -> Console:
        """The operator's page, with a new sign-in."""

    async def view(self, conversation_id: str) -> BotView:
        """What it knows of a conversation."""

    async def set_mode(self, mode: Mode) -> None:
        """Start it again with another CONTROL_MODE."""

    async def stop(self) -> None:
        """Stop it, in good order."""

    async def start(self) -> None:
        """Start it (again)."""
