"""Order status: an HTTP API with retries and a typed result; agents help if it can't."""

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Never

import httpx2

from bot import CallFailed, Chat, flow, lifespan

ORDER_FIELD = "360001"  # id of the ticket field that shows agents the order number


class Status(StrEnum):
    """The status of an order, in the API's words."""

    PACKING = "packing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"


@dataclass(frozen=True)
class Order:
    """The parts of an order that the flow needs."""

    number: str
    status: Status
    due: date | None


class ShopDownError(Exception):
    """The API has a temporary problem: retry."""


class Shop:
    """A client for the shop's HTTP API."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def order(self, number: str) -> Order | None:
        """Return the order, or None if there is none with this number."""
        response = await self._http.get(f"/orders/{number}")
        if response.status_code == HTTPStatus.NOT_FOUND:
            return None
        if response.is_server_error or response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise ShopDownError(response.status_code)
        response.raise_for_status()
        body = response.json()
        due = body.get("due")
        return Order(
            body["number"],
            Status(body["status"]),
            date.fromisoformat(due) if due else None,
        )


def stand_in(request: httpx2.Request) -> httpx2.Response:
    """Answer like a shop with one order, 12345, to try the flow without a real API."""
    if request.url.path != "/orders/12345":
        return httpx2.Response(HTTPStatus.NOT_FOUND)
    return httpx2.Response(
        HTTPStatus.OK,
        json={"number": "12345", "status": "shipped", "due": "2030-12-03"},
    )


@lifespan
async def resources() -> AsyncIterator[dict[str, object]]:
    """Open one pool of connections per process."""
    url = os.environ.get("SHOP_URL")
    transport = None if url else httpx2.MockTransport(stand_in)
    async with httpx2.AsyncClient(base_url=url or "http://shop.test", transport=transport) as http:
        yield {"shop": Shop(http)}


@flow("order_status")
async def order_status(chat: Chat) -> None:
    """Tell the user the status of their order."""
    shop: Shop = chat.resources.shop
    look_up = chat.call_with(
        attempts=3,
        timeout=timedelta(seconds=5),
        backoff=timedelta(seconds=1),
        retry_on=(httpx2.TransportError, TimeoutError, ShopDownError),
    )
    number = number_in(chat.opening.text) or number_in(
        (await chat.ask("What is the number of your order?")).text,
    )
    for _ in range(2):
        if number is not None:
            try:
                order = await look_up(shop.order, number)
            except CallFailed as error:
                await chat.log("shop_failed", error=error.error_type, attempts=error.attempts)
                await chat.say("I can't look up orders right now. I am getting a person for you.")
                await to_a_person(chat, number, "shop_down")
            if order is not None:
                await chat.say(sentence(order))
                # Release: a plain return would pass the conversation to PASS_TO.
                await chat.release()
        number = number_in(
            (await chat.ask("I can't find that order. Please check the number.")).text,
        )
    await chat.say("I still can't find it. I am getting a person for you.")
    await to_a_person(chat, number, "order_not_found")


async def to_a_person(chat: Chat, number: str | None, why: str) -> Never:
    """Hand over with everything known, so that nobody has to ask again."""
    await chat.hand_over(
        ticket_fields={ORDER_FIELD: number} if number else {},
        tags=["order_status", why],
        requester=chat.user,
    )


def number_in(text: str | None) -> str | None:
    """Return the order number in a text: five to ten digits."""
    found = re.search(r"\b\d{5,10}\b", text or "")
    return found.group() if found else None


def sentence(order: Order) -> str:
    """Describe an order to the user."""
    match order.status:
        case Status.PACKING:
            return f"We are packing order {order.number}."
        case Status.SHIPPED if order.due:
            return f"Order {order.number} is on its way, and will be with you on {order.due:%d %B}."
        case Status.SHIPPED:
            return f"Order {order.number} is on its way."
        case Status.DELIVERED:
            return f"Order {order.number} has been delivered."
