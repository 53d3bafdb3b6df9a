"""What the bot does in a conversation, as requests and answers."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import respx
from sunshine_samples import APP, BASE, CONVERSATION, KEY, NOON, SECRET, SetClock

from bot.control.state import Integration
from bot.sunshine import NoAnswer, NotOurs, SunshineClient

ADDRESS = f"{BASE}/v2/apps/{APP}/conversations/{CONVERSATION}"
BOT = {"id": "5ef21b86e933b7355c11c604", "name": "bot", "integrationId": "5ef21b86e933b7355c11c605"}


@pytest.fixture
def platform() -> Iterator[respx.MockRouter]:
    with respx.mock(using="httpcore2") as router:
        yield router


@pytest.fixture
async def client() -> AsyncIterator[SunshineClient]:
    async with SunshineClient(BASE, APP, KEY, clock=SetClock()) as client:
        yield client


def sent(route: respx.Route) -> Any:
    return json.loads(route.calls.last.request.content)


class TestControl:
    async def test_a_release_is_an_empty_object(self, platform: respx.MockRouter, client: SunshineClient) -> None:
        route = platform.post(f"{ADDRESS}/releaseControl").mock(httpx.Response(200, json={}))
        await client.release_control(CONVERSATION)
        request = route.calls.last.request
        assert sent(route) == {}
        assert request.headers["content-type"] == "application/json"
        assert base64.b64decode(request.headers["authorization"][6:]) == f"{KEY.key_id}:{SECRET}".encode()

    async def test_metadata_goes_along(self, platform: respx.MockRouter, client: SunshineClient) -> None:
        route = platform.post(f"{ADDRESS}/releaseControl").mock(httpx.Response(200, json={}))
        await client.release_control(CONVERSATION, {"why": "done"})
        assert sent(route) == {"metadata": {"why": "done"}}

    async def test_control_is_passed_to_somebody(self, platform: respx.MockRouter, client: SunshineClient) -> None:
        route = platform.post(f"{ADDRESS}/passControl").mock(httpx.Response(200, json={}))
        await client.pass_control(CONVERSATION, "next", {"first_message_id": "1"})
        assert sent(route) == {"switchboardIntegration": "next", "metadata": {"first_message_id": "1"}}

    async def test_what_is_not_ours_is_refused(self, platform: respx.MockRouter, client: SunshineClient) -> None:
        forbidden = httpx.Response(403, json={"errors": [{"code": "forbidden", "title": "Forbidden"}]})
        platform.post(f"{ADDRESS}/releaseControl").mock(forbidden)
        with pytest.raises(NotOurs) as raised:
            await client.release_control(CONVERSATION)
        assert (raised.value.status, raised.value.code, raised.value.title) == (403, "forbidden", "Forbidden")


class TestSnapshot:
    @pytest.mark.parametrize(
        ("active", "meant"),
        [
            ({}, None),
            ({"activeSwitchboardIntegration": None}, None),
            (
                {"activeSwitchboardIntegration": {**BOT, "integrationType": "custom"}},
                Integration(BOT["id"], "bot", "custom"),
            ),
            ({"activeSwitchboardIntegration": {"id": "1", "name": None, "more": 1}}, Integration("1")),
        ],
    )
    async def test_it_tells_who_is_active(
        self, platform: respx.MockRouter, client: SunshineClient, active: dict[str, Any], meant: Integration | None
    ) -> None:
        platform.get(ADDRESS).mock(httpx.Response(200, json={"conversation": {"id": CONVERSATION, **active}}))
        snapshot = await client.get_conversation(CONVERSATION)
        assert snapshot.id == CONVERSATION
        assert snapshot.active == meant
        assert snapshot.pending is None

    async def test_it_tells_who_is_pending(self, platform: respx.MockRouter, client: SunshineClient) -> None:
        conversation = {"id": CONVERSATION, "pendingSwitchboardIntegration": BOT}
        platform.get(ADDRESS).mock(httpx.Response(200, json={"conversation": conversation}))
        snapshot = await client.get_conversation(CONVERSATION)
        assert (snapshot.active, snapshot.pending) == (None, Integration(BOT["id"], "bot"))

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"conversation": None},
            {"conversation": {}},
            {"conversation": {"id": 7}},
            {"conversation": {"id": "1", "activeSwitchboardIntegration": {}}},
            {"conversation": {"id": "1", "activeSwitchboardIntegration": {"id": ""}}},
            {"conversation": {"id": "1", "activeSwitchboardIntegration": "bot"}},
            {"conversation": {"id": "1", "activeSwitchboardIntegration": False}},
        ],
    )
    async def test_a_strange_answer_does_not_mean_nobody(
        self, platform: respx.MockRouter, client: SunshineClient, body: dict[str, Any]
    ) -> None:
        platform.get(ADDRESS).mock(httpx.Response(200, json=body))
        with pytest.raises(NoAnswer):
            await client.get_conversation(CONVERSATION)

    async def test_it_holds_from_the_beginning_of_the_request(
        self, platform: respx.MockRouter, client: SunshineClient
    ) -> None:
        """The clock is read before the request is sent, not after the answer came."""
        clock = SetClock()

        def answer_late(_: httpx.Request) -> httpx.Response:
            clock.time += timedelta(seconds=3)
            return httpx.Response(200, json={"conversation": {"id": CONVERSATION}})

        platform.get(ADDRESS).mock(side_effect=answer_late)
        async with SunshineClient(BASE, APP, KEY, clock=clock) as client:
            assert (await client.get_conversation(CONVERSATION)).at == NOON

    async def test_a_platform_that_is_behind_dates_it(self, platform: respx.MockRouter, client: SunshineClient) -> None:
        headers = {"Date": "Sun, 22 Nov 2026 11:59:00 GMT"}
        platform.get(ADDRESS).mock(httpx.Response(200, headers=headers, json={"conversation": {"id": CONVERSATION}}))
        snapshot = await client.get_conversation(CONVERSATION)
        assert snapshot.at == NOON.replace(minute=59, hour=11, second=1, microsecond=0)


class TestMessages:
    async def test_the_newest_page_is_the_default(self, platform: respx.MockRouter, client: SunshineClient) -> None:
        body = {"messages": [{"id": "1"}, {"id": "2"}], "meta": {"hasMore": True, "beforeCursor": "1"}}
        route = platform.get(f"{ADDRESS}/messages").mock(httpx.Response(200, json=body))
        page = await client.list_messages(CONVERSATION)
        assert route.calls.last.request.url.query == b""
        assert [message["id"] for message in page.messages] == ["1", "2"]
        assert (page.has_more, page.before_cursor, page.at) == (True, "1", NOON)

    async def test_older_pages_are_before_a_cursor(self, platform: respx.MockRouter, client: SunshineClient) -> None:
        body = {"messages": [], "meta": {"hasMore": False}}
        route = platform.get(f"{ADDRESS}/messages").mock(httpx.Response(200, json=body))
        page = await client.list_messages(CONVERSATION, before="5f32b88acf6bf25073b2be56")
        assert dict(route.calls.last.request.url.params) == {"page[before]": "5f32b88acf6bf25073b2be56"}
        assert (page.messages, page.has_more, page.before_cursor) == ((), False, None)

    @pytest.mark.parametrize("body", [{}, {"messages": None}, {"messages": {}}, {"messages": ["text"]}])
    async def test_a_strange_answer_does_not_mean_none(
        self, platform: respx.MockRouter, client: SunshineClient, body: dict[str, Any]
    ) -> None:
        platform.get(f"{ADDRESS}/messages").mock(httpx.Response(200, json=body))
        with pytest.raises(NoAnswer):
            await client.list_messages(CONVERSATION)

    async def test_the_bot_speaks_for_the_business(self, platform: respx.MockRouter, client: SunshineClient) -> None:
        route = platform.post(f"{ADDRESS}/messages").mock(
            httpx.Response(201, json={"messages": [{"id": "1"}, {"id": "2"}]})
        )
        content = {"type": "text", "text": "Hello"}
        assert await client.post_message(CONVERSATION, content, {"effect": "e1"}) == "1"
        assert sent(route) == {"author": {"type": "business"}, "content": content, "metadata": {"effect": "e1"}}

    @pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": [{}]}, {"messages": "?"}])
    async def test_a_message_may_be_taken_without_an_id(
        self, platform: respx.MockRouter, client: SunshineClient, body: dict[str, Any]
    ) -> None:
        platform.post(f"{ADDRESS}/messages").mock(httpx.Response(201, json=body))
        assert await client.post_message(CONVERSATION, {"type": "text", "text": "Hello"}) is None

    async def test_typing_is_shown(self, platform: respx.MockRouter, client: SunshineClient) -> None:
        route = platform.post(f"{ADDRESS}/activity").mock(httpx.Response(200, json={}))
        await client.post_activity(CONVERSATION, "typing:start")
        assert sent(route) == {"author": {"type": "business"}, "type": "typing:start"}
