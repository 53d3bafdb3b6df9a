"""The types of a flow's face. The type checker runs over this file like any other, and finds each `ignore` unused
that it has no error for; so a wrong argument that is no type error any more is told, too.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import assert_type

import pytest
from call_samples import Item, Order, item, order

from bot import Call, Chat


async def reserve(name: str, *, count: int = 1) -> Item:
    """A coroutine function with arguments."""
    raise NotImplementedError(name, count)


def count(names: list[str]) -> int:
    """A plain function."""
    return len(names)


async def results_are_typed(chat: Chat) -> None:
    """As the function says."""
    assert_type(await chat.call(reserve, "tea"), Item)
    assert_type(await chat.call(reserve, "tea", count=2), Item)
    assert_type(await chat.call(count, ["a"]), int)
    assert_type(await chat.call_with(attempts=3)(reserve, "tea", count=2), Item)
    assert_type(await chat.call_with(timeout=timedelta(seconds=1))(count, ["a"]), int)
    assert_type(chat.call(order), Call[Order])
    assert_type(await chat.gather(chat.call(order), chat.call(item)), tuple[Order, Item])
    assert_type(await chat.gather(*[chat.call(count, [])]), tuple[int, ...])


async def wrong_arguments_are_type_errors(chat: Chat) -> None:
    """Each of these."""
    await chat.call(reserve)  # type: ignore[call-overload]
    await chat.call(reserve, 7)  # type: ignore[call-overload]
    await chat.call(reserve, "tea", counts=2)  # type: ignore[call-arg]
    await chat.call(count, "a", "b")  # type: ignore[call-overload]
    await chat.call_with(attempts=3)(reserve, 7)  # type: ignore[call-overload]
    await chat.call_with(attempts=3)(reserve, "tea", attempts=3)  # type: ignore[call-arg]
    chat.call_with(attempts="3")  # type: ignore[arg-type]
    await chat.gather(chat.say("a"), chat.say("b"))  # type: ignore[call-overload]
    text: str = (await chat.gather(chat.call(count, ["a"])))[0]  # type: ignore[assignment]
    assert text


async def the_form_with_options_behind_the_function_stays(chat: Chat) -> None:
    """It takes any argument."""
    await chat.call(reserve, "tea", attempts=3)
    await chat.call(reserve, "tea", timeout=timedelta(seconds=3), retry_on=OSError, give_up_on=(KeyError, ValueError))
    await chat.call(count, ["a"], backoff=timedelta(seconds=3))


async def what_ends_the_flow_ends_it(chat: Chat) -> int:
    """No type checker asks for a `return` behind it."""
    if await chat.call(count, []):
        await chat.hand_over()
    await chat.release()


@pytest.mark.long
def test_the_type_checker_agrees() -> None:
    """In strict mode, over this file alone."""
    command = [sys.executable, "-m", "mypy", "--strict", str(Path(__file__))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])  # noqa: S603
    assert done.returncode == 0, done.stdout
