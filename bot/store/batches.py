"""Group commit for coroutines: all that waits while a batch is under way goes with the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bot.store.interface import StoreError

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_AT_ONCE = 64  # more only keep the first of them waiting


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    outcome: asyncio.Future[Result]


class Batches(Generic[Item, Result]):
    """Does things in batches; each caller hears of its own.

    There is no timer: a lone item is a batch at once. Whatever is cancelled while it waits is not done; cancelled
    later, it is done or not.

    Args:
        run: does a batch, and gives for each item, in order, its result or its error. What it raises all get.
        key: items with the same key never share a batch, but follow each other.
        is_of_one: does what `run` raised mean that nothing was done, because of one of the items? Then each is done by
            itself, so that it keeps none of the others out.
        lanes: batches that are under way at the same time.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        key: Callable[[Item], Hashable],
        is_of_one: Callable[[BaseException], bool] = lambda _: False,
        lanes: int = 1,
    ) -> None:
        self._run = run
        self._key = key
        self._is_of_one = is_of_one
        self._lanes = lanes
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._busy: set[Hashable] = set()

    async def do(self, item: Item) -> Result:
        """Do one thing, together with others. Raises what `run` gave or raised for it."""
        waiting: _Waiting[Item, Result] = _Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._start()
        return await waiting.outcome

    async def stop(self) -> None:
        """Finish what waits."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _start(self) -> None:
        while len(self._under_way) < self._lanes and (batch := self._next()):
            task = asyncio.get_running_loop().create_task(self._do(batch), name="batch")
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _next(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        later: list[_Waiting[Item, Result]] = []
        while self._waiting and len(batch) < _MOST_AT_ONCE:
            waiting = self._waiting.popleft()
            if waiting.outcome.done():
                continue
            key = self._key(waiting.item)
            if key in self._busy:
                later.append(waiting)
            else:
                self._busy.add(key)
                batch.append(waiting)
        self._waiting.extendleft(reversed(later))
        return batch

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._start()

    async def _do(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        outcomes = await self._outcomes([waiting.item for waiting in batch])
        for waiting, outcome in zip(batch, outcomes, strict=True):
            self._busy.discard(self._key(waiting.item))
            if waiting.outcome.done():
                continue
            if isinstance(outcome, BaseException):
                waiting.outcome.set_exception(_own(outcome))
            else:
                waiting.outcome.set_result(outcome)

    async def _outcomes(self, items: Sequence[Item]) -> Sequence[Result | BaseException]:
        try:
            return await self._run(items)
        except BaseException as error:  # noqa: BLE001 - each of those who wait is to be told
            if len(items) == 1 or not self._is_of_one(error):
                return [error] * len(items)
        outcomes: list[Result | BaseException] = []
        for place, item in enumerate(items):
            try:
                outcomes += await self._run([item])
            except BaseException as error:  # noqa: BLE001
                if not self._is_of_one(error):
                    return [*outcomes, *[error] * (len(items) - place)]
                outcomes.append(error)
        return outcomes


def _own(error: BaseException) -> BaseException:
    """An error of its own for each caller, or their tracebacks would pile up in one."""
    if isinstance(error, asyncio.CancelledError):
        return StoreError("the store was stopped meanwhile")
    if not isinstance(error, StoreError):
        return error
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
