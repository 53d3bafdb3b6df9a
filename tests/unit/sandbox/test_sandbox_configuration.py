"""The configuration API: what `doctor` reads and `setup` mends (docs/platform.md, sections 1, 3, 4 and 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.sandbox import BOT, WORKSPACE, ApiError, Caller, Cause, Ids, Switchboard, Switches


def test_required_settings_are_on(world: Any) -> None:
    """The feature's three settings are on, and can be changed, but multiConvo never back."""
    settings = world.board.get_app()["app"]["settings"]
    assert settings["multiConvoEnabled"]
    assert settings["endSessionEnabled"]
    assert settings["disableConversationReopen"]

    assert not world.board.update_app({"settings": {"endSessionEnabled": False}})["app"]["settings"][
        "endSessionEnabled"
    ]
    with pytest.raises(ApiError, match="400"):
        world.board.update_app({"settings": {"multiConvoEnabled": False}})


def test_untouched_account_passes_to_answer_bot(worlds: Any) -> None:
    """In an untouched account the workspace's next is answerBot; in pass mode the sandbox sets it to the bot."""
    for untouched, following in ((True, "answers"), (False, "bot")):
        world = worlds(mode="pass", untouched=untouched)
        links = world.board.list_switchboard_integrations(world.board.switchboard_id)["switchboardIntegrations"]
        desk = next(link for link in links if link["name"] == WORKSPACE)
        assert desk["nextSwitchboardIntegrationId"] == getattr(world, following).id


def test_integrations_are_channels_and_custom_ones(world: Any) -> None:
    """First-party integrations are not listed; types filter; a channel tells its default responder."""
    listed = world.board.list_integrations()["integrations"]
    assert [integration["type"] for integration in listed] == ["web", "custom"]
    assert listed[0]["defaultResponder"]["name"] == BOT
    assert listed[0]["defaultResponder"]["inherited"]

    assert [i["type"] for i in world.board.list_integrations(["web"])["integrations"]] == ["web"]


class TestWebhooks:
    """An integration's webhook."""

    def test_made_changed_listed_removed(self, world: Any) -> None:
        """A webhook has target, triggers and a secret that the platform makes."""
        body = {"target": "http://127.0.0.1:1/a", "triggers": ["conversation:message"]}
        made = world.board.create_webhook(world.bot.integration_id, body, world.app_key)["webhook"]
        assert made["secret"]

        change = {"triggers": ["conversation:message", "user:remove"]}
        world.board.update_webhook(world.bot.integration_id, made["id"], change, world.app_key)

        (listed,) = world.board.list_webhooks("me", world.bot_key)["webhooks"]
        assert listed == {**made, **change}
        assert world.board.get_webhook("me", made["id"], world.bot_key)["webhook"] == listed
        world.board.delete_webhook("me", made["id"], world.bot_key)
        assert world.board.list_webhooks("me", world.bot_key) == {"webhooks": []}

    def test_one_an_integration(self, world: Any) -> None:
        """A custom integration has one webhook."""
        body = {"target": "http://127.0.0.1:1/a", "triggers": []}
        world.board.create_webhook(world.bot.integration_id, body, world.app_key)

        with pytest.raises(ApiError, match="one webhook"):
            world.board.create_webhook(world.bot.integration_id, body, world.app_key)

    def test_ten_an_app(self, world: Any) -> None:
        """An app has at most ten webhooks."""
        webhook = {"target": "http://127.0.0.1:1/a", "triggers": []}
        for _ in range(10):
            world.board.create_integration({"type": "custom", "webhooks": [webhook]})

        with pytest.raises(ApiError, match="at most 10"):
            world.board.create_integration({"type": "custom", "webhooks": [webhook]})

    def test_only_ones_own(self, world: Any) -> None:
        """An integration's key does not see another integration's webhooks."""
        with pytest.raises(ApiError, match="403"):
            world.board.list_webhooks(world.bot.integration_id, Caller("int_x", "integration", "other"))

    @pytest.mark.parametrize("body", [{}, {"target": "http://127.0.0.1:1/a"}, {"target": 5, "triggers": []}])
    def test_bad(self, world: Any, body: dict[str, Any]) -> None:
        """A webhook without target or triggers is 400."""
        with pytest.raises(ApiError, match="400"):
            world.board.create_webhook(world.bot.integration_id, body, world.app_key)

    def test_channels_have_none(self, world: Any) -> None:
        """A channel can't have a webhook."""
        with pytest.raises(ApiError, match="400"):
            world.board.create_webhook(world.board.channel_id, {"target": "https://x", "triggers": []}, world.app_key)

    def test_unknown(self, world: Any) -> None:
        """An unknown webhook or integration is 404."""
        with pytest.raises(ApiError, match="404"):
            world.board.get_webhook(world.bot.integration_id, "none", world.app_key)
        with pytest.raises(ApiError, match="404"):
            world.board.list_webhooks("none", world.app_key)


class TestSwitchboard:
    """Switchboards and their integrations."""

    def test_set_up_from_nothing(self) -> None:
        """An app without anything can be set up by the API alone."""
        board = Switchboard("app", (), Switches(), Ids())
        board.switchboard_id = None
        assert board.list_switchboards() == {"switchboards": []}
        switchboard = board.create_switchboard()["switchboard"]["id"]
        custom = board.create_integration({"type": "custom", "displayName": "bot"})["integration"]["id"]

        with pytest.raises(ApiError, match="400"):
            board.update_switchboard(switchboard, {"enabled": True})
        link = board.create_switchboard_integration(switchboard, {"name": "bot", "integrationId": custom})
        member = link["switchboardIntegration"]["id"]
        board.update_switchboard(switchboard, {"enabled": True, "defaultSwitchboardIntegrationId": member})

        assert board.list_switchboards()["switchboards"][0] == {
            "id": switchboard,
            "enabled": True,
            "defaultSwitchboardIntegrationId": member,
        }
        with pytest.raises(ApiError, match="400"):
            board.create_switchboard()

    def test_change(self, world: Any) -> None:
        """Name, next and standby events can be changed; next can be unset."""
        change = {"name": "bot-2", "nextSwitchboardIntegrationId": None, "deliverStandbyEvents": False}

        changed = world.board.update_switchboard_integration(world.board.switchboard_id, world.bot.id, change)

        link = changed["switchboardIntegration"]
        assert (link["name"], link["deliverStandbyEvents"]) == ("bot-2", False)
        assert "nextSwitchboardIntegrationId" not in link

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"name": "no blanks"}, 400),
            ({"name": WORKSPACE}, 400),
            ({"name": None}, 400),
            ({"nextSwitchboardIntegrationId": "none"}, 404),
        ],
    )
    def test_bad_change(self, world: Any, change: dict[str, Any], status: int) -> None:
        """Names are unique and simple, and next has to exist."""
        with pytest.raises(ApiError) as caught:
            world.board.update_switchboard_integration(world.board.switchboard_id, world.bot.id, change)
        assert caught.value.status == status

    def test_ten_at_most(self, world: Any) -> None:
        """A switchboard has at most ten integrations."""
        board = world.board
        for number in range(7):
            custom = board.create_integration({"type": "custom"})["integration"]["id"]
            body = {"name": f"bot-{number}", "integrationId": custom}
            board.create_switchboard_integration(board.switchboard_id, body)

        with pytest.raises(ApiError, match="too_many"):
            board.create_switchboard_integration(board.switchboard_id, body)

    def test_failed_link_leaves_nothing(self, world: Any) -> None:
        """A switchboard integration that is refused does not exist."""
        custom = world.board.create_integration({"type": "custom"})["integration"]["id"]
        before = dict(world.board.members)

        for body in ({"integrationId": custom}, {"integrationId": "none", "name": "x"}, {"name": "x"}):
            with pytest.raises(ApiError):
                world.board.create_switchboard_integration(world.board.switchboard_id, body)

        assert world.board.members == before

    def test_removal_empties_conversations(self, world: Any) -> None:
        """Where a removed integration was active, nobody is; the default one can't be removed."""
        conversation = world.conversation(WORKSPACE)
        _let_nobody_come_before(world, world.desk.id)

        world.board.delete_switchboard_integration(world.board.switchboard_id, world.desk.id, world.now)

        assert not world.board.is_open(conversation.id)
        assert world.board.history[-1].cause is Cause.CONFIGURATION
        with pytest.raises(ApiError, match="403"):
            world.board.delete_switchboard_integration(world.board.switchboard_id, world.bot.id, world.now)

    def test_next_is_kept(self, world: Any) -> None:
        """A switchboard integration that comes next after another one can't be removed (403)."""
        with pytest.raises(ApiError, match="403"):
            world.board.delete_switchboard_integration(world.board.switchboard_id, world.desk.id, world.now)

        assert world.desk.id in world.board.members

    def test_deleted_with_its_members(self, world: Any) -> None:
        """A deleted switchboard takes its members along; their integrations stay, and hear everything."""
        conversation = world.conversation(WORKSPACE)

        world.board.delete_switchboard(world.board.switchboard_id, world.now)

        assert world.board.list_switchboards() == {"switchboards": []}
        assert (world.board.members, world.board.is_open(conversation.id)) == ({}, False)
        world.board.user_says(conversation.id, "still there?", now=world.now)
        assert world.types() == ["conversation:message"]

    def test_disabled_switchboard_assigns_nobody(self, world: Any) -> None:
        """Without an enabled switchboard nobody becomes active."""
        world.board.update_switchboard(world.board.switchboard_id, {"enabled": False})

        conversation = world.board.create_conversation(world.user, now=world.now)

        assert not world.board.is_open(conversation.id)

    @pytest.mark.parametrize("switchboard", ["none", ""])
    def test_unknown(self, world: Any, switchboard: str) -> None:
        """An unknown switchboard is 404."""
        with pytest.raises(ApiError, match="switchboard_not_found"):
            world.board.list_switchboard_integrations(switchboard)


class TestIntegrations:
    """Channels and custom integrations."""

    def test_made_and_renamed(self, world: Any) -> None:
        """A channel can be made, renamed, and given its own default responder, which may be taken away again."""
        made = world.board.create_integration({"type": "web", "displayName": "Shop"})["integration"]
        changes = {"displayName": "Store", "defaultResponderId": world.answers.id}

        changed = world.board.update_integration(made["id"], changes)["integration"]

        assert changed["displayName"] == "Store"
        assert changed["defaultResponder"]["name"] == world.answers.name
        assert not changed["defaultResponder"]["inherited"]
        back = world.board.update_integration(made["id"], {"defaultResponderId": None})["integration"]
        assert back["defaultResponder"]["inherited"]

    @pytest.mark.parametrize("responder", ["bot", "channel"])
    def test_bad_default_responder(self, world: Any, responder: str) -> None:
        """Custom integrations have no default responder, and a channel's has to exist."""
        where = world.bot.integration_id if responder == "bot" else world.board.channel_id
        with pytest.raises(ApiError, match="400"):
            world.board.update_integration(where, {"defaultResponderId": "none"})

    def test_unknown_type(self, world: Any) -> None:
        """Other types of integrations can't be made in the sandbox."""
        with pytest.raises(ApiError, match="400"):
            world.board.create_integration({"type": "carrier pigeon"})

    def test_no_half_made_one(self, world: Any) -> None:
        """An integration whose webhook is refused is not made at all."""
        before = dict(world.board.integrations)
        for webhook in ({}, {"target": "x", "triggers": []}, {"target": "https://x", "triggers": "all"}):
            with pytest.raises(ApiError, match="400"):
                world.board.create_integration({"type": "custom", "webhooks": [webhook]})

        assert world.board.integrations == before

    def test_secrets_of_channels(self, world: Any) -> None:
        """What a channel was set up with comes back, but for its secrets."""
        given = {"type": "twilio", "accountSid": "AC1", "authToken": "hush", "phoneNumberSid": "PN1"}
        made = world.board.create_integration(given)["integration"]

        assert (made["accountSid"], made["phoneNumberSid"]) == ("AC1", "PN1")
        assert "hush" not in str(made)

    def test_pages(self, world: Any) -> None:
        """Integrations come in pages of 25, with a cursor to the next one."""
        for number in range(30):
            world.board.create_integration({"type": "web", "displayName": f"Shop {number}"})

        first = world.board.list_integrations(query={"page[size]": "20"})
        second = world.board.list_integrations(query={"page[after]": first["meta"]["afterCursor"]})

        assert (len(first["integrations"]), first["meta"]["hasMore"]) == (20, True)
        assert (second["meta"]["hasMore"], "afterCursor" in second["meta"]) == (False, False)
        names = [
            one["displayName"] for one in (*first["integrations"], *second["integrations"]) if one["type"] == "web"
        ]
        assert names == ["Web widget", *(f"Shop {number}" for number in range(30))]
        for bad in ({"page[size]": "0"}, {"page[size]": "x"}, {"page[after]": "none"}):
            with pytest.raises(ApiError, match="400"):
                world.board.list_integrations(query=bad)

    def test_settings_are_an_object(self, world: Any) -> None:
        """Settings that are no object are 400."""
        with pytest.raises(ApiError, match="400"):
            world.board.update_app({"settings": []})

    def test_unknown_members(self, world: Any) -> None:
        """A switchboard integration that does not exist is 404 wherever it is named."""
        switchboard = world.board.switchboard_id
        asked: list[Callable[[], object]] = [
            lambda: world.board.update_switchboard(switchboard, {"defaultSwitchboardIntegrationId": "none"}),
            lambda: world.board.update_switchboard_integration(switchboard, "none", {}),
            lambda: world.board.delete_switchboard_integration(switchboard, "none", world.now),
        ]
        for ask in asked:
            with pytest.raises(ApiError, match="404"):
                ask()

    def test_removal_withdraws_offers(self, world: Any) -> None:
        """A removed integration is pending nowhere."""
        conversation = world.conversation()
        world.board.offer_control(conversation.id, world.bot_key, WORKSPACE, world.now)
        _let_nobody_come_before(world, world.desk.id)

        world.board.delete_switchboard_integration(world.board.switchboard_id, world.desk.id, world.now)

        assert conversation.pending is None
        with pytest.raises(KeyError):
            world.board.member(WORKSPACE)

    def test_deleted(self, world: Any) -> None:
        """A custom integration goes with its webhook; a linked one and a web widget can't be deleted."""
        made = world.board.create_integration({"type": "custom", "webhooks": [{"target": "https://x", "triggers": []}]})
        world.board.delete_integration(made["integration"]["id"])
        assert made["integration"]["id"] not in world.board.integrations
        assert world.board.webhooks == {}

        for kept in (world.bot.integration_id, world.board.channel_id):
            with pytest.raises(ApiError, match="400"):
                world.board.delete_integration(kept)


def _let_nobody_come_before(world: Any, member_id: str) -> None:
    """Take a switchboard integration out of the others' `next`: one that is named there can't be removed."""
    for member in list(world.board.members.values()):
        if member.next_id == member_id:
            changes = {"nextSwitchboardIntegrationId": None}
            world.board.update_switchboard_integration(world.board.switchboard_id, member.id, changes)
