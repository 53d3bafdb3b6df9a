"""What the tests of the API client share: a key, a clock that stands still, a loop whose time costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from selectors import DefaultSelector, SelectorKey
from typing import Any, TypeVar

import httpx2

from bot.sunshine import Credentials, SunshineClient

T = TypeVar("T")

BASE = "https://acme.zendesk.com/sc"
APP = "5d8cff3cd55b040010928b5b"
CONVERSATION = "67a0ecf8f0305f4a391e9db1"
SECRET = "Sxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
KEY = Credentials("int_5d8cff3cd55b040010928b5b", SECRET)
NOON = datetime(2026, 11, 22, 12, 0, 0, 500_000, tzinfo=UTC)


@dataclass
class SetClock:
    """A clock that shows what it was set to."""

    time: datetime = NOON

    def now(self) -> datetime:
        return self.time


def client_with(handler: Callable[[httpx2.Request], Any], **options: Any) -> SunshineClient:
    """A client whose requests go to `handler` and not to a network."""
    options.setdefault("clock", SetClock())
    return SunshineClient(BASE, APP, KEY, transport=httpx2.MockTransport(handler), **options)


def never_called(request: httpx2.Request) -> httpx2.Response:
    raise AssertionError(f"{request.method} was sent")


class VirtualSelector(DefaultSelector):
    """Instead of waiting, it moves the time on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen in this loop"
        self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in which sleeping takes no time."""

    def __init__(self) -> None:
        self.selector = VirtualSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end in a loop in which sleeping takes no time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
