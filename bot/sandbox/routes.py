"""All operations of the API, with the published names, paths, statuses and scopes."""

from __future__ import annotations

from bot.sandbox.attachments import read_upload
from bot.sandbox.routing import Call, Route, RouteTable, Run, Scope

_APP = "/{app}"
_CONVERSATIONS = f"{_APP}/conversations"
_CONVERSATION = f"{_CONVERSATIONS}/{{conversation}}"
_MESSAGES = f"{_CONVERSATION}/messages"
_USERS = f"{_APP}/users"
_USER = f"{_USERS}/{{user}}"
_INTEGRATIONS = f"{_APP}/integrations"
_INTEGRATION = f"{_INTEGRATIONS}/{{integration}}"
_KEYS = f"{_INTEGRATION}/keys"
_WEBHOOKS = f"{_INTEGRATION}/webhooks"
_SWITCHBOARDS = f"{_APP}/switchboards"
_SWITCHBOARD = f"{_SWITCHBOARDS}/{{switchboard}}"
_LINKS = f"{_SWITCHBOARD}/switchboardIntegrations"


def _get(operation: str, template: str, run: Run, scope: Scope = "integration") -> Route:
    return Route(operation, "GET", template, run, scope=scope)


def _post(
    operation: str,
    template: str,
    run: Run,
    status: int = 200,
    scope: Scope = "integration",
) -> Route:
    return Route(operation, "POST", template, run, status, scope)


def _patch(operation: str, template: str, run: Run, scope: Scope = "integration") -> Route:
    return Route(operation, "PATCH", template, run, scope=scope)


def _delete(operation: str, template: str, run: Run, scope: Scope = "integration") -> Route:
    return Route(operation, "DELETE", template, run, scope=scope)


def _never(_: Call) -> None:
    """Never runs: no key has the scope."""


def _messages(call: Call) -> dict[str, object]:
    before, after = call.query.get("page[before]"), call.query.get("page[after]")
    return call.board.list_messages(call.conversation, before, after)


def _delete_integration(call: Call) -> None:
    call.board.delete_integration(call.integration)
    call.keys.revoke_all(call.integration)


ROUTES = (
    # conversations
    _post(
        "CreateConversation",
        _CONVERSATIONS,
        lambda c: c.board.start_conversation(c.body, c.now),
        201,
    ),
    _get("ListConversations", _CONVERSATIONS, lambda c: c.board.list_conversations(c.query)),
    _get("GetConversation", _CONVERSATION, lambda c: c.board.get_conversation(c.conversation)),
    _patch(
        "UpdateConversation",
        _CONVERSATION,
        lambda c: c.board.update_conversation(c.conversation, c.body, c.now),
    ),
    _delete(
        "DeleteConversation",
        _CONVERSATION,
        lambda c: c.board.delete_conversation(c.conversation, c.now),
    ),
    _post(
        "DownloadMessageRef",
        f"{_CONVERSATION}/download",
        lambda c: c.board.download(c.conversation),
    ),
    _post(
        "PostConversionEvents",
        f"{_CONVERSATION}/conversionEvents",
        lambda c: c.board.convert(c.conversation),
    ),
    # participants
    _post(
        "JoinConversation",
        f"{_CONVERSATION}/join",
        lambda c: c.board.join(c.conversation, c.body, c.now),
        201,
    ),
    _get(
        "ListParticipants",
        f"{_CONVERSATION}/participants",
        lambda c: c.board.list_participants(c.conversation, c.query),
    ),
    _post(
        "LeaveConversation",
        f"{_CONVERSATION}/leave",
        lambda c: c.board.leave(c.conversation, c.body, c.now),
    ),
    # messages
    _post(
        "PostMessage",
        _MESSAGES,
        lambda c: c.board.post_message(c.conversation, c.caller, c.body, c.now),
        201,
    ),
    _get("ListMessages", _MESSAGES, _messages),
    _delete(
        "DeleteAllMessages",
        _MESSAGES,
        lambda c: c.board.delete_all_messages(c.conversation),
    ),
    _delete(
        "DeleteMessage",
        f"{_MESSAGES}/{{message}}",
        lambda c: c.board.delete_message(c.conversation, c.ids["message"]),
    ),
    _post(
        "PostActivity",
        f"{_CONVERSATION}/activity",
        lambda c: c.board.take_activity(c.conversation, c.body, c.now),
    ),
    # control
    _post(
        "ReleaseControl",
        f"{_CONVERSATION}/releaseControl",
        lambda c: c.board.release_control(*c.control),
    ),
    _post(
        "AcceptControl",
        f"{_CONVERSATION}/acceptControl",
        lambda c: c.board.accept_control(*c.control),
    ),
    _post(
        "PassControl",
        f"{_CONVERSATION}/passControl",
        lambda c: c.board.pass_control(*c.move),
    ),
    _post(
        "OfferControl",
        f"{_CONVERSATION}/offerControl",
        lambda c: c.board.offer_control(*c.move),
    ),
    # attachments
    _post(
        "UploadAttachment",
        f"{_APP}/attachments",
        lambda c: c.board.upload(read_upload(c.content_type, c.raw), c.query, c.base_url),
        201,
    ),
    _post(
        "DeleteAttachment",
        f"{_APP}/attachments/remove",
        lambda c: c.board.delete_attachment(c.body, c.base_url),
    ),
    # users
    _post("CreateUser", _USERS, lambda c: c.board.register_user(c.body), 201),
    _get("ListUsers", _USERS, lambda c: c.board.list_users(c.query)),
    _get("GetUser", _USER, lambda c: c.board.get_user(c.user)),
    _patch("UpdateUser", _USER, lambda c: c.board.update_user(c.user, c.body)),
    _delete("DeleteUser", _USER, lambda c: c.board.remove_user(c.user.id, now=c.now)),
    _delete(
        "DeleteUserPersonalInformation",
        f"{_USER}/personalinformation",
        lambda c: c.board.forget_personal_information(c.user),
    ),
    _post("SyncUser", f"{_USER}/sync", lambda c: c.board.sync_user(c.ids["user"])),
    # clients and devices
    _post(
        "CreateClient",
        f"{_USER}/clients",
        lambda c: c.board.create_client(c.user, c.body, c.now),
        201,
    ),
    _get("ListClients", f"{_USER}/clients", lambda c: c.board.list_clients(c.user, c.query)),
    _delete(
        "RemoveClient",
        f"{_USER}/clients/{{client}}",
        lambda c: c.board.remove_client(c.user, c.ids["client"], c.now),
    ),
    _get("ListDevices", f"{_USER}/devices", lambda c: c.board.list_devices(c.user)),
    _get(
        "GetDevice",
        f"{_USER}/devices/{{device}}",
        lambda c: c.board.get_device(c.user, c.ids["device"]),
    ),
    # the app
    _get("GetApp", _APP, lambda c: c.board.get_app(), "app"),
    _patch("UpdateApp", _APP, lambda c: c.board.update_app(c.body), "app"),
    _post("CreateApp", "", _never, scope="account"),
    _get("ListApps", "", _never, "account"),
    _delete("DeleteApp", _APP, _never, "account"),
    _post("CreateAppKey", f"{_APP}/keys", _never, scope="account"),
    _get("ListAppKeys", f"{_APP}/keys", _never, "account"),
    _get("GetAppKey", f"{_APP}/keys/{{key}}", _never, "account"),
    _delete("DeleteAppKey", f"{_APP}/keys/{{key}}", _never, "account"),
    # integrations and their keys
    _get(
        "ListIntegrations",
        _INTEGRATIONS,
        lambda c: c.board.list_integrations(query=c.query),
        "app",
    ),
    _post(
        "CreateIntegration",
        _INTEGRATIONS,
        lambda c: c.board.create_integration(c.body),
        201,
        "app",
    ),
    _get(
        "GetIntegration",
        _INTEGRATION,
        lambda c: c.board.get_integration(c.integration),
        "app",
    ),
    _patch(
        "UpdateIntegration",
        _INTEGRATION,
        lambda c: c.board.update_integration(c.integration, c.body),
        "app",
    ),
    _delete("DeleteIntegration", _INTEGRATION, _delete_integration, "app"),
    _get("ListCustomIntegrationKeys", _KEYS, lambda c: c.keys.list_keys(c.custom), "app"),
    _post(
        "CreateCustomIntegrationKey",
        _KEYS,
        lambda c: c.keys.create_key(c.custom, c.body),
        201,
        "app",
    ),
    _get(
        "GetCustomIntegrationKey",
        f"{_KEYS}/{{key}}",
        lambda c: c.keys.get_key(c.custom, c.ids["key"]),
        "app",
    ),
    _delete(
        "DeleteCustomIntegrationKey",
        f"{_KEYS}/{{key}}",
        lambda c: c.keys.delete_key(c.custom, c.ids["key"]),
        "app",
    ),
    # webhooks
    _get("ListWebhooks", _WEBHOOKS, lambda c: c.board.list_webhooks(c.integration, c.caller)),
    _post(
        "CreateWebhook",
        _WEBHOOKS,
        lambda c: c.board.create_webhook(c.integration, c.body, c.caller),
        201,
    ),
    _get(
        "GetWebhook",
        f"{_WEBHOOKS}/{{webhook}}",
        lambda c: c.board.get_webhook(*c.webhook, c.caller),
    ),
    _patch(
        "UpdateWebhook",
        f"{_WEBHOOKS}/{{webhook}}",
        lambda c: c.board.update_webhook(*c.webhook, c.body, c.caller),
    ),
    _delete(
        "DeleteWebhook",
        f"{_WEBHOOKS}/{{webhook}}",
        lambda c: c.board.delete_webhook(*c.webhook, c.caller),
    ),
    # switchboards and their members
    _get("ListSwitchboards", _SWITCHBOARDS, lambda c: c.board.list_switchboards(), "app"),
    _post(
        "CreateSwitchboard",
        _SWITCHBOARDS,
        lambda c: c.board.create_switchboard(),
        201,
        "app",
    ),
    _patch(
        "UpdateSwitchboard",
        _SWITCHBOARD,
        lambda c: c.board.update_switchboard(c.ids["switchboard"], c.body),
        "app",
    ),
    _delete(
        "DeleteSwitchboard",
        _SWITCHBOARD,
        lambda c: c.board.delete_switchboard(c.ids["switchboard"], c.now),
        "app",
    ),
    _get(
        "ListSwitchboardIntegrations",
        _LINKS,
        lambda c: c.board.list_switchboard_integrations(c.ids["switchboard"]),
        "app",
    ),
    _post(
        "CreateSwitchboardIntegration",
        _LINKS,
        lambda c: c.board.create_switchboard_integration(c.ids["switchboard"], c.body),
        201,
        "app",
    ),
    _patch(
        "UpdateSwitchboardIntegration",
        f"{_LINKS}/{{member}}",
        lambda c: c.board.update_switchboard_integration(*c.link, c.body),
        "app",
    ),
    _delete(
        "DeleteSwitchboardIntegration",
        f"{_LINKS}/{{member}}",
        lambda c: c.board.delete_switchboard_integration(*c.link, c.now),
        "app",
    ),
)

find = RouteTable(ROUTES).find
"""Finds an operation by method and path."""
