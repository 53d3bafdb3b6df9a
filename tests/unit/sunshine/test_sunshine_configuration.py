"""The set-up calls: resources come back bare, lists whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import respx
from sunshine_samples import APP, BASE, KEY, SECRET, SetClock

from bot.sunshine import Credentials, NoAnswer, SunshineClient

ADDRESS = f"{BASE}/v2/apps/{APP}"


@pytest.fixture
def platform() -> Iterator[respx.MockRouter]:
    with respx.mock(using="httpcore2") as router:
        yield router


@pytest.fixture
async def client() -> AsyncIterator[SunshineClient]:
    async with SunshineClient(BASE, APP, KEY, clock=SetClock()) as client:
        yield client


def page(*ids: str, after: str | None = None) -> httpx.Response:
    meta: dict[str, Any] = {"hasMore": after is not None, "afterCursor": after}
    return httpx.Response(200, json={"integrations": [{"id": one} for one in ids], "meta": meta})


async def test_integrations_are_read_to_the_last_page(platform: respx.MockRouter, client: SunshineClient) -> None:
    pages = [page("1", "2", after="2"), page("3", after="3"), page("4")]
    route = platform.get(f"{ADDRESS}/integrations").mock(side_effect=pages)
    assert [one["id"] for one in await client.list_integrations(["web", "custom"])] == ["1", "2", "3", "4"]
    assert [call.request.url.params.get("page[after]") for call in route.calls] == [None, "2", "3"]
    assert {call.request.url.params["filter[types]"] for call in route.calls} == {"web,custom"}


async def test_pages_that_lead_nowhere_are_not_followed(platform: respx.MockRouter, client: SunshineClient) -> None:
    """A part of a list is never taken for the whole."""
    stuck = platform.get(f"{ADDRESS}/integrations").mock(return_value=page("1", after="1"))
    with pytest.raises(NoAnswer, match="but no cursor"):
        await client.list_integrations()
    assert stuck.call_count == 2


async def test_pages_without_end_are_not_followed(platform: respx.MockRouter, client: SunshineClient) -> None:
    endless = platform.get(f"{ADDRESS}/integrations").mock(side_effect=[page(after=str(n)) for n in range(100)])
    with pytest.raises(NoAnswer, match="more than 5000"):
        await client.list_integrations()
    assert endless.call_count == 50


async def test_a_list_of_one_page_may_have_no_meta(platform: respx.MockRouter, client: SunshineClient) -> None:
    platform.get(f"{ADDRESS}/integrations").mock(httpx.Response(200, json={"integrations": []}))
    assert await client.list_integrations() == ()


async def test_a_new_key_is_ready_for_use_and_hides_its_secret(
    platform: respx.MockRouter, client: SunshineClient
) -> None:
    key = {"id": "int_1", "secret": SECRET, "displayName": "bot"}
    platform.post(f"{ADDRESS}/integrations/i1/keys").mock(httpx.Response(201, json={"key": key}))
    made = await client.create_integration_key("i1", "bot")
    assert made == Credentials("int_1", SECRET)
    assert SECRET not in repr(made)


@pytest.mark.parametrize("key", [{}, {"id": "int_1"}, {"id": "int_1", "secret": None}, {"id": "", "secret": SECRET}])
async def test_a_key_without_its_parts_is_no_key(
    platform: respx.MockRouter, client: SunshineClient, key: dict[str, Any]
) -> None:
    platform.post(f"{ADDRESS}/integrations/i1/keys").mock(httpx.Response(201, json={"key": key}))
    with pytest.raises(NoAnswer) as raised:
        await client.create_integration_key("i1", "bot")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("body", [{}, {"app": None}, {"app": []}])
async def test_a_strange_answer_is_no_answer(
    platform: respx.MockRouter, client: SunshineClient, body: dict[str, Any]
) -> None:
    platform.get(ADDRESS).mock(httpx.Response(200, json=body))
    with pytest.raises(NoAnswer, match="no valid app"):
        await client.get_app()
