"""Keys go to safe addresses only, and an id from outside stays in its place."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import respx
from sunshine_samples import APP, BASE, CONVERSATION, KEY, SECRET, client_with, never_called

from bot.sunshine import (
    Refused,
    SunshineClient,
    check_account_url,
    check_base_url,
)


@pytest.fixture
def platform() -> Iterator[respx.MockRouter]:
    with respx.mock(using="httpcore2", assert_all_called=False) as router:
        yield router


class TestBaseUrl:
    @pytest.mark.parametrize(
        ("given", "used"),
        [
            ("https://acme.zendesk.com/sc", "https://acme.zendesk.com/sc"),
            ("https://acme.zendesk.com/sc/", "https://acme.zendesk.com/sc"),
            (" https://api.smooch.io// ", "https://api.smooch.io"),
            ("http://localhost:8081", "http://localhost:8081"),
            ("HTTP://LOCALHOST:8081/", "http://localhost:8081"),
            ("http://127.0.0.1:8081/sc", "http://127.0.0.1:8081/sc"),
            ("http://127.8.9.10", "http://127.8.9.10"),
            ("http://[::1]:8081", "http://[::1]:8081"),
        ],
    )
    def test_is_https_or_this_machine(self, given: str, used: str) -> None:
        assert check_base_url(given) == used

    @pytest.mark.parametrize(
        "given",
        [
            "http://acme.zendesk.com/sc",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "http://[::2]",
        ],
    )
    def test_keys_are_not_sent_in_the_clear(self, given: str) -> None:
        with pytest.raises(ValueError, match="must begin with https"):
            SunshineClient(given, APP, KEY)

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "acme.zendesk.com/sc",
            "ftp://localhost",
            "https://",
            "https://acme.zendesk.com:0",
            "https://acme.zendesk.com:99999",
            f"https://{'a' * 64}.com",
            "https://acme.zendesk.com/\x00",
            "https://acme.zendesk.com/sc?x=1",
            "https://acme.zendesk.com/sc#x",
        ],
    )
    def test_what_is_no_address_is_refused(self, given: str) -> None:
        with pytest.raises(ValueError, match="base URL"):
            SunshineClient(given, APP, KEY)

    @pytest.mark.parametrize(
        "given",
        [
            "https://subdomain.zendesk.com/sc",
            "https://Your-Subdomain.zendesk.com/sc",
            "https://acme.example/sc",
            "https://example.com/sc",
            "https://api.example.com/sc",
            "https://acme.zendesk.com",
            "https://acme.zendesk.com/",
            "https://acme.zendesk.com/api/v2",
            "https://acme.zendesk.com/sc/v2",
            "http://10.0.0.1/sc",
        ],
    )
    def test_what_can_be_no_accounts_address_is_refused(self, given: str) -> None:
        with pytest.raises(ValueError, match="base URL"):
            check_account_url(given)

    @pytest.mark.parametrize(
        "given",
        [
            "https://acme.zendesk.com/sc",
            "https://acme.zendesk.com/sc/",
            "https://api.smooch.io",
            "http://127.0.0.1:8090",
        ],
    )
    def test_what_can_be_an_accounts_address_is_taken(self, given: str) -> None:
        assert check_account_url(given) == given.rstrip("/")

    def test_a_key_in_the_address_is_refused_and_not_repeated(self) -> None:
        with pytest.raises(ValueError, match="base URL") as refusal:
            SunshineClient(f"https://int_1:{SECRET}@acme.zendesk.com/sc", APP, KEY)
        assert SECRET not in str(refusal.value)

    def test_a_backslash_does_not_make_a_host_local(self) -> None:
        with pytest.raises(ValueError, match="base URL"):
            check_base_url("http://localhost\\@evil.example")

    @pytest.mark.parametrize("app_id", ["", ".", ".."])
    def test_an_app_id_names_an_app(self, app_id: str) -> None:
        with pytest.raises(ValueError, match="path segment"):
            SunshineClient(BASE, app_id, KEY)


class TestPath:
    @pytest.mark.parametrize(
        ("conversation_id", "quoted"),
        [
            (CONVERSATION, CONVERSATION),
            ("../../users/1", "..%2F..%2Fusers%2F1"),
            ("a/b?c=d#e", "a%2Fb%3Fc%3Dd%23e"),
            ("a%2Fb", "a%252Fb"),
            ("ä b\r\nX: y", "%C3%A4%20b%0D%0AX%3A%20y"),
        ],
    )
    async def test_an_id_from_outside_stays_in_its_place(
        self, platform: respx.MockRouter, conversation_id: str, quoted: str
    ) -> None:
        route = platform.post(host="acme.zendesk.com").mock(httpx.Response(200, json={}))
        async with SunshineClient(f"{BASE}/", APP, KEY) as client:
            await client.release_control(conversation_id)
        path = route.calls.last.request.url.raw_path
        assert path == f"/sc/v2/apps/{APP}/conversations/{quoted}/releaseControl".encode()

    @pytest.mark.parametrize("conversation_id", ["", ".", "..", "\ud800", "x" * 70_000])
    async def test_an_id_that_fits_no_address_is_refused_unsent(self, conversation_id: str) -> None:
        async with client_with(never_called) as client:
            with pytest.raises(Refused) as raised:
                await client.release_control(conversation_id)
        assert type(raised.value) is Refused
        assert raised.value.status is None
