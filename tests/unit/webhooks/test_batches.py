"""Batches: who shares one, who follows whom, and who hears of a failure. One loop, no clock, no threads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from webhooks.batches import Batches


class Doing:
    """What is done in batches, once it is let go; `poison` is what fails."""

    def __init__(self, poison: str = "") -> None:
        self.gate = asyncio.Event()
        self.poison = poison
        self.done: list[str] = []

    async def run(self, items: Sequence[str]) -> list[str]:
        """Do all of a batch or none."""
        self.done.append(" ".join(items))
        await self.gate.wait()
        if any(item in self.poison for item in items):
            raise ValueError("poison")
        return [item.upper() for item in items]


async def _outcomes(futures: Sequence[asyncio.Future[str | BaseException]]) -> list[str]:
    return [each if isinstance(each, str) else repr(each) for each in await asyncio.gather(*futures)]


async def _let_begin() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def _is_of_one(error: BaseException) -> bool:
    return isinstance(error, ValueError)


async def test_items_with_the_same_key_follow_each_other() -> None:
    """Each in a batch of its own, in order; the others don't wait for them."""
    doing = Doing()
    batches = Batches(doing.run, is_of_one=_is_of_one, key=lambda item: item[0])
    futures = [batches.put("x")]
    await _let_begin()
    futures += [batches.put(item) for item in ("a1", "a2", "b1", "a3", "b2", "c1")]
    doing.gate.set()
    assert await _outcomes(futures) == ["X", "A1", "A2", "B1", "A3", "B2", "C1"]
    assert doing.done == ["x", "a1 b1 c1", "a2 b2", "a3"]


async def test_what_is_cancelled_while_it_waits_is_not_done() -> None:
    """It has left the queue all the same; later, it is done or not."""
    doing, left = Doing(), list[str]()
    batches = Batches(doing.run, is_of_one=_is_of_one, on_left=left.extend)
    under_way = batches.put("x")
    await _let_begin()
    first, second = batches.put("a"), batches.put("b")
    assert batches.is_anyone_waiting
    under_way.cancel()
    first.cancel()
    doing.gate.set()
    assert await second == "B"
    assert doing.done == ["x", "b"]
    assert sorted(left) == ["a", "b", "x"]
    assert not batches.is_anyone_waiting


async def test_nothing_is_left_of_those_that_were_cancelled() -> None:
    """A batch of nobody is not begun, and the next one finds it as new."""
    doing = Doing()
    doing.gate.set()
    batches = Batches(doing.run, is_of_one=_is_of_one)
    batches.put("a").cancel()
    await _let_begin()
    assert await batches.put("b") == "B"
    assert doing.done == ["b"]


@pytest.mark.parametrize(
    ("failures", "outcomes", "done"),
    [
        (None, ["!", "!", "C", "!"], ["a b c d", "a", "b", "c", "d"]),
        (3, ["!", "!", "C", "!"], ["a b c d", "a", "b", "c", "d"]),
        (2, ["!", "!", "!", "!"], ["a b c d", "a", "b"]),
    ],
)
async def test_how_many_may_fail_by_themselves(failures: int | None, outcomes: list[str], done: list[str]) -> None:
    """One after the other, without one that succeeds in between."""
    doing = Doing(poison="abd")
    doing.gate.set()
    batches = Batches(doing.run, is_of_one=_is_of_one, failures=failures)
    told = await _outcomes([batches.put(item) for item in "abcd"])
    assert [each.replace("ValueError('poison')", "!") for each in told] == outcomes
    assert doing.done == done


async def test_an_outcome_may_be_an_error() -> None:
    """What is given for an item is for it alone."""

    async def run(items: Sequence[str]) -> list[str | Exception]:
        return [KeyError(item) if item == "b" else item for item in items]

    batches: Batches[str, str] = Batches(run, is_of_one=_is_of_one)
    assert await _outcomes([batches.put(item) for item in "abc"]) == ["a", "KeyError('b')", "c"]


async def test_stop_finishes_what_waits() -> None:
    """Before anything was put, there is nothing to finish."""
    doing = Doing()
    batches = Batches(doing.run, is_of_one=_is_of_one, most=1)
    await batches.stop()
    futures = [batches.put("a"), batches.put("b")]
    doing.gate.set()
    await batches.stop()
    assert [future.result() for future in futures] == ["A", "B"]
