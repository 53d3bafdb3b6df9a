"""Every request that the client can make is one of the published API, and it can read the published answers.

The published description is not a part of this project: where it isn't beside it, these tests are skipped.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from openapi_core.validation.request.exceptions import InvalidRequestBody
from sunshine_samples import APP, CONVERSATION, SECRET, client_with
from werkzeug.datastructures import Headers, ImmutableMultiDict

from bot.sunshine import SunshineClient

DESCRIPTION = Path(__file__).parents[3].parent / "shared" / "openapi.yaml"
INTEGRATION, HOOK_ID, BOARD_ID, LINK = (digit * 24 for digit in "1234")

pytestmark = pytest.mark.skipif(not DESCRIPTION.exists(), reason="the published API description is not here")


@dataclass
class Asked:
    """A request, in the words of openapi-core."""

    host_url: str
    path: str
    method: str
    parameters: RequestParameters
    content_type: str
    body: bytes | None

    @classmethod
    def of(cls, request: httpx2.Request) -> Asked:
        url = request.url
        return cls(
            host_url=f"{url.scheme}://{url.host}",
            path=url.path,
            method=request.method.lower(),
            parameters=RequestParameters(
                query=ImmutableMultiDict(list(url.params.multi_items())), header=Headers(dict(request.headers))
            ),
            content_type=request.headers.get("content-type", ""),
            body=request.content or None,
        )


@dataclass
class Answered:
    """An answer, in the words of openapi-core."""

    status_code: int
    headers: dict[str, str]
    content_type: str
    data: bytes | None

    @classmethod
    def of(cls, response: httpx2.Response) -> Answered:
        return cls(response.status_code, {}, "application/json", response.content)


class Case(NamedTuple):
    """How a method is called, and what the platform answers (for a list: in pages)."""

    call: Callable[[SunshineClient], Awaitable[Any]]
    status: int
    replies: list[dict[str, Any]]


TEXT = {"type": "text", "text": "Hello", "actions": [{"type": "reply", "text": "Yes", "payload": "yes"}]}
MESSAGE = {
    "id": "6" * 24,
    "received": "2026-11-22T12:00:00.000Z",
    "author": {"type": "business"},
    "content": {"type": "text", "text": "Hello"},
    "source": {"type": "api:conversations"},
}
TALK = {"id": CONVERSATION, "type": "personal", "isDefault": False}
HOLDER = {"id": LINK, "name": "bot", "integrationId": INTEGRATION, "integrationType": "custom"}
HOOK = {"target": "https://bot.example/webhooks/sunshine", "triggers": ["conversation:message"]}
WEBHOOK = {**HOOK, "id": HOOK_ID, "secret": "s", "version": "v2"}
CUSTOM = {"type": "custom", "displayName": "Bot", "webhooks": [HOOK]}  # `status` can only be read
WEB = {"type": "web", "id": "7" * 24}
BOARD = {"id": BOARD_ID, "enabled": True}
LINKED = {**HOLDER, "deliverStandbyEvents": True}
KEY = {"key": {"id": "int_1", "secret": SECRET, "displayName": "bot"}}

CASES = {
    "release_control": Case(lambda c: c.release_control(CONVERSATION, {"why": "done"}), 200, [{}]),
    "pass_control": Case(lambda c: c.pass_control(CONVERSATION, "next", {"a": 1, "b": True}), 200, [{}]),
    "get_conversation": Case(
        lambda c: c.get_conversation(CONVERSATION),
        200,
        [{"conversation": {**TALK, "activeSwitchboardIntegration": HOLDER}}],
    ),
    "list_messages": Case(
        lambda c: c.list_messages(CONVERSATION, before="5" * 24),
        200,
        [{"messages": [MESSAGE], "meta": {"hasMore": True, "beforeCursor": "6" * 24}}],
    ),
    "post_message": Case(lambda c: c.post_message(CONVERSATION, TEXT, {"effect": "e"}), 201, [{"messages": [MESSAGE]}]),
    "post_activity": Case(lambda c: c.post_activity(CONVERSATION, "typing:stop"), 200, [{}]),
    "get_app": Case(lambda c: c.get_app(), 200, [{"app": {"id": APP, "displayName": "App", "settings": {}}}]),
    "list_integrations": Case(
        lambda c: c.list_integrations(["web"]),
        200,
        [{"integrations": [WEB], "meta": {"hasMore": True, "afterCursor": "7" * 24}}, {"integrations": []}],
    ),
    "create_integration": Case(
        lambda c: c.create_integration(CUSTOM),
        201,
        [{"integration": {**CUSTOM, "id": INTEGRATION, "webhooks": [WEBHOOK]}}],
    ),
    "update_integration": Case(
        lambda c: c.update_integration(INTEGRATION, {"displayName": "Bot"}),
        200,
        [{"integration": {**CUSTOM, "id": INTEGRATION, "webhooks": [WEBHOOK]}}],
    ),
    "delete_integration": Case(lambda c: c.delete_integration(INTEGRATION), 200, [{}]),
    "create_integration_key": Case(lambda c: c.create_integration_key(INTEGRATION, "bot"), 201, [KEY]),
    "list_integration_keys": Case(lambda c: c.list_integration_keys(INTEGRATION), 200, [{"keys": [KEY["key"]]}]),
    "delete_integration_key": Case(lambda c: c.delete_integration_key(INTEGRATION, "int_1"), 200, [{}]),
    "list_webhooks": Case(lambda c: c.list_webhooks(INTEGRATION), 200, [{"webhooks": [WEBHOOK]}]),
    "create_webhook": Case(
        lambda c: c.create_webhook(INTEGRATION, {**HOOK, "includeFullUser": True}), 201, [{"webhook": WEBHOOK}]
    ),
    "update_webhook": Case(
        lambda c: c.update_webhook(INTEGRATION, HOOK_ID, {"triggers": ["user:remove"]}), 200, [{"webhook": WEBHOOK}]
    ),
    "delete_webhook": Case(lambda c: c.delete_webhook(INTEGRATION, HOOK_ID), 200, [{}]),
    "list_switchboards": Case(lambda c: c.list_switchboards(), 200, [{"switchboards": [BOARD]}]),
    "create_switchboard": Case(lambda c: c.create_switchboard(), 201, [{"switchboard": BOARD}]),
    "update_switchboard": Case(
        lambda c: c.update_switchboard(BOARD_ID, {"enabled": True, "defaultSwitchboardIntegrationId": LINK}),
        200,
        [{"switchboard": BOARD}],
    ),
    "list_switchboard_integrations": Case(
        lambda c: c.list_switchboard_integrations(BOARD_ID), 200, [{"switchboardIntegrations": [LINKED]}]
    ),
    "create_switchboard_integration": Case(
        lambda c: c.create_switchboard_integration(BOARD_ID, {"name": "bot", "integrationId": INTEGRATION}),
        201,
        [{"switchboardIntegration": LINKED}],
    ),
    "update_switchboard_integration": Case(
        lambda c: c.update_switchboard_integration(BOARD_ID, LINK, {"nextSwitchboardIntegrationId": "4" * 24}),
        200,
        [{"switchboardIntegration": LINKED}],
    ),
    "delete_switchboard_integration": Case(lambda c: c.delete_switchboard_integration(BOARD_ID, LINK), 200, [{}]),
    "release_control, bare": Case(lambda c: c.release_control(CONVERSATION), 200, [{}]),
    "pass_control, bare": Case(lambda c: c.pass_control(CONVERSATION, LINK), 200, [{}]),
    "list_messages, newest": Case(lambda c: c.list_messages(CONVERSATION), 200, [{"messages": []}]),
    "post_message, bare": Case(lambda c: c.post_message(CONVERSATION, TEXT), 201, [{"messages": [MESSAGE]}]),
    "list_integrations, all": Case(lambda c: c.list_integrations(), 200, [{"integrations": [WEB]}]),
}


@pytest.fixture(scope="module")
def published() -> OpenAPI:
    return OpenAPI.from_file_path(str(DESCRIPTION), config=Config(spec_validator_cls=None))


def test_no_method_is_left_out() -> None:
    methods = {
        name
        for name, method in inspect.getmembers(SunshineClient, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert methods - {"aclose"} == {name for name in CASES if "," not in name}


def validate(published: OpenAPI, request: httpx2.Request) -> None:
    """Raise what is wrong with a request.

    A change of an integration has to fit one kind of integration and no other, says the description; but most kinds
    take a `displayName`. So it is enough if the custom kind is among those that it fits.
    """
    try:
        published.validate_request(Asked.of(request))
    except InvalidRequestBody as error:
        why = str(error.__cause__)
        if "is valid under each of" not in why or "#/components/schemas/customUpdate" not in why:
            raise


@pytest.mark.parametrize("name", CASES)
async def test_a_request_is_as_published(published: OpenAPI, name: str) -> None:
    case = CASES[name]
    replies = [httpx2.Response(case.status, json=reply) for reply in case.replies]
    exchanged: list[tuple[httpx2.Request, httpx2.Response]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        exchanged.append((request, replies[len(exchanged)]))
        return exchanged[-1][1]

    async with client_with(answer) as client:
        await case.call(client)
    assert len(exchanged) == len(replies)
    for request, response in exchanged:
        validate(published, request)
        published.validate_response(Asked.of(request), Answered.of(response))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"conversations/{CONVERSATION}/seizeControl", b"{}"),
        (f"conversations/{CONVERSATION}/passControl", b"{}"),
        (f"conversations/{CONVERSATION}/messages", b'{"content": {"type": "text", "text": "Hello"}}'),
        (f"conversations/{CONVERSATION}/activity", b'{"author": {"type": "bot"}, "type": "typing:start"}'),
    ],
)
def test_the_description_tells_a_wrong_request(published: OpenAPI, path: str, body: bytes) -> None:
    """The tests above could fail."""
    url = f"https://acme.zendesk.com/sc/v2/apps/{APP}/{path}"
    headers = {"Content-Type": "application/json", "Authorization": "Basic aTpz"}
    with pytest.raises(OpenAPIError):
        validate(published, httpx2.Request("POST", url, content=body, headers=headers))


def test_the_description_tells_a_request_without_a_key(published: OpenAPI) -> None:
    request = httpx2.Request("GET", f"https://acme.zendesk.com/sc/v2/apps/{APP}")
    with pytest.raises(OpenAPIError):
        published.validate_request(Asked.of(request))
