"""The order status flow, with a function in place of the API."""

from collections.abc import Callable

import httpx2
from order_status import ORDER_FIELD, Shop, order_status, stand_in

from bot import User
from bot.testing import ChatWith

Handler = Callable[[httpx2.Request], httpx2.Response]


def shop(answer: Handler) -> dict[str, object]:
    """Return resources with a shop that answers like this."""
    transport = httpx2.MockTransport(answer)
    return {"shop": Shop(httpx2.AsyncClient(transport=transport, base_url="http://shop.test"))}


def down(request: httpx2.Request) -> httpx2.Response:
    """Answer like a shop with a problem."""
    return httpx2.Response(503)


async def test_an_order_is_found(chat_with: ChatWith) -> None:
    talk = chat_with(order_status, mode="pass", deaths="everywhere", resources=shop(stand_in))
    await talk.user("Where are my shoes?")
    await talk.user("It's 12345")
    talk.expects(
        "What is the number of your order?",
        "Order 12345 is on its way, and will be with you on 03 December.",
    )
    assert talk.released
    assert talk.ticket is None


async def test_a_number_in_the_first_message_is_not_asked_for(chat_with: ChatWith) -> None:
    talk = chat_with(order_status, mode="pass", deaths="everywhere", resources=shop(stand_in))
    await talk.user("Where is 12345?")
    talk.expects("Order 12345 is on its way")
    talk.expects_no_more()


async def test_an_unknown_order_is_asked_for_again(chat_with: ChatWith) -> None:
    talk = chat_with(order_status, mode="pass", deaths="everywhere", resources=shop(stand_in))
    await talk.user("Where is 99999?")
    await talk.user("Oh, 12345")
    talk.expects("I can't find that order.", "Order 12345 is on its way")


async def test_a_person_gets_the_number_that_is_unknown(chat_with: ChatWith) -> None:
    talk = chat_with(
        order_status,
        mode="pass",
        deaths="everywhere",
        resources=shop(stand_in),
        user=User(name="Ada"),
    )
    await talk.user("Where is 99999?")
    await talk.user("No, it is 99998")
    await talk.user("99997 then")
    assert talk.ticket
    assert talk.ticket.fields == {ORDER_FIELD: "99997"}
    assert talk.ticket.tags == ("order_status", "order_not_found")


async def test_a_shop_that_recovers_is_asked_again(chat_with: ChatWith) -> None:
    answers = [httpx2.Response(503), httpx2.Response(429)]
    talk = chat_with(
        order_status,
        deaths="everywhere",
        resources=shop(lambda request: answers.pop(0) if answers else stand_in(request)),
    )
    await talk.user("12345")
    talk.expects("Order 12345 is on its way")


async def test_a_shop_that_is_down_passes_every_death(chat_with: ChatWith) -> None:
    talk = chat_with(
        order_status,
        mode="pass",
        deaths="everywhere",
        resources=shop(down),
        user=User(name="Ada"),
    )
    await talk.user("Where is 12345?")
    talk.expects("I can't look up orders right now.")
    assert talk.logged("shop_failed")
    assert talk.ticket
    assert talk.ticket.fields == {ORDER_FIELD: "12345"}
    assert talk.ticket.tags == ("order_status", "shop_down")
    assert talk.ticket.requester == {"name": "Ada"}
