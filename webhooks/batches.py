"""Group commit for coroutines: all that waits while a batch is under way goes with the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Result]):
    """An item; `outcome` becomes its result or its error, unless nobody waits for it any more."""

    item: Item
    outcome: asyncio.Future[Result | BaseException]


class Batches(Generic[Item, Result]):
    """Does things in batches, one at a time; each caller hears of its own.

    There is no timer: a lone item is a batch at once. An item whose future is cancelled while it waits is not done;
    cancelled later, it is done or not. Where a batch is cancelled, all that waits is told so.

    Args:
        run: does a batch, and gives for each item, in order, its result or its error. What it raises all get.
        is_of_one: does what `run` raised mean that nothing was done, because of one of the items? Then each is done by
            itself, so that it keeps none of the others out.
        failures: so many errors in a row of items that are done by themselves end that: the rest get the last one.
        key: items with the same key never share a batch, but follow each other. None: all may.
        size: of an item.
        most: size of the largest batch; an item that is larger makes one of its own.
        on_left: called with the items of a batch that no longer wait.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        is_of_one: Callable[[BaseException], bool],
        failures: int | None = None,
        key: Callable[[Item], Hashable] | None = None,
        size: Callable[[Item], int] = lambda _: 1,
        most: int = 64,  # more items of size 1 only keep the first of them waiting
        on_left: Callable[[Sequence[Item]], None] = lambda _: None,
    ) -> None:
        self._run = run
        self._is_of_one = is_of_one
        self._failures = failures
        self._key = key
        self._size = size
        self._most = most
        self._on_left = on_left
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._under_way: asyncio.Task[None] | None = None

    def put(self, item: Item) -> asyncio.Future[Result | BaseException]:
        """Let an item be done together with others; its result, or the error that it has."""
        waiting: _Waiting[Item, Result] = _Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._work(), name="batches")
        return waiting.outcome

    @property
    def is_anyone_waiting(self) -> bool:
        """Does an item wait for the next batch?"""
        return bool(self._waiting)

    async def stop(self) -> None:
        """Finish what waits."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])

    async def _work(self) -> None:
        try:
            while batch := self._next():
                self._on_left([waiting.item for waiting in batch])
                outcomes = await self._outcomes([waiting.item for waiting in batch])
                _settle(batch, outcomes)
                if isinstance(outcomes[-1], asyncio.CancelledError):
                    # The loop is being closed, or `run` was cancelled from within: let nobody wait for ever.
                    rest = [*self._waiting]
                    self._waiting.clear()
                    self._on_left([waiting.item for waiting in rest])
                    _settle(rest, [outcomes[-1]] * len(rest))
        finally:
            self._under_way = None

    def _next(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        later: list[_Waiting[Item, Result]] = []
        keys: set[Hashable] = set()
        size = 0
        while self._waiting and (not batch or size + self._size(self._waiting[0].item) <= self._most):
            waiting = self._waiting.popleft()
            if waiting.outcome.done():
                self._on_left([waiting.item])
                continue
            key = object() if self._key is None else self._key(waiting.item)
            if key in keys:
                later.append(waiting)
            else:
                keys.add(key)
                size += self._size(waiting.item)
                batch.append(waiting)
        self._waiting.extendleft(reversed(later))
        return batch

    async def _outcomes(self, items: Sequence[Item]) -> Sequence[Result | BaseException]:
        try:
            return await self._run(items)
        except BaseException as error:  # noqa: BLE001 - each of those who wait is to be told
            if len(items) == 1 or not self._is_of_one(error):
                return [error] * len(items)
        outcomes: list[Result | BaseException] = []
        failures = 0
        for place, item in enumerate(items):
            try:
                outcomes += await self._run([item])
                failures = 0
            except BaseException as error:  # noqa: BLE001
                failures += 1
                if failures == self._failures or not self._is_of_one(error):
                    return [*outcomes, *[error] * (len(items) - place)]
                outcomes.append(error)
        return outcomes


def _settle(batch: Sequence[_Waiting[Item, Result]], outcomes: Sequence[Result | BaseException]) -> None:
    for waiting, outcome in zip(batch, outcomes, strict=True):
        if not waiting.outcome.done():
            waiting.outcome.set_result(outcome)
