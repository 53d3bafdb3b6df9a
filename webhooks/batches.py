"""Group commit for coroutines: all that waits while a batch is under way goes with the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeAlias, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Outcome: TypeAlias = "asyncio.Future[Result | BaseException]"


class Batches(Generic[Item, Result]):
    """Does things in batches, one at a time; each caller hears of its own.

    There is no timer: a lone item is a batch at once. Where a batch is cancelled, all that waits is told so.

    Args:
        run: does a batch, and gives for each item, in order, its result or its error. What it raises all get.
        is_of_one: does what `run` raised mean that nothing was done, because of one of the items? Then each is done by
            itself, so that it keeps none of the others out.
        failures: so many errors in a row of items that are done by themselves end that: the rest get the last one.
        key: items with the same key never share a batch, but follow each other. None: all may.
        size: of an item.
        drops_cancelled: do nothing about an item whose future is cancelled while it waits; cancelled later, it is done
            or not.
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
        drops_cancelled: bool = True,
        size: Callable[[Item], int] = lambda _: 1,
        most: int = 64,  # more items of size 1 only keep the first of them waiting
        on_left: Callable[[Sequence[Item]], None] = lambda _: None,
    ) -> None:
        self._run = run
        self._is_of_one = is_of_one
        self._failures = failures
        self._key = key
        self._drops_cancelled = drops_cancelled
        self._size = size
        self._most = most
        self._on_left = on_left
        self._waiting: deque[tuple[Item, Outcome[Result]]] = deque()
        self._under_way: asyncio.Task[None] | None = None

    def put(self, item: Item) -> Outcome[Result]:
        """Let an item be done together with others; its result, or the error that it has."""
        outcome: Outcome[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, outcome))
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._work(), name="batches")
        return outcome

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
            while self._waiting:
                items, futures = self._next()
                outcomes = await self._outcomes(items) if items else ()
                _settle(futures, outcomes)
                if outcomes and isinstance(outcomes[-1], asyncio.CancelledError):
                    # The loop is being closed, or `run` was cancelled from within: let nobody wait for ever.
                    rest = [*self._waiting]
                    self._waiting.clear()
                    self._on_left([item for item, _ in rest])
                    _settle([future for _, future in rest], [outcomes[-1]] * len(rest))
        finally:
            self._under_way = None

    def _next(self) -> tuple[list[Item], list[Outcome[Result]]]:
        """Take the items of the next batch; there may be none, if all were cancelled."""
        items: list[Item] = []
        futures: list[Outcome[Result]] = []
        later: list[tuple[Item, Outcome[Result]]] = []
        dropped: list[Item] = []
        keys: set[Hashable] = set()
        room = self._most
        while self._waiting:
            item, future = self._waiting[0]
            room -= self._size(item)
            if room < 0 and items:
                break
            self._waiting.popleft()
            if self._drops_cancelled and future.done():
                dropped.append(item)
                room += self._size(item)
            elif self._key is not None and (key := self._key(item)) in keys:
                later.append((item, future))
                room += self._size(item)
            else:
                if self._key is not None:
                    keys.add(key)
                items.append(item)
                futures.append(future)
        self._waiting.extendleft(reversed(later))
        self._on_left([*dropped, *items])
        return items, futures

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


def _settle(futures: Sequence[Outcome[Result]], outcomes: Sequence[Result | BaseException]) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if not future.done():  # somebody still waits
            future.set_result(outcome)
