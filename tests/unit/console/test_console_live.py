"""Live updates: one look for all who follow, and a word only where something has changed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from bot.console import live
from bot.console.live import CrowdedError, Live, Shown
from bot.store import Unavailable


class Shelf:
    """Something to look at."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.looks: Counter[str] = Counter()
        self.broken = False

    async def look(self, view: str) -> Shown:
        """What there is now."""
        self.looks[view] += 1
        if self.broken:
            raise Unavailable("not now")
        text = self.texts.get(view, "")
        return Shown(text, lambda: f"<p>{text}</p>")


@pytest.fixture
def shelf() -> Shelf:
    """Empty."""
    return Shelf()


async def _next(changes: AsyncIterator[str]) -> str:
    async with asyncio.timeout(60):
        return await anext(changes)


async def test_followed(shelf: Shelf) -> None:
    """First as it is, then each change, to all who follow, with one look for all."""
    updates = Live(shelf.look, every=0.01)
    with updates.following("a") as one, updates.following("a") as other:
        assert (await _next(one), await _next(other)) == ("<p></p>", "<p></p>")
        looks = shelf.looks["a"]
        shelf.texts["a"] = "new"
        assert (await _next(one), await _next(other)) == ("<p>new</p>", "<p>new</p>")
        assert shelf.looks["a"] - looks <= 3
    assert updates._task is None


async def test_late_follower(shelf: Shelf) -> None:
    """Who comes later gets what is known at once."""
    updates = Live(shelf.look, every=60)
    with updates.following("a") as one:
        await _next(one)
        with updates.following("a") as late:
            assert await _next(late) == "<p></p>"
            assert shelf.looks["a"] == 1


async def test_nobody_follows(shelf: Shelf) -> None:
    """Then nobody looks."""
    updates = Live(shelf.look, every=0.01)
    with updates.following("a") as one:
        await _next(one)
    looks = shelf.looks["a"]
    await asyncio.sleep(0.1)
    assert shelf.looks["a"] == looks


async def test_database_out_of_reach(shelf: Shelf) -> None:
    """It is told again when it is back."""
    shelf.broken = True
    updates = Live(shelf.look, every=0.01)
    with updates.following("a") as one:
        waiting = asyncio.ensure_future(_next(one))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        shelf.broken = False
        assert await waiting == "<p></p>"


async def test_a_view_that_fails(shelf: Shelf) -> None:
    """It is told, and the other views go on."""
    errors: list[Exception] = []

    async def look(view: str) -> Shown:
        if view == "broken":
            raise KeyError(view)
        return await shelf.look(view)

    updates = Live(look, every=0.01, failed=errors.append)
    with updates.following("broken"), updates.following("a") as one:
        await _next(one)
        shelf.texts["a"] = "new"
        assert await _next(one) == "<p>new</p>"
    assert isinstance(errors[0], KeyError)


async def test_crowded(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded in followers and in views; who leaves makes room."""
    monkeypatch.setattr(live, "MAX_FOLLOWERS", 2)
    monkeypatch.setattr(live, "MAX_VIEWS", 1)
    updates = Live(shelf.look, every=60)
    with updates.following("a"):
        with pytest.raises(CrowdedError), updates.following("b"):
            pass
        with updates.following("a"), pytest.raises(CrowdedError), updates.following("a"):
            pass
        with updates.following("a"):
            pass


async def test_closed(shelf: Shelf) -> None:
    """Everybody is let go."""
    updates = Live(shelf.look, every=60)
    with updates.following("a") as one:
        await _next(one)
        waiting = asyncio.ensure_future(_next(one))
        await asyncio.sleep(0)
        updates.close()
        with pytest.raises(StopAsyncIteration):
            await waiting
