"""Live updates: what open pages show is looked up once for all of them, and told only where it has changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bot.store.interface import StoreError

VIEW = TypeVar("VIEW", bound=Hashable)

EVERY = 1.0  # seconds between two looks
SHARE = 0.1  # of the time, at the most, goes into looking; unless that would make updates rarer than this:
SELDOMEST = 5.0  # seconds
MOST_FOLLOWERS = 200
MOST_VIEWS = 50


class Crowded(Exception):
    """So many pages are open that one more can't be kept up to date."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows now.

    Attributes:
        mark: where it is the same as before, nothing worth telling has changed.
        render: makes the HTML of it; called on another thread.
    """

    mark: Hashable
    render: Callable[[], str]


@dataclass(slots=True)
class _Channel:
    followers: int = 0
    shown: tuple[Hashable, str] | None = None  # the mark, and the HTML
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Live(Generic[VIEW]):
    """Keeps views up to date for as long as somebody follows them.

    Args:
        look: looks a view up. Where it raises something, the view is looked up again the next time.
        failed: is told of what it raised, but for `StoreError`.
        every: seconds between two looks; more where looking takes long.
    """

    def __init__(
        self,
        look: Callable[[VIEW], Awaitable[Shown]],
        every: float = EVERY,
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
        """The view's HTML, first as it is and then whenever it has changed, until `close`.

        Raises:
            Crowded: too many follow already.
        """
        channel = self._join(view)
        try:
            yield self._changes(channel)
        finally:
            self._leave(view, channel)

    def close(self) -> None:
        """Let everybody go."""
        self._closed = True
        for channel in self._channels.values():
            channel.changed.set()

    async def _changes(self, channel: _Channel) -> AsyncIterator[str]:
        told: Hashable = None
        while not self._closed:
            if channel.shown and channel.shown[0] != told:
                told, html = channel.shown
                yield html
            else:
                await channel.changed.wait()

    def _join(self, view: VIEW) -> _Channel:
        followers = sum(channel.followers for channel in self._channels.values())
        if followers >= MOST_FOLLOWERS or (view not in self._channels and len(self._channels) >= MOST_VIEWS):
            raise Crowded
        channel = self._channels.setdefault(view, _Channel())
        channel.followers += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep_looking(), name="console")
        return channel

    def _leave(self, view: VIEW, channel: _Channel) -> None:
        channel.followers -= 1
        if not channel.followers:
            del self._channels[view]
        if not self._channels and self._task:
            self._task.cancel()
            self._task = None

    async def _keep_looking(self) -> None:
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
                except Exception as error:  # noqa: BLE001 - a view that can't be shown must not end all the others
                    self._failed(error)
                    continue
                channel.changed.set()
                channel.changed = asyncio.Event()
            spent = time.monotonic() - began
            await asyncio.sleep(max(self._every, min(spent / SHARE, SELDOMEST)))
