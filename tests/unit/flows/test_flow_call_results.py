"""What a call returns: the flow gets the type of the function's annotation, live and out of the journal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import Any

import call_samples
import pytest
from call_samples import ITEM, ORDER, Item, Size, Spot
from flow_samples import Play, play

from bot import Chat

ITEM_FORM = {"name": "Tea", "size": "l", "price": "1.10"}


class Shop:
    """Functions that are no plain functions."""

    def item(self, of: str) -> Item:
        """A method."""
        return Item(of, ITEM.size, ITEM.price)

    def __call__(self) -> Item:
        """An object that can be called."""
        return ITEM


def _seen(function: Callable[..., Any], *args: Any) -> list[Any]:
    """What a flow sees of a call: the first time, and out of the journal."""
    seen: list[Any] = []

    async def flow(chat: Chat) -> None:
        seen.append(await chat.call(function, *args))
        await chat.ask("more?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("more?")
        await played.visitor.says("yes")
        await played.given_up()
        assert played.failures == []

    play(script, flow)
    return seen


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (call_samples.item, ITEM),
        (call_samples.order, ORDER),
        (call_samples.order_later, ORDER),
        (call_samples.sizes, {Size.SMALL: [date(2026, 3, 1)], Size.LARGE: []}),
        (call_samples.spot, Spot(1, 2)),
        (call_samples.duration, timedelta(minutes=1, microseconds=3)),
        (call_samples.pair, (1, "one")),
        (call_samples.many, [1, 2]),
        (call_samples.untold, ITEM_FORM),
        (call_samples.anything, ITEM_FORM),
        (call_samples.missing_but_plain, {"a": [1, "b", None]}),
        (partial(Shop().item, "Tea"), ITEM),
        (Shop(), ITEM),
        (partial(Spot, 1, 2), Spot(1, 2)),
    ],
)
def test_a_result_comes_back_as_what_the_function_returns(function: Callable[..., Any], result: Any) -> None:
    """The first time as every later one."""
    first, again = _seen(function)
    assert (first, again) == (result, result)
    assert type(first) is type(again) is type(result)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (call_samples.gift, "the result of gift is GiftItem, but would come back from the journal as another Item"),
        (call_samples.login, "the result of login is Login, but would come back"),
        (call_samples.lies, "the result of lies is str, but would come back from the journal as another int"),
        (call_samples.connection, "the result of connection has no JSON form: Event"),
        (call_samples.missing, "the result of missing can't come back from the journal (its annotation can't be"),
    ],
)
@pytest.mark.parametrize("at_once", [False, True])
def test_a_result_that_would_not_come_back_is_refused_at_the_first_call(
    function: Callable[..., Any], words: str, at_once: bool
) -> None:
    """And not after a death, when nobody looks. The words say what to do, and quote nothing."""

    async def flow(chat: Chat) -> None:
        if at_once:
            await chat.gather(chat.call(call_samples.item), chat.call(function))
        await chat.call(function)
        await chat.ask("never")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.given_up()
        (failure,) = played.failures
        assert words in failure
        assert "Happy" not in failure
        assert "hunter2" not in failure
        assert played.bots == []

    play(script, flow)


def test_a_result_type_that_changes_under_a_waiting_user_does_not_fit() -> None:
    """A deploy made another type of it: the journal is told to fit no more, and nobody gets half a result."""
    functions: list[Callable[[], Any]] = [call_samples.item]

    def looks_up() -> Any:
        raise AssertionError("it ran already")

    async def flow(chat: Chat) -> None:
        function = functions[0]
        function.__qualname__ = "looks_up"
        await chat.call(function)
        await chat.ask("more?")

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("more?")
        functions[0] = call_samples.order
        await played.visitor.says("yes")
        await played.given_up()
        (failure,) = played.failures
        assert "wants call looks_up to return Order, the journal has a result" in failure

    names = call_samples.item.__qualname__, call_samples.order.__qualname__
    try:
        play(script, flow)
    finally:
        call_samples.item.__qualname__, call_samples.order.__qualname__ = names
