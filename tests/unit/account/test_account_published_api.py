"""Setting an account up, call by call: client and stand-in speak as the published API description says.

The published description is not a part of this project: where it isn't beside it, this is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

from bot.account.application import apply
from bot.account.own_key import find_or_make
from bot.account.plan import DesiredSetup, find_ours, plan
from bot.account.reading import read_account, read_webhooks
from bot.clock import SystemClock
from bot.sandbox import ANSWERS, BOT, Api, Ids, Keys, SandboxTransport, Switches, standard_switchboard
from bot.settings import ControlMode
from bot.sunshine import Credentials, SunshineClient

DESCRIPTION = Path(__file__).parents[3].parent / "shared" / "openapi.yaml"
BASE = "https://acme.zendesk.com/sc"
WISHES = DesiredSetup(ControlMode.PASS, "https://bot.example.com/webhooks/sunshine", default_responder=True)

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


@dataclass
class Answered:
    """An answer, in the words of openapi-core."""

    status_code: int
    headers: dict[str, str]
    content_type: str
    data: bytes | None


class Checked(httpx2.AsyncBaseTransport):
    """Hands requests to the stand-in, and checks both ways."""

    def __init__(self, inner: SandboxTransport, published: OpenAPI) -> None:
        self.asked: list[str] = []
        self._inner = inner
        self._published = published

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Carry it out, unless it or its answer is not as published."""
        url, headers = request.url, Headers(dict(request.headers))
        parameters = RequestParameters(query=ImmutableMultiDict(list(url.params.multi_items())), header=headers)
        asked = Asked(
            host_url=f"{url.scheme}://{url.host}",
            path=url.path,
            method=request.method.lower(),
            parameters=parameters,
            content_type=request.headers.get("content-type", ""),
            body=request.content or None,
        )
        self._published.validate_request(asked)
        response = await self._inner.handle_async_request(request)
        answered = Answered(response.status_code, {}, "application/json", await response.aread())
        self._published.validate_response(asked, answered)
        self.asked.append(f"{request.method} {url.path.rpartition('/')[2]}")
        return response


@pytest.mark.parametrize("secrets_listed", [False, True])
async def test_from_nothing_to_all_of_it(secrets_listed: bool) -> None:
    """Every request and every answer fits."""
    published = OpenAPI.from_file_path(str(DESCRIPTION), config=Config(spec_validator_cls=None))
    ids, now = Ids(), datetime(2026, 3, 1, tzinfo=UTC)
    board, keys = standard_switchboard(Switches(mode="pass"), ids, untouched=True), Keys(ids)
    keys.secrets_listed = secrets_listed
    bot = board.member(BOT)
    assert board.switchboard_id
    board.update_switchboard(board.switchboard_id, {"defaultSwitchboardIntegrationId": board.member(ANSWERS).id})
    board.delete_switchboard_integration(board.switchboard_id, bot.id, now)
    board.delete_integration(bot.integration_id)
    board.enabled = False
    transport, app_key = Checked(SandboxTransport(Api(board, keys), SystemClock()), published), keys.for_app()
    credentials = Credentials(app_key.id, app_key.secret)
    async with SunshineClient(BASE, board.app_id, credentials, transport=transport) as client:
        sentences: list[str] = []
        everything = {change.sentence for change in plan(await read_account(client), WISHES)}
        account = await apply(
            client,
            await read_account(client),
            WISHES,
            agreed=everything,
            done=lambda change: sentences.append(change.sentence),
        )
        ours = find_ours(account, WISHES).integration
        assert ours is not None
        made = await find_or_make(client, ours.id)
        again = await find_or_make(client, ours.id)
    async with SunshineClient(BASE, board.app_id, made.key, transport=transport) as client:
        assert await read_webhooks(client, ours.id) == ours.webhooks
    assert set(sentences) == everything
    assert (again.key == made.key) == secrets_listed
    assert again.others == (() if secrets_listed else (made.key.key_id,))
    assert {"POST integrations", "POST switchboardIntegrations", "POST keys", "GET keys"} <= set(transport.asked)
