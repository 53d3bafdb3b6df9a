"""Keys of integrations, as the configuration API makes and lists them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.sandbox import BOT, Api, ApiRequest, Ids, Key, Keys, Switches, standard_switchboard

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Desk:
    """An API with both kinds of keys."""

    def __init__(self) -> None:
        ids = Ids()
        self.board = standard_switchboard(Switches(), ids)
        self.keys = Keys(ids)
        self.integration_id = self.board.member(BOT).integration_id
        self.app_key = self.keys.for_app()
        self._api = Api(self.board, self.keys)

    def ask(self, key_id: str, secret: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and content of the reply to a signed request."""
        headers = {"authorization": "Basic " + base64.b64encode(f"{key_id}:{secret}".encode()).decode()}
        raw = b"" if body is None else json.dumps(body).encode()
        reply = self._api.handle(ApiRequest(method, f"/v2/apps/{self.board.app_id}/{path}", "", headers, raw), NOW)
        return reply.status, json.loads(reply.body)

    def keys_path(self, integration_id: str = "") -> str:
        """The path of an integration's keys."""
        return f"integrations/{integration_id or self.integration_id}/keys"


@pytest.fixture
def desk() -> Desk:
    """An API with both kinds of keys."""
    return Desk()


def made(desk: Desk) -> Any:
    """A key that was made by the API."""
    key = desk.app_key
    status, body = desk.ask(key.id, key.secret, "POST", desk.keys_path(), {"displayName": "mine"})
    assert status == 201
    return body["key"]


def test_a_key_that_was_made_works_for_its_integration(desk: Desk) -> None:
    """It reaches the integration's webhooks, and no configuration."""
    key = made(desk)
    assert key["displayName"] == "mine"
    for path, status in ((f"integrations/{desk.integration_id}/webhooks", 200), ("integrations", 403)):
        assert desk.ask(key["id"], key["secret"], "GET", path)[0] == status


@pytest.mark.parametrize("listed", [False, True])
def test_a_list_of_keys(desk: Desk, listed: bool) -> None:
    """Whether it shows the secrets is an open question."""
    key, desk.keys.secrets_listed = made(desk), listed
    _, body = desk.ask(desk.app_key.id, desk.app_key.secret, "GET", desk.keys_path())
    assert body["keys"] == [key if listed else {"id": key["id"], "displayName": "mine"}]


@pytest.mark.parametrize(
    ("who", "where", "body", "status"),
    [
        ("app", "bot", {}, 400),
        ("app", "channel", {"displayName": "mine"}, 400),
        ("app", "nowhere", {"displayName": "mine"}, 404),
        ("integration", "bot", {"displayName": "mine"}, 403),
    ],
)
def test_what_gets_no_key(desk: Desk, who: str, where: str, body: Any, status: int) -> None:
    """A key without a name, of a channel, of nothing, or made by an integration's own key."""
    key: Key = desk.app_key if who == "app" else desk.keys.for_integration(desk.integration_id)
    place = {"bot": "", "channel": desk.board.channel_id, "nowhere": "none"}[where]
    assert desk.ask(key.id, key.secret, "POST", desk.keys_path(place), body)[0] == status
