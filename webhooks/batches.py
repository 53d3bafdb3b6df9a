"""Group commit for coroutines: items that arrive during a batch share the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeAlias, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Outcome: TypeAlias = "asyncio.Future[Result | BaseException]"


class Batches(Generic[Item, Result]):
    """Runs one batch of items at a time. Each caller gets the outcome of its own item.

    There is no timer: a lone item forms a batch at once. Cancelling a batch cancels all
    waiting items.

    Args:
        run: processes a batch; returns a result or an error per item, in order. An exception
            applies to all items.
        is_of_one: returns whether an exception of `run` means that one item prevented the whole
            batch. If so, each item is retried on its own.
        failures: consecutive failures of single items after which the rest get the last error.
        key: items with the same key never share a batch, but keep their order. None: no keys.
        size: returns the size of an item.
        drops_cancelled: drop items that are cancelled while waiting.
        most: maximum size of a batch; a larger item forms its own.
        on_left: called with items that no longer wait.
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
        most: int = 64,  # larger batches only delay their first item
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
        """Queue an item. Returns a future for its result or error."""
        outcome: Outcome[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, outcome))
        if self._under_way is None:
            self._under_way = asyncio.create_task(self._work(), name="batches")
        return outcome

    @property
    def is_anyone_waiting(self) -> bool:
        """Whether an item is waiting for the next batch."""
        return bool(self._waiting)

    async def stop(self) -> None:
        """Finish the waiting items."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way])

    async def _work(self) -> None:
        try:
            while self._waiting:
                items, futures = self._next()
                outcomes = await self._outcomes(items) if items else ()
                _settle(futures, outcomes)
                if outcomes and isinstance(outcomes[-1], asyncio.CancelledError):
                    # The loop is closing, or `run` cancelled itself: leave no caller waiting.
                    rest = [*self._waiting]
                    self._waiting.clear()
                    self._on_left([item for item, _ in rest])
                    _settle([future for _, future in rest], [outcomes[-1]] * len(rest))
        finally:
            self._under_way = None

    def _next(self) -> tuple[list[Item], list[Outcome[Result]]]:
        """Take the items of the next batch; none if all were cancelled."""
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
        except BaseException as error:  # noqa: BLE001 - every caller gets the error
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
        if not future.done():  # the caller still waits
            future.set_result(outcome)
