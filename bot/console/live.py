"""Live updates: looks each view up once for all open pages, and sends only changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bot.store.interface import StoreError

VIEW = TypeVar("VIEW", bound=Hashable)

UPDATE_INTERVAL = 1.0  # seconds
MAX_LOAD = 0.1  # maximum share of time spent on updates, within MAX_INTERVAL
MAX_INTERVAL = 5.0  # seconds
MAX_FOLLOWERS = 200
MAX_VIEWS = 50


class CrowdedError(Exception):
    """Too many pages are open to update another one."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The current content of a view.

    Attributes:
        mark: a version; equal marks mean no relevant change.
        render: returns the HTML; called on another thread.
    """

    mark: Hashable
    render: Callable[[], str]


@dataclass(slots=True)
class _Channel:
    followers: int = 0
    shown: tuple[Hashable, str] | None = None  # the mark, and the HTML
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Live(Generic[VIEW]):
    """Updates views while they have followers.

    Args:
        look: looks a view up. If it raises, the view is looked up again the next time.
        every: seconds between updates; longer if look-ups are slow.
        failed: called with exceptions of `look`, except `StoreError`.
    """

    def __init__(
        self,
        look: Callable[[VIEW], Awaitable[Shown]],
        every: float = UPDATE_INTERVAL,
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._look = look
        self._failed = failed
        self._every = every
        self._channels: dict[VIEW, _Channel] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @contextmanager
    def following(self, view: VIEW) -> Iterator[AsyncIterator[str]]:
        """Yield an iterator over the view's HTML: now, and on each change until `close`.

        Raises:
            CrowdedError: there are too many followers.
        """
        channel = self._join(view)
        try:
            yield self._changes(channel)
        finally:
            self._leave(view, channel)

    def close(self) -> None:
        """End all updates."""
        self._closed = True
        for channel in self._channels.values():
            channel.changed.set()

    async def _changes(self, channel: _Channel) -> AsyncIterator[str]:
        sent: Hashable = None
        while not self._closed:
            if channel.shown and channel.shown[0] != sent:
                sent, html = channel.shown
                yield html
            else:
                await channel.changed.wait()

    def _join(self, view: VIEW) -> _Channel:
        followers = sum(channel.followers for channel in self._channels.values())
        is_full = view not in self._channels and len(self._channels) >= MAX_VIEWS
        if followers >= MAX_FOLLOWERS or is_full:
            raise CrowdedError
        channel = self._channels.setdefault(view, _Channel())
        channel.followers += 1
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._keep_updating(), name="console")
        return channel

    def _leave(self, view: VIEW, channel: _Channel) -> None:
        channel.followers -= 1
        if not channel.followers:
            del self._channels[view]
        if not self._channels and self._task:
            self._task.cancel()
            self._task = None

    async def _keep_updating(self) -> None:
        while True:
            began = time.monotonic()
            for view, channel in list(self._channels.items()):
                try:
                    shown = await self._look(view)
                    if channel.shown and channel.shown[0] == shown.mark:
                        continue
                    channel.shown = (shown.mark, await asyncio.to_thread(shown.render))
                except StoreError:
                    continue
                except Exception as error:  # noqa: BLE001 - must not end the other views
                    self._failed(error)
                    continue
                channel.changed.set()
                channel.changed = asyncio.Event()
            spent = time.monotonic() - began
            await asyncio.sleep(max(self._every, min(spent / MAX_LOAD, MAX_INTERVAL)))
