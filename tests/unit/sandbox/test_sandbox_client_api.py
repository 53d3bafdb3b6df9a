"""The API as a client of the platform uses it: users, conversations, participants, clients, attachments, keys."""

from __future__ import annotations

import base64
import json
import os
import random
from typing import Any

import pytest

from bot.sandbox import BOT, WORKSPACE, Api, ApiRequest, Key, Keys
from bot.sandbox.records import Json
from bot.sandbox.routes import ROUTES


class Shop:
    """An account's API, asked with the app's key."""

    def __init__(self, world: Any) -> None:
        self.world = world
        keys = Keys(world.board._ids)
        self.app_key = keys.for_app()
        self.bot_key = keys.for_integration(world.bot.integration_id)
        self.api = Api(world.board, keys)

    def send(
        self,
        method: str,
        path: str,
        body: Json | bytes = b"",
        *,
        type_: str = "application/json",
        key: Key | None = None,
    ) -> tuple[int, Any]:
        """Status and content of a reply; a path is below the app, and may have a query."""
        path, _, query = path.partition("?")
        signed = key or self.app_key
        basic = base64.b64encode(f"{signed.id}:{signed.secret}".encode()).decode()
        headers = {"authorization": f"Basic {basic}", "content-type": type_, "host": "127.0.0.1:8090"}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        where = f"/sc/v2/apps/{self.world.board.app_id}/{path}"
        reply = self.api.handle(ApiRequest(method, where, query, headers, raw), self.world.now)
        return reply.status, json.loads(reply.body)

    def ok(self, method: str, path: str, body: Json | bytes = b"", **more: Any) -> Any:
        """The content of a reply that is no refusal."""
        status, content = self.send(method, path, body, **more)
        assert status < 300, content
        return content

    def refused(self, method: str, path: str, body: Json | bytes = b"", **more: Any) -> tuple[int, str]:
        """Status and code of a refusal."""
        status, content = self.send(method, path, body, **more)
        assert status >= 400, content
        return status, content["errors"][0]["code"]

    def user(self, external_id: str) -> str:
        """A new user's id."""
        return str(self.ok("POST", "users", {"externalId": external_id})["user"]["id"])

    def conversation(self, *user_ids: str, kind: str = "personal") -> str:
        """A new conversation's id."""
        people = [{"userId": user_id, "subscribeSDKClient": False} for user_id in user_ids]
        return str(self.ok("POST", "conversations", {"type": kind, "participants": people})["conversation"]["id"])


@pytest.fixture
def shop(world: Any) -> Shop:
    """The documented reading of everything."""
    return Shop(world)


def said(user_id: str, text: str = "hello") -> Json:
    """A user's message, as a request has it."""
    return {"author": {"type": "user", "userId": user_id}, "content": {"type": "text", "text": text}}


class TestUsers:
    """Users."""

    def test_made_and_changed(self, shop: Shop) -> None:
        """A profile changes field by field, metadata as a whole; both ids find the user."""
        given = {"givenName": "Ann", "surname": "Lee", "email": "ann@example.org"}
        made = shop.ok("POST", "users", {"externalId": "ann", "profile": given, "metadata": {"a": 1, "b": 2}})["user"]
        changes = {"profile": {"surname": None, "locale": "en"}, "metadata": {"b": 3}, "toBeRetained": True}

        changed = shop.ok("PATCH", f"users/{made['id']}", changes)["user"]

        assert made["profile"] == given
        assert changed["profile"] == {"givenName": "Ann", "email": "ann@example.org", "locale": "en"}
        assert (changed["metadata"], changed["toBeRetained"]) == ({"b": 3}, True)
        assert shop.ok("GET", "users/ann") == shop.ok("GET", f"users/{made['id']}") == {"user": changed}

    def test_forgotten(self, shop: Shop) -> None:
        """Personal information goes, the conversations stay."""
        user_id = str(shop.ok("POST", "users", {"externalId": "ann", "profile": {"givenName": "Ann"}})["user"]["id"])
        conversation_id = shop.conversation(user_id)

        forgotten = shop.ok("DELETE", "users/ann/personalinformation")["user"]

        assert (forgotten["profile"], forgotten["metadata"]) == ({}, {})
        assert shop.ok("GET", f"conversations/{conversation_id}")

    def test_deleted_by_either_id(self, shop: Shop) -> None:
        """A deleted user's conversations, clients and memberships go too, and it is told."""
        user_id, other = shop.user("ann"), shop.user("bob")
        own, group = shop.conversation(user_id), shop.conversation(user_id, other, kind="sdkGroup")
        shop.world.events()

        shop.ok("DELETE", "users/ann")

        assert "user:remove" in shop.world.types()
        assert shop.refused("GET", f"conversations/{own}") == (404, "conversation_not_found")
        people = shop.ok("GET", f"conversations/{group}/participants")["participants"]
        assert [one["userId"] for one in people] == [other]

    @pytest.mark.parametrize(
        ("method", "path", "body", "refusal"),
        [
            ("POST", "users", {"externalId": "sam"}, (409, "conflict")),
            ("POST", "users", {}, (400, "bad_request")),
            ("POST", "users", {"externalId": "x", "profile": []}, (400, "bad_request")),
            ("POST", "users", {"externalId": "x", "profile": {"surname": ""}}, (400, "bad_request")),
            ("POST", "users", {"externalId": "x", "metadata": {"a": {}}}, (400, "bad_request")),
            ("GET", "users", b"", (400, "bad_request")),
            ("GET", "users/none", b"", (404, "user_not_found")),
            ("PATCH", "users/none", {}, (404, "user_not_found")),
            ("DELETE", "users/none", b"", (404, "user_not_found")),
            ("DELETE", "users/none/personalinformation", b"", (404, "user_not_found")),
            ("POST", "users/123/sync", {}, (404, "user_not_found")),
        ],
    )
    def test_refused(self, shop: Shop, method: str, path: str, body: Any, refusal: tuple[int, str]) -> None:
        """What the description refuses is refused, with its status and code."""
        shop.user("sam")
        assert shop.refused(method, path, body) == refusal


class TestConversations:
    """Conversations and their participants."""

    def test_made(self, shop: Shop) -> None:
        """The default responder is active at once; the first personal one is the user's default; webhooks tell it."""
        user_id = shop.user("ann")
        body = {"type": "personal", "participants": [{"userExternalId": "ann"}], "metadata": {"from": "shop"}}

        made = shop.ok("POST", "conversations", {**body, "displayName": "Order 7"})["conversation"]

        (event,) = shop.world.events()
        assert (event["type"], event["payload"]["creationReason"]) == ("conversation:create", "none")
        assert event["payload"]["user"]["id"] == user_id
        assert event["payload"]["conversation"]["metadata"] == made["metadata"] == {"from": "shop"}
        assert made["activeSwitchboardIntegration"]["name"] == BOT
        assert (made["isDefault"], made["displayName"]) == (True, "Order 7")
        assert shop.ok("POST", "conversations", body)["conversation"]["isDefault"] is False

    def test_changed_and_deleted(self, shop: Shop) -> None:
        """Details change one by one; only one that is not the user's first can be deleted."""
        user_id = shop.user("ann")
        first, second = shop.conversation(user_id), shop.conversation(user_id)
        shop.ok("PATCH", f"conversations/{second}", {"displayName": "A", "description": "B"})

        changed = shop.ok("PATCH", f"conversations/{second}", {"description": None, "metadata": {"x": True}})

        assert changed["conversation"]["displayName"] == "A"
        assert "description" not in changed["conversation"]
        assert changed["conversation"]["metadata"] == {"x": True}
        assert shop.refused("DELETE", f"conversations/{first}") == (400, "bad_request")
        shop.ok("DELETE", f"conversations/{second}")
        assert shop.world.types()[-1] == "conversation:remove"

    def test_listed_in_pages(self, shop: Shop) -> None:
        """A user's conversations, forwards by `page[after]` and backwards by `page[before]`."""
        user_id = shop.user("ann")
        made = [shop.conversation(user_id) for _ in range(5)]

        def listed(query: str) -> tuple[list[str], Json]:
            content = shop.ok("GET", f"conversations?{query}")
            return [one["id"] for one in content["conversations"]], content["meta"]

        first, meta = listed(f"filter[userId]={user_id}&page[size]=2")
        assert (first, meta["hasMore"]) == (made[:2], True)
        rest, meta = listed(f"filter[userExternalId]=ann&page[after]={meta['afterCursor']}")
        assert (rest, meta) == (made[2:], {"hasMore": False, "beforeCursor": made[2]})
        back, meta = listed(f"filter[userId]={user_id}&page[size]=1&page[before]={made[2]}")
        assert (back, meta["hasMore"]) == (made[1:2], True)
        assert listed(f"filter[userId]={user_id}&page[after]={made[4]}") == ([], {"hasMore": False})

    def test_group(self, shop: Shop) -> None:
        """A group is joined and left; each is told once."""
        ann, bob = shop.user("ann"), shop.user("bob")
        group = shop.conversation(ann, kind="sdkGroup")
        shop.world.events()

        joined = shop.ok("POST", f"conversations/{group}/join", {"userExternalId": "bob", "subscribeSDKClient": True})
        again = shop.ok("POST", f"conversations/{group}/join", {"userId": bob, "subscribeSDKClient": True})

        assert joined == again
        assert joined["participant"]["clientAssociations"][0]["type"] == "sdk"
        (event,) = shop.world.events()
        assert (event["type"], event["payload"]["user"]["id"]) == ("conversation:join", bob)
        assert event["payload"]["conversation"]["type"] == "sdkGroup"
        shop.ok("POST", f"conversations/{group}/leave", {"participantId": joined["participant"]["id"]})
        assert shop.world.types() == ["conversation:leave"]
        left = (404, "not_found")
        assert shop.refused("POST", f"conversations/{group}/leave", {"userId": bob}) == left
        shop.ok("POST", f"conversations/{group}/leave", {"userExternalId": "ann"})
        assert shop.ok("GET", f"conversations/{group}/participants")["participants"] == []

    def test_full_group(self, shop: Shop) -> None:
        """A group has ten participants at the most."""
        people = [shop.user(f"user {number}") for number in range(11)]
        group = shop.conversation(*people[:10], kind="sdkGroup")
        body = {"userId": people[10], "subscribeSDKClient": False}

        assert shop.refused("POST", f"conversations/{group}/join", body) == (400, "bad_request")

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("POST", "conversations", {}, 400),
            ("POST", "conversations", {"type": "personal"}, 400),
            ("POST", "conversations", {"type": "personal", "participants": [{}]}, 400),
            ("POST", "conversations", {"type": "personal", "participants": [{"userId": "none"}]}, 404),
            ("POST", "conversations", {"type": "sdkGroup", "participants": [{"userExternalId": "ann"}]}, 400),
            ("POST", "conversations", {"type": "sdkGroup", "metadata": {"a": []}}, 400),
            ("GET", "conversations", b"", 400),
            ("GET", "conversations?filter[userId]=none", b"", 404),
            ("GET", "conversations?filter[userExternalId]=ann&page[size]=101", b"", 400),
            ("PATCH", "conversations/none", {}, 404),
            ("DELETE", "conversations/none", b"", 404),
            ("GET", "conversations/none/participants", b"", 404),
            ("POST", "conversations/{own}/join", {"userExternalId": "ann", "subscribeSDKClient": True}, 400),
            ("POST", "conversations/{own}/leave", {"userExternalId": "ann"}, 400),
            ("POST", "conversations/{own}/download", {}, 400),
            ("POST", "conversations/{own}/conversionEvents", {}, 400),
        ],
    )
    def test_refused(self, shop: Shop, method: str, path: str, body: Any, status: int) -> None:
        """What the description refuses is refused."""
        own = shop.conversation(shop.user("ann"))
        assert shop.refused(method, path.format(own=own), body)[0] == status

    def test_app_keys_need_the_account(self, shop: Shop) -> None:
        """Apps and their keys are closed to an app's key."""
        for method in ("GET", "POST"):
            assert shop.refused(method, "keys", {"displayName": "x"} if method == "POST" else b"") == (403, "forbidden")


class TestMessages:
    """What a user says by the API."""

    def test_told_like_any_other(self, shop: Shop) -> None:
        """A user's message comes as a webhook with its author, and is read by them and not by others."""
        user_id = shop.user("ann")
        conversation_id = shop.conversation(user_id)
        shop.world.events()

        posted = shop.ok("POST", f"conversations/{conversation_id}/messages", said(user_id))["messages"]

        (event,) = shop.world.events()
        message = event["payload"]["message"]
        assert (event["type"], message["id"]) == ("conversation:message", posted[0]["id"])
        assert message["author"]["user"] == {"id": user_id, "authenticated": False, "externalId": "ann"}
        assert event["payload"]["conversation"]["activeSwitchboardIntegration"]["name"] == BOT

    def test_assigns_a_released_one(self, shop: Shop) -> None:
        """Where nobody is active, it brings the default responder back, and the event names it already."""
        user_id = shop.user("ann")
        conversation_id = shop.conversation(user_id)
        shop.ok("POST", f"conversations/{conversation_id}/releaseControl", {}, key=shop.bot_key)
        shop.world.events()

        shop.ok("POST", f"conversations/{conversation_id}/messages", said(user_id))

        assert shop.world.events()[-1]["payload"]["conversation"]["activeSwitchboardIntegration"]["name"] == BOT

    def test_ended_one_lives_again(self, shop: Shop) -> None:
        """The widget can't write after the end; another channel can."""
        user_id = shop.user("ann")
        conversation_id = shop.conversation(user_id)
        shop.world.board.user_ends(conversation_id, now=shop.world.now)

        shop.ok("POST", f"conversations/{conversation_id}/messages", said(user_id))

        assert shop.world.board.conversations[conversation_id].ended_at is None

    def test_group_members_are_told_apart(self, shop: Shop) -> None:
        """Each message of a group names its own author."""
        ann, bob = shop.user("ann"), shop.user("bob")
        group = shop.conversation(ann, bob, kind="sdkGroup")
        shop.world.events()
        for user_id in (ann, bob):
            shop.ok("POST", f"conversations/{group}/messages", said(user_id))

        heard = [event["payload"]["message"]["author"]["user"]["externalId"] for event in shop.world.events()]
        assert heard == ["ann", "bob"]

    @pytest.mark.parametrize(
        ("author", "content", "status"),
        [
            ({"type": "user"}, {"type": "text", "text": "x"}, 400),
            ({"type": "user", "userId": "none"}, {"type": "text", "text": "x"}, 404),
            ({"type": "user", "userExternalId": "bob"}, {"type": "text", "text": "x"}, 400),
            ({"type": "user", "userExternalId": "ann"}, {"type": "carousel", "items": [1]}, 400),
            ({"type": "user", "userExternalId": "ann"}, {"type": "formResponse"}, 400),
            ({"type": "user", "userExternalId": "ann"}, None, 400),
        ],
    )
    def test_refused(self, shop: Shop, author: Json, content: Any, status: int) -> None:
        """Somebody unknown, somebody else, and content that users don't have."""
        conversation_id = shop.conversation(shop.user("ann"))
        shop.user("bob")
        path = f"conversations/{conversation_id}/messages"
        assert shop.refused("POST", path, {"author": author, "content": content})[0] == status

    def test_deleted(self, shop: Shop) -> None:
        """One message, then all of them; no webhook tells it."""
        user_id = shop.user("ann")
        path = f"conversations/{shop.conversation(user_id)}/messages"
        ids = [shop.ok("POST", path, said(user_id, text))["messages"][0]["id"] for text in ("one", "two", "three")]
        shop.world.events()

        shop.ok("DELETE", f"{path}/{ids[1]}")

        assert [message["id"] for message in shop.ok("GET", path)["messages"]] == [ids[0], ids[2]]
        assert shop.refused("DELETE", f"{path}/{ids[1]}") == (404, "not_found")
        shop.ok("DELETE", path)
        assert (shop.ok("GET", path)["messages"], shop.world.events()) == ([], [])

    def test_activities(self, shop: Shop) -> None:
        """Typing and reading: a user's are told, the business's are not; unread messages are counted."""
        user_id = shop.user("ann")
        conversation_id = shop.conversation(user_id)
        path, user = f"conversations/{conversation_id}/activity", {"type": "user", "userExternalId": "ann"}
        hello = {"author": {"type": "business"}, "content": {"type": "text", "text": "hello"}}
        shop.ok("POST", f"conversations/{conversation_id}/messages", hello)
        participants = f"conversations/{conversation_id}/participants"
        assert shop.ok("GET", participants)["participants"][0]["unreadCount"] == 1
        shop.world.events()

        for author, kind in (
            (user, "typing:start"),
            (user, "conversation:read"),
            ({"type": "business"}, "typing:start"),
        ):
            shop.ok("POST", path, {"author": author, "type": kind})
        shop.ok("POST", path, {"author": {"type": "business"}, "type": "conversation:read"})

        assert shop.world.types() == ["conversation:typing", "conversation:read"]
        (reader,) = shop.ok("GET", participants)["participants"]
        assert (reader["unreadCount"], "lastRead" in reader) == (0, True)
        assert "businessLastRead" in shop.ok("GET", f"conversations/{conversation_id}")["conversation"]
        assert shop.refused("POST", path, {"author": {"type": "x"}, "type": "typing:stop"})[0] == 400


class TestAttachments:
    """Files."""

    FORM = "multipart/form-data; boundary=cut"

    def upload(self, shop: Shop, content: bytes, query: str = "access=public", name: str = "a b.bin") -> Any:
        """Upload a file as browsers and HTTP libraries do."""
        head = f'--cut\r\nContent-Disposition: form-data; name="source"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + b"\r\n--cut--\r\n"
        return shop.send("POST", f"attachments?{query}", body, type_=self.FORM)

    def fetched(self, shop: Shop, url: str) -> tuple[int, bytes]:
        """What is at the URL, without a key."""
        path = url.removeprefix("http://127.0.0.1:8090")
        reply = shop.api.handle(ApiRequest("GET", path), shop.world.now)
        return reply.status, reply.body

    @pytest.mark.parametrize("size", [0, 1, 5_000, 200_000])
    def test_comes_back_the_same(self, shop: Shop, size: int) -> None:
        """Every byte comes back, whatever bytes they are; what looks like a line's end too."""
        content = os.urandom(size) + b"\r\n\n\r--cu\x00"

        status, reply = self.upload(shop, content)

        assert status == 201
        assert reply["attachment"]["mediaType"] == "application/octet-stream"
        assert self.fetched(shop, reply["attachment"]["mediaUrl"]) == (200, content)

    def test_deleted_with_what_it_belongs_to(self, shop: Shop) -> None:
        """With its message, or with its conversation; or by itself, once."""
        user_id = shop.user("ann")
        shop.conversation(user_id)
        conversation_id = shop.conversation(user_id)
        linked = f"access=public&for=message&conversationId={conversation_id}"
        urls = [self.upload(shop, b"x", linked, f"{name}.png")[1]["attachment"]["mediaUrl"] for name in "ab"]
        single = self.upload(shop, b"x")[1]["attachment"]["mediaUrl"]
        path = f"conversations/{conversation_id}/messages"
        shown = {"author": {"type": "business"}, "content": {"type": "image", "mediaUrl": urls[0]}}
        message_id = shop.ok("POST", path, shown)["messages"][0]["id"]

        shop.ok("DELETE", f"{path}/{message_id}")
        assert [self.fetched(shop, url)[0] for url in (*urls, single)] == [404, 200, 200]
        shop.ok("DELETE", f"conversations/{conversation_id}")
        assert [self.fetched(shop, url)[0] for url in (*urls, single)] == [404, 404, 200]
        shop.ok("POST", "attachments/remove", {"mediaUrl": single})
        assert shop.refused("POST", "attachments/remove", {"mediaUrl": single}) == (404, "not_found")
        assert shop.refused("POST", "attachments/remove", {"mediaUrl": "https://badhost.com/a.png"})[0] == 400

    def test_refused(self, shop: Shop) -> None:
        """Private ones, those for no conversation that exists, and forms without a file."""
        assert self.upload(shop, b"x", "access=private")[0] == 400
        assert self.upload(shop, b"x", "access=public&conversationId=none")[0] == 404
        empty = b'--cut\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--cut--\r\n'
        for body in (empty, b"", b"nonsense"):
            assert shop.refused("POST", "attachments?access=public", body, type_=self.FORM)[0] == 400
        assert shop.refused("POST", "attachments?access=public", {"source": "x"})[0] == 400
        large = b"x" * 50_000_001
        assert shop.refused("POST", "attachments?access=public", large, type_=self.FORM)[0] == 413


class TestClients:
    """Clients and devices."""

    def test_of_the_widget(self, shop: Shop) -> None:
        """Who has been at the widget has a client and a device there, which can't be removed."""
        shop.world.conversation()
        user = f"users/{shop.world.user.id}"

        (client,) = shop.ok("GET", f"{user}/clients")["clients"]
        (device,) = shop.ok("GET", f"{user}/devices")["devices"]

        assert (client["type"], client["status"], device["clientId"]) == ("sdk", "active", client["id"])
        assert shop.ok("GET", f"{user}/devices/{device['id']}") == {"device": device}
        assert shop.refused("DELETE", f"{user}/clients/{client['id']}") == (400, "bad_request")
        assert shop.refused("GET", f"{user}/devices/none") == (404, "device_not_found")

    def test_of_another_channel(self, shop: Shop) -> None:
        """It is pending until the channel answers; adding and removing are told."""
        user_id = shop.user("ann")
        conversation_id = shop.conversation(user_id)
        channel = {"type": "whatsapp", "deploymentId": "d"}
        integration_id = shop.ok("POST", "integrations", channel)["integration"]["id"]
        match = {"type": "whatsapp", "integrationId": integration_id, "phoneNumber": "+1 514 555 0100"}
        body = {
            "matchCriteria": match,
            "confirmation": {"type": "immediate"},
            "target": {"conversationId": conversation_id},
        }
        shop.world.events()

        client = shop.ok("POST", "users/ann/clients", body)["client"]

        assert (client["status"], client["externalId"]) == ("pending", "+1 514 555 0100")
        assert shop.ok("GET", "users/ann/clients")["clients"] == [client]
        assert shop.ok("GET", "users/ann/devices") == {"devices": []}
        shop.ok("DELETE", f"users/ann/clients/{client['id']}")
        assert shop.world.types() == ["client:add", "client:remove"]
        assert shop.refused("DELETE", f"users/ann/clients/{client['id']}") == (404, "client_not_found")
        for wrong, status in (
            ({"matchCriteria": {**match, "type": "smoke"}}, 400),
            ({"matchCriteria": {**match, "phoneNumber": ""}}, 400),
            ({"matchCriteria": {**match, "integrationId": shop.world.board.channel_id}}, 404),
            ({"confirmation": {"type": "later"}}, 400),
            ({"target": {"conversationId": "none"}}, 404),
            ({"target": None}, 400),
        ):
            assert shop.refused("POST", "users/ann/clients", {**body, **wrong})[0] == status

    def test_gone_with_the_user(self, shop: Shop) -> None:
        """A deleted user has no client left."""
        user_id = shop.user("ann")
        conversation_id = shop.conversation(user_id)
        integration_id = shop.ok("POST", "integrations", {"type": "twilio"})["integration"]["id"]
        match = {"type": "twilio", "integrationId": integration_id, "phoneNumber": "1"}
        target = {"conversationId": conversation_id}
        body = {"matchCriteria": match, "confirmation": {"type": "prompt"}, "target": target}
        shop.ok("POST", "users/ann/clients", body)

        shop.ok("DELETE", "users/ann")

        assert shop.world.board.clients == {}


class TestKeys:
    """Keys of a custom integration."""

    def test_made_found_and_deleted(self, shop: Shop) -> None:
        """A deleted key is 401 from then on; an integration has ten at the most; all go with the integration."""
        made = shop.ok("POST", "integrations", {"type": "custom"})["integration"]["id"]
        path = f"integrations/{made}/keys"
        first = shop.ok("POST", path, {"displayName": "one"})["key"]
        key = Key(next(k.caller for k in shop.api._keys.of_integration(made)), first["secret"])
        assert shop.ok("GET", f"{path}/{first['id']}")["key"]["id"] == first["id"]
        assert shop.ok("GET", f"integrations/{made}/webhooks", key=key) == {"webhooks": []}
        for number in range(9):
            shop.ok("POST", path, {"displayName": f"another {number}"})
        assert shop.refused("POST", path, {"displayName": "one too many"})[0] == 400

        shop.ok("DELETE", f"{path}/{first['id']}")

        assert shop.refused("GET", "integrations/me/webhooks", key=key) == (401, "unauthorized")
        assert shop.refused("DELETE", f"{path}/{first['id']}")[0] == 404
        assert shop.refused("GET", f"integrations/{shop.world.bot.integration_id}/keys/{first['id']}")[0] == 404
        left = shop.ok("POST", path, {"displayName": "last"})["key"]
        last = Key(next(k.caller for k in shop.api._keys.of_integration(made) if k.id == left["id"]), left["secret"])
        shop.ok("DELETE", f"integrations/{made}")
        assert shop.refused("GET", "integrations/me/webhooks", key=last) == (401, "unauthorized")


JUNK: tuple[Any, ...] = (None, True, -1, 0.5, "", "x", [], ["x"], [{}], {}, {"type": []}, {"userId": {}})
KEYS = (
    *("type", "participants", "metadata", "externalId", "profile", "author", "content", "displayName", "description"),
    *("userId", "userExternalId", "participantId", "subscribeSDKClient", "switchboardIntegration", "mediaUrl", "name"),
    *("matchCriteria", "confirmation", "target", "triggers", "webhooks", "settings", "integrationId", "enabled"),
    *("integrationType", "nextSwitchboardIntegrationId", "messageHistoryCount", "defaultSwitchboardIntegrationId"),
    *("defaultResponderId", "deliverStandbyEvents", "includeFullUser", "signedUpAt", "toBeRetained"),
)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
def test_junk_is_refused(shop: Shop, route: Any) -> None:
    """No request is too odd for an answer, and none leaves something behind that breaks a later one."""
    rng = random.Random(route.operation)  # noqa: S311
    user_id = shop.user("ann")
    ids = {
        "app": shop.world.board.app_id,
        "conversation": shop.conversation(user_id),
        "user": user_id,
        "integration": shop.world.bot.integration_id,
        "switchboard": shop.world.board.switchboard_id,
        "member": shop.world.bot.id,
        "message": "x",
        "client": "x",
        "device": "x",
        "key": "x",
        "webhook": "x",
    }
    path = route.template.format(**ids).removeprefix(f"/{ids['app']}").removeprefix("/")
    for _ in range(150):
        body: Json = {key: rng.choice(JUNK) for key in rng.sample(KEYS, rng.randrange(len(KEYS)))}
        if rng.random() < 0.5:  # far enough in for what comes after the first check
            body["type"] = rng.choice(["personal", "sdkGroup", "custom", "web", "typing:start"])
            body["author"] = {"type": "user", "userId": user_id}
            body["content"] = {"type": rng.choice(["text", "image", "formResponse", "form"]), "text": rng.choice(JUNK)}
            body["content"] |= {key: rng.choice(JUNK) for key in ("fields", "actions", "mediaUrl")}
        status, _ = shop.send(route.method, path, body)
        assert status < 500
    for asked in ("integrations", "switchboards", f"conversations?filter[userId]={user_id}", f"users/{user_id}"):
        assert shop.send("GET", asked)[0] in (200, 404)


def test_control_in_a_group(shop: Shop) -> None:
    """Control moves in a group like anywhere else, and an agent can write there."""
    ann = shop.user("ann")
    group = shop.conversation(ann, kind="sdkGroup")
    shop.ok("POST", f"conversations/{group}/passControl", {"switchboardIntegration": WORKSPACE})
    shop.world.board.agent_says(group, "hi all", shop.world.now)

    assert shop.world.board.holder(group) == WORKSPACE
