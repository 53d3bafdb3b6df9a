"""The API without a network: signatures, scopes, routes, and faults (docs/platform.md, sections 5 and 6)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import jwt
import pytest

from bot.sandbox import (
    BOT,
    WORKSPACE,
    Api,
    ApiReply,
    ApiRequest,
    BrokenConnectionError,
    Fault,
    Ids,
    Key,
    Keys,
    Kind,
    Moment,
    SandboxTransport,
    Switchboard,
    Switches,
    standard_switchboard,
)
from bot.sandbox.faults import exchange

NOW = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)


class Fixed:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Always the same."""
        return NOW


class Desk:
    """An API with a conversation in it, and both kinds of keys."""

    def __init__(self) -> None:
        ids = Ids()
        self.board: Switchboard = standard_switchboard(Switches(), ids)
        self.keys = Keys(ids)
        self.integration_key = self.keys.for_integration(self.board.member(BOT).integration_id)
        self.app_key = self.keys.for_app()
        self.api = Api(self.board, self.keys)
        self.user = self.board.create_user("Sam", external_id="sam-1")
        self.conversation = self.board.create_conversation(self.user, now=NOW)

    @property
    def conversation_path(self) -> str:
        """The path of the conversation."""
        return f"/v2/apps/{self.board.app_id}/conversations/{self.conversation.id}"

    def request(self, method: str, path: str, body: Any = None, key: Key | None = None, query: str = "") -> ApiRequest:
        """A request, signed with Basic authentication; a path is below the app."""
        full = path if path.startswith("/") else f"/v2/apps/{self.board.app_id}{'/' if path else ''}{path}"
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return ApiRequest(method, full, query, {"authorization": basic(key or self.integration_key)}, raw)

    def ask(self, method: str, path: str, body: Any = None, key: Key | None = None, query: str = "") -> tuple[int, Any]:
        """Status and content of the reply."""
        reply = self.api.handle(self.request(method, path, body, key, query), NOW)
        return reply.status, json.loads(reply.body)

    def authorized(self, authorization: str) -> int:
        """The status that reading the conversation gives with this header."""
        headers = {"authorization": authorization} if authorization else {}
        return self.api.handle(ApiRequest("GET", self.conversation_path, "", headers), NOW).status


def basic(key: Key, secret: str | None = None) -> str:
    """The header of Basic authentication."""
    return "Basic " + base64.b64encode(f"{key.id}:{secret or key.secret}".encode()).decode()


def bearer(key: Key, scope: str | None, secret: str | None = None, **claims: Any) -> str:
    """The header of a JWT."""
    content = {"scope": scope, **claims} if scope else claims
    return "Bearer " + jwt.encode(content, secret or key.secret, algorithm="HS256", headers={"kid": key.id})


@pytest.fixture
def desk() -> Desk:
    """An API with a conversation in it."""
    return Desk()


class TestSignature:
    """Basic authentication and JWT."""

    @pytest.mark.parametrize(
        ("authorization", "status"),
        [
            (lambda d: basic(d.integration_key), 200),
            (lambda d: basic(d.app_key), 200),
            (lambda d: bearer(d.integration_key, "integration"), 200),
            (lambda d: bearer(d.app_key, "app"), 200),
            (lambda d: bearer(d.app_key, "app", exp=int((NOW + timedelta(seconds=1)).timestamp())), 200),
            (lambda _: "", 401),
            (lambda _: "Basic %%%", 401),
            (lambda _: "Digest abc", 401),
            (lambda d: basic(d.integration_key, "wrong"), 401),
            (lambda d: basic(d.integration_key, d.app_key.secret), 401),
            (lambda d: bearer(d.integration_key, "integration", secret="wrong" * 10), 401),
            (lambda d: bearer(d.integration_key, "app"), 401),
            (lambda d: bearer(d.integration_key, None), 401),
            (lambda d: bearer(d.app_key, "app", exp=int(NOW.timestamp())), 401),
            (lambda _: "Bearer not.a.token", 401),
            (lambda d: "Bearer " + jwt.encode({"scope": "app"}, d.app_key.secret, algorithm="HS256"), 401),
            (lambda d: "Bearer " + jwt.encode({"scope": "app"}, None, "none", headers={"kid": d.app_key.id}), 401),
        ],
    )
    def test_checked(self, desk: Desk, authorization: Callable[[Desk], str], status: int) -> None:
        """Only a known key with its own secret and scope gets in."""
        assert desk.authorized(authorization(desk)) == status

    def test_revoked(self, desk: Desk) -> None:
        """A revoked key is 401."""
        desk.keys.revoke(desk.integration_key.id)

        assert desk.authorized(basic(desk.integration_key)) == 401

    def test_ids_tell_the_scope(self, desk: Desk) -> None:
        """Key ids begin with `int_` or `app_`."""
        assert desk.integration_key.id.startswith("int_")
        assert desk.app_key.id.startswith("app_")


class TestRoutes:
    """Paths, statuses and bodies."""

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("POST", "messages", {"author": {"type": "business"}, "content": {"type": "text", "text": "x"}}, 201),
            ("GET", "messages", None, 200),
            ("POST", "activity", {"author": {"type": "business"}, "type": "typing:start"}, 200),
            ("POST", "passControl", {"switchboardIntegration": WORKSPACE}, 200),
            ("POST", "passControl", {}, 400),
            ("POST", "offerControl", {"switchboardIntegration": WORKSPACE}, 200),
            ("POST", "acceptControl", {}, 403),
            ("POST", "releaseControl", {}, 200),
            ("POST", "releaseControl", None, 200),
            ("POST", "releaseControl", b"{", 400),
            ("POST", "releaseControl", [1], 400),
            ("POST", "messages", b" " * 100_001, 413),
            ("PUT", "messages", None, 404),
            ("POST", "dance", None, 404),
        ],
    )
    def test_conversation(self, desk: Desk, method: str, path: str, body: Any, status: int) -> None:
        """The conversation's operations answer with their documented statuses; control actions answer `{}`."""
        answered, content = desk.ask(method, f"{desk.conversation_path}/{path}", body)

        assert answered == status
        if status == 200 and path.endswith("Control"):
            assert content == {}
        if status >= 400:
            assert set(content["errors"][0]) == {"code", "title"}

    def test_below_sc(self, desk: Desk) -> None:
        """The same paths work below `/sc`."""
        assert desk.ask("GET", "/sc" + desk.conversation_path) == desk.ask("GET", desk.conversation_path)

    def test_query(self, desk: Desk) -> None:
        """Cursors and filters come in the query."""
        first = desk.board.user_says(desk.conversation.id, "one", now=NOW)
        second = desk.board.user_says(desk.conversation.id, "two", now=NOW)

        path = f"{desk.conversation_path}/messages"
        for query in (f"page[before]={second.id}", f"page%5Bbefore%5D={second.id}"):
            _, content = desk.ask("GET", path, query=query)
            assert [message["id"] for message in content["messages"]] == [first.id]
        _, content = desk.ask("GET", "integrations", key=desk.app_key, query="filter[types]=web")
        assert [integration["type"] for integration in content["integrations"]] == ["web"]

    def test_users(self, desk: Desk) -> None:
        """A user is found by id and by external id, and can be deleted."""
        assert desk.ask("GET", f"users/{desk.user.id}") == desk.ask("GET", "users/sam-1")
        assert desk.ask("DELETE", f"users/{desk.user.id}")[0] == 200
        assert desk.ask("GET", "users/sam-1")[1]["errors"][0]["code"] == "user_not_found"

    def test_removed_conversation(self, desk: Desk) -> None:
        """A deleted conversation is 404 from then on; a user's first one can't be deleted (400)."""
        path = f"conversations/{desk.board.create_conversation(desk.user, now=NOW).id}"
        assert desk.ask("DELETE", desk.conversation_path)[0] == 400
        assert desk.ask("DELETE", path)[0] == 200
        assert desk.ask("GET", path)[1]["errors"][0]["code"] == "conversation_not_found"

    def test_another_app(self, desk: Desk) -> None:
        """Another app's id is 404."""
        assert desk.ask("GET", "/v2/apps/other/conversations/x")[1]["errors"][0]["code"] == "app_not_found"

    def test_date(self, desk: Desk) -> None:
        """Every reply carries the platform's time."""
        reply = desk.api.handle(desk.request("GET", desk.conversation_path), NOW)

        assert parsedate_to_datetime(reply.headers["Date"]) == NOW.replace(microsecond=0)


class TestScopes:
    """What an integration's key reaches."""

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", ""),
            ("PATCH", ""),
            ("GET", "integrations"),
            ("POST", "integrations"),
            ("GET", "integrations/x"),
            ("PATCH", "integrations/x"),
            ("GET", "switchboards"),
            ("POST", "switchboards"),
            ("PATCH", "switchboards/x"),
            ("GET", "switchboards/x/switchboardIntegrations"),
            ("POST", "switchboards/x/switchboardIntegrations"),
            ("PATCH", "switchboards/x/switchboardIntegrations/y"),
            ("DELETE", "switchboards/x/switchboardIntegrations/y"),
        ],
    )
    def test_configuration_needs_app_key(self, desk: Desk, method: str, path: str) -> None:
        """Settings, integrations and switchboards are closed to an integration's key (403), and open to an app's."""
        assert desk.ask(method, path, {})[0] == 403
        assert desk.ask(method, path, {}, key=desk.app_key)[0] != 403

    def test_setup(self, desk: Desk) -> None:
        """With an app key the whole set-up can be read and changed."""
        channel, switchboard = desk.board.channel_id, desk.board.switchboard_id
        member = desk.board.member(BOT)
        link = f"switchboards/{switchboard}/switchboardIntegrations"
        webhooks = f"integrations/{member.integration_id}/webhooks"
        target = {"target": "http://127.0.0.1:1/", "triggers": ["user:remove"]}
        made, webhook = desk.ask("POST", webhooks, target, desk.app_key)
        one = f"{webhooks}/{webhook['webhook']['id']}"

        asked: list[tuple[str, str, Any]] = [
            ("GET", "", None),
            ("PATCH", "", {"settings": {"echoPostback": True}}),
            ("GET", f"integrations/{channel}", None),
            ("PATCH", f"integrations/{channel}", {"defaultResponderId": member.id}),
            ("GET", webhooks, None),
            ("GET", one, None),
            ("PATCH", one, {"triggers": []}),
            ("DELETE", one, None),
            ("GET", "switchboards", None),
            ("PATCH", f"switchboards/{switchboard}", {"enabled": True}),
            ("GET", link, None),
            ("PATCH", f"{link}/{member.id}", {"deliverStandbyEvents": False}),
        ]
        assert made == 201
        assert [desk.ask(method, path, body, desk.app_key)[0] for method, path, body in asked] == [200] * len(asked)

    def test_own_webhooks(self, desk: Desk) -> None:
        """An integration's key reaches its own webhooks, and no others (403)."""
        assert desk.ask("GET", "integrations/me/webhooks")[0] == 200
        assert desk.ask("GET", f"integrations/{desk.board.member(BOT).integration_id}/webhooks")[0] == 200
        assert desk.ask("GET", f"integrations/{desk.board.channel_id}/webhooks")[0] == 403


class TestFaults:
    """What goes wrong on the way."""

    def release(self, desk: Desk) -> ApiRequest:
        """A request with an effect that can be seen."""
        return desk.request("POST", f"{desk.conversation_path}/releaseControl")

    async def struck(self, desk: Desk, fault: Fault, moment: Moment) -> ApiReply:
        """The reply to a release that a fault strikes."""
        return await exchange(
            desk.api, self.release(desk), Fixed(), lambda _request, when: fault if when is moment else None
        )

    @pytest.mark.parametrize(("moment", "released"), [(Moment.BEFORE, False), (Moment.AFTER, True)])
    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_status(self, desk: Desk, status: int, moment: Moment, released: bool) -> None:
        """A wrong status hides whether the request took effect."""
        reply = await self.struck(desk, Fault(status=status, retry_after="7"), moment)

        assert (reply.status, reply.headers["Retry-After"]) == (status, "7")
        assert desk.board.is_open(desk.conversation.id) is not released

    @pytest.mark.parametrize(("moment", "released"), [(Moment.BEFORE, False), (Moment.AFTER, True)])
    async def test_reset(self, desk: Desk, moment: Moment, released: bool) -> None:
        """So does a broken connection."""
        with pytest.raises(BrokenConnectionError, match="reset"):
            await self.struck(desk, Fault(reset=True), moment)

        assert desk.board.is_open(desk.conversation.id) is not released

    async def test_delay_alone(self, desk: Desk) -> None:
        """A fault that only delays lets the request through."""
        assert (await self.struck(desk, Fault(delay=0.001), Moment.BEFORE)).status == 200

    async def test_no_fault(self, desk: Desk) -> None:
        """Without faults the reply is the API's."""
        assert (await exchange(desk.api, self.release(desk), Fixed(), None)).status == 200

    def test_operation(self, desk: Desk) -> None:
        """A fault can aim: a request tells its operation and its conversation."""
        request = self.release(desk)
        assert (request.operation, request.conversation_id) == ("ReleaseControl", desk.conversation.id)
        other = desk.request("GET", "dance")
        assert (other.operation, other.conversation_id) == ("unknown", None)


class TestTransport:
    """The transport for httpx2 clients in the same process."""

    async def ask(self, desk: Desk, fault: Fault | None, read: float | None = 5.0) -> httpx2.Response:
        """A release by a real client."""
        transport = SandboxTransport(desk.api, Fixed())
        transport.faults = lambda _request, when: fault if when is Moment.BEFORE else None
        auth = (desk.integration_key.id, desk.integration_key.secret)
        async with httpx2.AsyncClient(transport=transport, auth=auth, timeout=httpx2.Timeout(read)) as client:
            response = await client.post(f"http://sandbox.invalid/sc{desk.conversation_path}/releaseControl", json={})
        assert [request.operation for request in transport.requests] == ["ReleaseControl"]
        return response

    async def test_answers(self, desk: Desk) -> None:
        """A client gets the API's reply, and the effect is real."""
        response = await self.ask(desk, None)

        assert (response.status_code, response.json()) == (200, {})
        assert not desk.board.is_open(desk.conversation.id)
        assert desk.board.history[-1].kind is Kind.HOLDER

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (Fault(reset=True), httpx2.ReadError),
            (Fault(refuse=True), httpx2.ConnectError),
            (Fault(delay=60), httpx2.ReadTimeout),
        ],
    )
    async def test_raises(self, desk: Desk, fault: Fault, error: type[Exception]) -> None:
        """What breaks raises what a real connection would raise."""
        with pytest.raises(error):
            await self.ask(desk, fault, read=0.01)

        assert desk.board.is_open(desk.conversation.id)

    async def test_cancel(self, desk: Desk) -> None:
        """A request can be cancelled while a fault delays it."""
        task = asyncio.create_task(self.ask(desk, Fault(delay=60)))
        await asyncio.sleep(0)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
