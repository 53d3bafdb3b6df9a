"""The platform's own Python client works on the sandbox as on the platform: every call of it that the sandbox models.

Each answer is read by the client's own models, and checked against the published description where that is at hand.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from published_api import misfits

from bot.sandbox import ANSWERS, BOT, WORKSPACE, ApiReply, ApiRequest, Key, Sandbox, Switches

client = pytest.importorskip("sunshine_conversations_client")

NOT_MODELLED = {
    *("authorize", "get_token", "get_token_info", "revoke_access"),  # OAuth, for marketplace bots
}


def is_api(name: str) -> bool:
    """Is it one of the client's classes that have calls?"""
    return name.endswith("Api")


@dataclass
class Noted:
    """One of the client's APIs, whose calls are noted."""

    api: Any
    seen: dict[str, set[str]]

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.api, name)

        def noted(*about: Any, **more: Any) -> Any:
            outcome = "works"
            try:
                return call(*about, **more)
            except client.ApiException as error:
                outcome = f"{error.status} {json.loads(error.body)['errors'][0]['code']}"
                raise
            finally:
                self.seen.setdefault(f"{type(self.api).__name__}.{name}", set()).add(outcome)

        return noted


@dataclass
class Office:
    """An account over HTTP, the client with the app's key, and what the bot's webhook hears.

    Attributes:
        misfits: what did not fit the published description.
        seen: how the calls went, by their names: `works`, or status and code.
    """

    sandbox: Sandbox
    key: Key
    heard: list[dict[str, Any]]
    misfits: list[str] = field(default_factory=list)
    seen: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = client.Configuration(host=self.sandbox.base_url, username=self.key.id, password=self.key.secret)
        connection = client.ApiClient(settings)
        apis = {name: Noted(getattr(client, name)(connection), self.seen) for name in dir(client) if is_api(name)}
        self.app = self.sandbox.app_id
        self.users, self.clients, self.devices = apis["UsersApi"], apis["ClientsApi"], apis["DevicesApi"]
        self.conversations, self.participants = apis["ConversationsApi"], apis["ParticipantsApi"]
        self.messages, self.activities = apis["MessagesApi"], apis["ActivitiesApi"]
        self.attachments, self.actions = apis["AttachmentsApi"], apis["SwitchboardActionsApi"]
        self.apps, self.app_keys = apis["AppsApi"], apis["AppKeysApi"]
        self.integrations, self.keys = apis["IntegrationsApi"], apis["CustomIntegrationApiKeysApi"]
        self.webhooks = apis["WebhooksApi"]
        self.switchboards, self.members = apis["SwitchboardsApi"], apis["SwitchboardIntegrationsApi"]

    def as_bot(self) -> Office:
        """The same with the integration's key."""
        return Office(self.sandbox, self.sandbox.integration_key, self.heard, self.misfits, self.seen)

    def user(self, external_id: str) -> str:
        """A new user's id."""
        body = client.UserCreateBody(external_id=external_id)
        return str(self.users.create_user(self.app, body).user.id)

    def conversation(self, *user_ids: str, kind: str = "personal") -> str:
        """A new conversation's id."""
        body = {"type": kind, "participants": [{"userId": one, "subscribeSDKClient": True} for one in user_ids]}
        made = self.conversations.create_conversation(self.app, client.ConversationCreateBody.from_dict(body))
        return str(made.conversation.id)

    def says(self, conversation_id: str, user_id: str, text: str = "hello") -> Any:
        """A user's message."""
        body = {"author": {"type": "user", "userId": user_id}, "content": {"type": "text", "text": text}}
        return self.messages.post_message(self.app, conversation_id, client.MessagePost.from_dict(body)).messages[0]

    def holder(self, conversation_id: str) -> str | None:
        """The name of the active switchboard integration."""
        active = self.conversations.get_conversation(
            self.app, conversation_id
        ).conversation.active_switchboard_integration
        return None if active is None else str(active.name)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    """An account on this machine, in which control actions refuse an unknown target at once."""
    heard: list[dict[str, Any]] = []

    async def post(_: str, __: Mapping[str, str], body: bytes) -> int:
        heard.extend(json.loads(body)["events"])
        return 200

    switches = Switches(unknown_target="refused")
    async with Sandbox(switches=switches, webhook_url="http://127.0.0.1:1/", post=post) as sandbox:
        made = Office(sandbox, sandbox.app_key, heard)
        handle = sandbox.api.handle

        def checked(request: ApiRequest, now: Any) -> ApiReply:
            reply = handle(request, now)
            if not request.path.startswith("/sc/attachments"):
                made.misfits += misfits(request.operation, reply.status, reply.body)
            return reply

        sandbox.api.handle = checked  # type: ignore[method-assign]
        yield made
        assert made.misfits == []


def refused(call: Callable[[], Any]) -> tuple[int, str]:
    """Status and code with which a call is refused."""
    with pytest.raises(client.ApiException) as caught:
        call()
    return caught.value.status, json.loads(caught.value.body)["errors"][0]["code"]


def users(o: Office) -> None:
    """Users: made, read by either id, changed, forgotten, deleted; twice is a conflict."""
    profile = client.Profile(given_name="Ann", surname="Lee", email="ann@example.org", locale="en")
    body = client.UserCreateBody(external_id="ann", profile=profile, metadata={"vip": True})
    made = o.users.create_user(o.app, body).user
    assert refused(lambda: o.users.create_user(o.app, body)) == (409, "conflict")
    assert o.users.get_user(o.app, "ann").user == o.users.get_user(o.app, made.id).user == made
    changes = client.UserUpdateBody(profile=client.Profile(surname="Ray"))
    assert o.users.update_user(o.app, "ann", changes).user.profile.surname == "Ray"
    assert o.users.delete_user_personal_information(o.app, "ann").user.profile.given_name is None
    assert refused(lambda: o.users.sync_user(o.app, "123")) == (404, "user_not_found")
    o.users.delete_user(o.app, "ann")
    assert refused(lambda: o.users.get_user(o.app, "ann")) == (404, "user_not_found")


def conversations(o: Office) -> None:
    """Conversations: made, read, listed in pages, changed, deleted; the user's first one can't be."""
    ann = o.user("ann")
    first, second = o.conversation(ann), o.conversation(ann)
    changes = client.ConversationUpdateBody(display_name="Order 7", metadata={"order": 7})
    assert o.conversations.update_conversation(o.app, second, changes).conversation.display_name == "Order 7"
    assert o.conversations.get_conversation(o.app, second).conversation.metadata == {"order": 7}
    assert refused(lambda: o.conversations.delete_conversation(o.app, first)) == (400, "bad_request")
    other = client.DownloadMessageRefBody(user_id=ann)
    assert refused(lambda: o.conversations.download_message_ref(o.app, second, other))[0] == 400
    event = client.ConversionEventsBody(client.InstagramConversionEventsBody())
    assert refused(lambda: o.conversations.post_conversion_events(o.app, second, event))[0] == 400
    o.conversations.delete_conversation(o.app, second)
    gone = (404, "conversation_not_found")
    assert refused(lambda: o.conversations.get_conversation(o.app, second)) == gone
    by_user = client.ConversationListFilter(user_id=ann)
    assert [one.id for one in o.conversations.list_conversations(o.app, by_user).conversations] == [first]
    unknown = client.ConversationListFilter(user_id="none")
    assert refused(lambda: o.conversations.list_conversations(o.app, unknown)) == (404, "user_not_found")


def participants(o: Office) -> None:
    """Participants: only a group is joined and left."""
    ann, bob = o.user("ann"), o.user("bob")
    group, personal = o.conversation(ann, kind="sdkGroup"), o.conversation(ann)
    body = client.ParticipantJoinBody(user_external_id="bob", subscribe_sdk_client=True)
    joined = o.participants.join_conversation(o.app, group, body).participant
    assert (joined.user_id, joined.client_associations[0].type) == (bob, "sdk")
    listed = o.participants.list_participants(o.app, group, page=client.Page(size=1))
    assert ([one.user_id for one in listed.participants], listed.meta.has_more) == ([ann], True)
    leaves = client.ParticipantLeaveBody(client.ParticipantLeaveBodyParticipantId(participant_id=joined.id))
    o.participants.leave_conversation(o.app, group, leaves)
    assert refused(lambda: o.participants.leave_conversation(o.app, group, leaves)) == (404, "not_found")
    assert refused(lambda: o.participants.join_conversation(o.app, personal, body)) == (400, "bad_request")


def messages(o: Office) -> None:
    """Messages of both authors, in both directions of the list; one deleted, all deleted; typing and reading."""
    ann = o.user("ann")
    conversation = o.conversation(ann)
    said = o.says(conversation, ann)
    body = {
        "author": {"type": "business", "displayName": "Shop"},
        "content": {"type": "text", "text": "Tea?", "actions": [{"type": "reply", "text": "Yes", "payload": "YES"}]},
        "metadata": {"mine": 1},
    }
    asked = o.messages.post_message(o.app, conversation, client.MessagePost.from_dict(body)).messages[0]
    assert (asked.author.display_name, asked.metadata) == ("Shop", {"mine": 1})
    listed = o.messages.list_messages(o.app, conversation).messages
    assert [one.id for one in listed] == [said.id, asked.id]
    older = o.messages.list_messages(o.app, conversation, page=client.Page(before=asked.id)).messages
    assert [one.id for one in older] == [said.id]
    for author, kind in (
        (client.Author(type="user", user_id=ann), "typing:start"),
        (client.Author(type="business"), "conversation:read"),
    ):
        o.activities.post_activity(o.app, conversation, client.ActivityPost(author=author, type=kind))
    o.messages.delete_message(o.app, conversation, said.id)
    assert refused(lambda: o.messages.delete_message(o.app, conversation, said.id)) == (404, "not_found")
    o.messages.delete_all_messages(o.app, conversation)
    assert o.messages.list_messages(o.app, conversation).messages == []
    stranger = client.MessagePost.from_dict({**body, "author": {"type": "user", "userId": o.user("bob")}})
    assert refused(lambda: o.messages.post_message(o.app, conversation, stranger)) == (400, "bad_request")


def attachments(o: Office) -> None:
    """Attachments: uploaded, shown in a message, and deleted once."""
    conversation = o.conversation(o.user("ann"))
    made = o.attachments.upload_attachment(
        o.app, "public", ("tea.png", b"\x89PNG\r\n\x1a\n\x00"), var_for="message", conversation_id=conversation
    ).attachment
    assert made.media_type == "image/png"
    shown = {"author": {"type": "business"}, "content": {"type": "image", "mediaUrl": made.media_url}}
    o.messages.post_message(o.app, conversation, client.MessagePost.from_dict(shown))
    body = client.AttachmentDeleteBody(media_url=made.media_url)
    o.attachments.delete_attachment(o.app, body)
    assert refused(lambda: o.attachments.delete_attachment(o.app, body)) == (404, "not_found")


def clients_and_devices(o: Office) -> None:
    """The widget's client and device, and a pending link to another channel."""
    ann = o.user("ann")
    conversation = o.conversation(ann)
    (own,) = o.clients.list_clients(o.app, "ann").clients
    (device,) = o.devices.list_devices(o.app, "ann").devices
    assert (own.type, device.client_id) == ("sdk", own.id)
    assert o.devices.get_device(o.app, "ann", device.id).device == device
    assert refused(lambda: o.devices.get_device(o.app, "ann", "none")) == (404, "device_not_found")
    channel = client.Twilio(account_sid="AC1", auth_token="hush", phone_number_sid="PN1")
    integration = o.integrations.create_integration(o.app, channel).integration
    body = {
        "matchCriteria": {"type": "twilio", "integrationId": integration.id, "phoneNumber": "+15145550100"},
        "confirmation": {"type": "immediate"},
        "target": {"conversationId": conversation},
    }
    linked = o.clients.create_client(o.app, "ann", client.ClientCreate.from_dict(body)).client
    assert linked.status == "pending"
    o.clients.remove_client(o.app, "ann", linked.id)
    assert refused(lambda: o.clients.remove_client(o.app, "ann", own.id)) == (400, "bad_request")
    assert refused(lambda: o.clients.remove_client(o.app, "ann", linked.id)) == (404, "client_not_found")


def integrations(o: Office) -> None:
    """Integrations: made, listed, renamed, deleted, with keys and a webhook. An integration's key sees only its own."""
    webhook = client.Webhook(target="https://example.org/1", triggers=["conversation:message"])
    body = client.Custom(type="custom", display_name="Mine", webhooks=[webhook])
    made = o.integrations.create_integration(o.app, body).integration
    assert made.webhooks[0].secret
    changes = client.IntegrationUpdate(client.CustomUpdate(display_name="Ours"))
    assert o.integrations.update_integration(o.app, made.id, changes).integration.display_name == "Ours"
    assert o.integrations.get_integration(o.app, made.id).integration.display_name == "Ours"
    listed = o.integrations.list_integrations(o.app, filter=client.IntegrationListFilter(types="custom"))
    assert made.id in [one.id for one in listed.integrations]
    key = o.keys.create_custom_integration_key(o.app, made.id, client.IntegrationApiKey(display_name="k")).key
    assert key.secret
    assert o.keys.get_custom_integration_key(o.app, made.id, key.id).key.id == key.id
    assert [one.id for one in o.keys.list_custom_integration_keys(o.app, made.id).keys] == [key.id]
    o.keys.delete_custom_integration_key(o.app, made.id, key.id)
    assert refused(lambda: o.keys.get_custom_integration_key(o.app, made.id, key.id)) == (404, "not_found")
    (hook,) = o.webhooks.list_webhooks(o.app, made.id).webhooks
    bot = o.as_bot()
    assert refused(lambda: bot.webhooks.list_webhooks(o.app, made.id)) == (403, "forbidden")
    assert bot.webhooks.list_webhooks(o.app, "me").webhooks[0].target == "http://127.0.0.1:1/"
    triggers = client.WebhookBody(target="https://example.org/2", triggers=["user:remove"])
    assert o.webhooks.update_webhook(o.app, made.id, hook.id, triggers).webhook.triggers == ["user:remove"]
    assert o.webhooks.get_webhook(o.app, made.id, hook.id).webhook.target == "https://example.org/2"
    o.webhooks.delete_webhook(o.app, made.id, hook.id)
    assert refused(lambda: o.webhooks.get_webhook(o.app, made.id, hook.id)) == (404, "not_found")
    again = client.WebhookCreateBody(target="https://example.org/3", triggers=["user:remove"])
    assert o.webhooks.create_webhook(o.app, made.id, again).webhook.secret != hook.secret
    o.integrations.delete_integration(o.app, made.id)
    gone = (404, "integration_not_found")
    assert refused(lambda: o.integrations.get_integration(o.app, made.id)) == gone


def switchboards(o: Office) -> None:
    """The switchboard and its members: linked, ordered, unlinked, and all deleted."""
    (board,) = o.switchboards.list_switchboards(o.app).switchboards
    assert refused(lambda: o.switchboards.create_switchboard(o.app)) == (400, "bad_request")
    webhook = client.Webhook(target="https://example.org/1", triggers=["conversation:message"])
    custom = o.integrations.create_integration(o.app, client.Custom(type="custom", webhooks=[webhook])).integration
    body = client.SwitchboardIntegrationCreateBody(name="second", integration_id=custom.id)
    made = o.members.create_switchboard_integration(o.app, board.id, body).switchboard_integration
    listed = o.members.list_switchboard_integrations(o.app, board.id).switchboard_integrations
    assert [one.name for one in listed] == [BOT, WORKSPACE, ANSWERS, "second"]
    changes = client.SwitchboardIntegrationUpdateBody(
        next_switchboard_integration_id=listed[0].id, message_history_count=5
    )
    changed = o.members.update_switchboard_integration(o.app, board.id, made.id, changes).switchboard_integration
    assert (changed.next_switchboard_integration_id, changed.message_history_count) == (listed[0].id, 5)
    default = client.SwitchboardUpdateBody(default_switchboard_integration_id=made.id)
    assert o.switchboards.update_switchboard(o.app, board.id, default).switchboard.enabled
    unlink, closed = o.members.delete_switchboard_integration, (403, "forbidden")
    assert refused(lambda: unlink(o.app, board.id, made.id)) == closed  # the default one
    assert refused(lambda: unlink(o.app, board.id, listed[0].id)) == closed  # it comes next after another
    back = client.SwitchboardUpdateBody(default_switchboard_integration_id=listed[0].id)
    o.switchboards.update_switchboard(o.app, board.id, back)
    o.members.delete_switchboard_integration(o.app, board.id, made.id)
    o.switchboards.delete_switchboard(o.app, board.id)
    gone = (404, "switchboard_not_found")
    assert refused(lambda: o.members.list_switchboard_integrations(o.app, board.id)) == gone
    assert not o.switchboards.create_switchboard(o.app).switchboard.enabled


def control(o: Office) -> None:
    """The four control actions, with their refusals: a target that is not there, not active, not offered."""
    bot, ann = o.as_bot(), o.user("ann")
    conversation = o.conversation(ann)
    to_nobody = client.PassControlBody(switchboard_integration="nobody")
    invalid = (400, "switchboard_invalid_target")
    assert refused(lambda: bot.actions.pass_control(o.app, conversation, to_nobody)) == invalid
    offer_nobody = client.OfferControlBody(switchboard_integration="nobody")
    assert refused(lambda: bot.actions.offer_control(o.app, conversation, offer_nobody)) == invalid
    assert o.holder(conversation) == BOT
    bot.actions.pass_control(o.app, conversation, client.PassControlBody(switchboard_integration="next"))
    assert o.holder(conversation) == WORKSPACE
    assert refused(lambda: bot.actions.release_control(o.app, conversation)) == (403, "forbidden")
    accept = client.AcceptControlBody(metadata={"a": 1})
    assert refused(lambda: bot.actions.accept_control(o.app, conversation, accept)) == (403, "forbidden")
    o.actions.offer_control(o.app, conversation, client.OfferControlBody(switchboard_integration=BOT))
    bot.actions.accept_control(o.app, conversation, accept)
    assert o.holder(conversation) == BOT
    bot.actions.release_control(o.app, conversation, client.ReleaseControlBody(metadata={"done": True}))
    assert o.holder(conversation) is None
    gone = (404, "conversation_not_found")
    assert refused(lambda: o.actions.release_control(o.app, "none")) == gone
    assert refused(lambda: o.actions.pass_control(o.app, "none", to_nobody)) == gone


def app_and_its_keys(o: Office) -> None:
    """The app's settings; apps and their keys are the account's (403)."""
    settings = o.apps.get_app(o.app).app.settings
    assert settings.multi_convo_enabled is True
    changes = client.AppUpdateBody(settings=client.AppSettings(echo_postback=True))
    assert o.apps.update_app(o.app, changes).app.settings.echo_postback is True
    closed = (403, "forbidden")
    assert refused(lambda: o.apps.create_app(client.AppCreateBody(display_name="x"))) == closed
    assert refused(lambda: o.apps.list_apps()) == closed
    assert refused(lambda: o.apps.delete_app(o.app)) == closed
    name = client.AppKeyCreateBody(display_name="x")
    assert refused(lambda: o.app_keys.create_app_key(o.app, name)) == closed
    assert refused(lambda: o.app_keys.list_app_keys(o.app)) == closed
    assert refused(lambda: o.app_keys.get_app_key(o.app, "app_x")) == closed
    assert refused(lambda: o.app_keys.delete_app_key(o.app, "app_x")) == closed
    assert refused(lambda: o.as_bot().apps.get_app(o.app)) == closed


SCRIPTS = (
    *(users, conversations, participants, messages, attachments, clients_and_devices),
    *(integrations, switchboards, control, app_and_its_keys),
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
async def test_calls(office: Office, script: Callable[[Office], None]) -> None:
    """Every call works, or fails as it is documented; and as the table in `docs` says."""
    await asyncio.to_thread(script, office)
    table = told()
    assert {name: table.get(name, set()) & outcomes for name, outcomes in office.seen.items()} == office.seen


async def test_a_users_message_comes_as_a_webhook(office: Office) -> None:
    """What the client says as a user reaches the bot like words at the widget, with the active integration."""

    def talk() -> str:
        ann = office.user("ann")
        return str(office.says(office.conversation(ann), ann, "hello there").id)

    message_id = await asyncio.to_thread(talk)
    await office.sandbox.sender.settled()

    event = next(one for one in office.heard if one["type"] == "conversation:message")
    assert event["payload"]["message"]["id"] == message_id
    assert event["payload"]["message"]["author"]["user"]["externalId"] == "ann"
    assert event["payload"]["conversation"]["activeSwitchboardIntegration"]["name"] == BOT


TABLE = Path(__file__).parents[2] / "docs" / "client.md"


def told() -> dict[str, set[str]]:
    """How calls go, as the table in `docs` has it."""
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.+) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: {one.strip("`") for one in outcomes.split(", ")} for name, outcomes in rows}


@pytest.mark.long
async def test_the_table_says_no_more(office: Office) -> None:
    """Whatever it has happens in one of the tests."""
    seen: dict[str, set[str]] = {}
    for script in SCRIPTS:
        async with Sandbox(switches=Switches(unknown_target="refused"), webhook_url="http://127.0.0.1:1/") as sandbox:
            other = Office(sandbox, sandbox.app_key, [], [], seen)
            await asyncio.to_thread(script, other)
    assert seen == {name: outcomes for name, outcomes in told().items() if outcomes != {"not modelled"}}


def test_no_call_is_left_out() -> None:
    """Each call of the client is made above, or is named as not modelled."""
    offered = {
        name
        for api in dir(client)
        if is_api(api)
        for name, _ in inspect.getmembers(getattr(client, api), inspect.isfunction)
        if not name.startswith("_") and not name.endswith(("_with_http_info", "_without_preload_content"))
    }
    made = set(re.findall(r"\.(\w+)\b", Path(__file__).read_text(encoding="utf-8")))

    assert offered - made == NOT_MODELLED
