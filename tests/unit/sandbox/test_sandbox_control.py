"""Who holds a conversation, and the control actions (docs/platform.md, sections 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bot.sandbox import ANSWERS, BOT, WORKSPACE, ApiError, Cause, Kind

Worlds = Callable[..., Any]


class TestWhoHolds:
    """Section 1."""

    def test_default_responder_is_active_at_creation(self, world: Any) -> None:
        """`conversation:create` already names the default responder, and no passControl is sent."""
        world.board.create_conversation(world.user, "startConversation", now=world.now)

        (event,) = world.events()
        assert event["type"] == "conversation:create"
        assert event["payload"]["creationReason"] == "startConversation"
        assert event["payload"]["conversation"]["activeSwitchboardIntegration"] == {
            "id": world.bot.id,
            "name": BOT,
            "integrationId": world.bot.integration_id,
            "integrationType": "custom",
        }

    def test_release_leaves_nobody_active(self, world: Any) -> None:
        """After releaseControl the field is omitted, in the event and in the API."""
        conversation = world.conversation()

        world.board.release_control(conversation.id, world.bot_key, world.now)

        (event,) = world.events()
        assert event["type"] == "switchboard:releaseControl"
        assert "activeSwitchboardIntegration" not in event["payload"]["conversation"]
        assert "activeSwitchboardIntegration" not in world.board.get_conversation(conversation.id)["conversation"]
        assert not world.board.is_open(conversation.id)

    @pytest.mark.parametrize("named", [True, False])
    def test_next_activity_assigns_silently(self, worlds: Worlds, named: bool) -> None:
        """The next message gives control to the default responder without a passControl webhook."""
        world = worlds(snapshot_in_first_message=named)
        conversation = world.conversation(holder=None)

        world.board.user_says(conversation.id, "me again", now=world.now)

        (event,) = world.events()
        assert event["type"] == "conversation:message"
        assert ("activeSwitchboardIntegration" in event["payload"]["conversation"]) is named
        assert world.board.holder(conversation.id) == BOT
        assert world.board.history.of(conversation.id, Kind.HOLDER)[-1].cause is Cause.DEFAULT_RESPONDER

    @pytest.mark.parametrize(
        "activity",
        [
            lambda w, c: w.board.user_taps(c, "PAYLOAD", now=w.now),
            lambda w, c: w.board.user_is_referred(c, "code", now=w.now),
        ],
        ids=["postback", "referral"],
    )
    def test_other_input_assigns_too(self, world: Any, activity: Callable[[Any, str], None]) -> None:
        """Postbacks and referrals are activity as well."""
        conversation = world.conversation(holder=None)

        activity(world, conversation.id)

        assert world.board.holder(conversation.id) == BOT

    @pytest.mark.parametrize("assigns", [True, False])
    def test_business_message_may_assign(self, worlds: Worlds, assigns: bool) -> None:
        """Whether a business message is activity is a switch."""
        world = worlds(business_message_assigns=assigns)
        conversation = world.conversation(holder=None)

        world.says(conversation, "one more thing")

        assert world.board.is_open(conversation.id) is assigns

    def test_channel_has_its_own_default(self, world: Any) -> None:
        """A channel's defaultResponderId goes before the app's default."""
        world.board.update_integration(world.board.channel_id, {"defaultResponderId": world.answers.id})

        conversation = world.board.create_conversation(world.user, now=world.now)

        assert world.board.holder(conversation.id) == ANSWERS

    @pytest.mark.parametrize(("standby", "heard"), [(True, 1), (False, 0)])
    def test_standby_events(self, worlds: Worlds, standby: bool, heard: int) -> None:
        """`deliverStandbyEvents` decides whether a standby integration hears the conversation."""
        world = worlds(deliver_standby_events=standby)
        conversation = world.conversation(holder=WORKSPACE)

        world.board.user_says(conversation.id, "is anybody there?", now=world.now)

        assert len(world.events()) == heard

    def test_pending_hears_anyway(self, worlds: Worlds) -> None:
        """A pending integration hears the conversation without standby events."""
        world = worlds(deliver_standby_events=False)
        conversation = world.conversation(holder=WORKSPACE)

        world.board.offer_control(conversation.id, world.desk_key, BOT, world.now)
        world.board.user_says(conversation.id, "hm", now=world.now)

        assert world.types() == ["switchboard:offerControl", "conversation:message"]

    @pytest.mark.parametrize("heard", [True, False])
    @pytest.mark.parametrize("standby", [True, False])
    def test_releaser_hears_by_switch(self, worlds: Worlds, heard: bool, standby: bool) -> None:
        """Whether the one that lost control hears that event is a switch of its own."""
        world = worlds(event_to_releaser=heard, deliver_standby_events=standby)
        released, passed = world.conversation(), world.conversation()

        world.board.release_control(released.id, world.bot_key, world.now)
        world.board.pass_control(passed.id, world.bot_key, WORKSPACE, world.now)

        expected = ["switchboard:releaseControl", "switchboard:passControl"] if heard else []
        assert world.types() == expected

    def test_unlinked_integration_hears_everything(self, world: Any) -> None:
        """A custom integration outside the switchboard hears every event."""
        world.board.create_integration({"type": "custom", "displayName": "analytics"})
        conversation = world.conversation(holder=WORKSPACE)
        world.board.user_says(conversation.id, "hi", now=world.now)

        assert len({delivery.integration_id for delivery in world.board.drain()}) == 2


class TestRelease:
    """Section 2, releaseControl."""

    def test_integration_key_only_while_active(self, world: Any) -> None:
        """With an integration key release answers 403 unless the caller is active, and changes nothing."""
        conversation = world.conversation(holder=WORKSPACE)

        with pytest.raises(ApiError) as caught:
            world.board.release_control(conversation.id, world.bot_key, world.now)

        assert (caught.value.status, caught.value.code) == (403, "forbidden")
        assert world.board.holder(conversation.id) == WORKSPACE
        assert world.board.history[-1].kind is Kind.REFUSED

    def test_second_release_is_refused(self, world: Any) -> None:
        """A repeated release with an integration key is 403: nobody is active any more."""
        conversation = world.conversation()
        world.board.release_control(conversation.id, world.bot_key, world.now)

        with pytest.raises(ApiError, match="403"):
            world.board.release_control(conversation.id, world.bot_key, world.now)

    def test_app_key_takes_from_anybody(self, world: Any) -> None:
        """With an app key release takes control from agents, too."""
        conversation = world.conversation(holder=WORKSPACE)

        world.board.release_control(conversation.id, world.app_key, world.now)

        entry = world.board.history[-1]
        assert (entry.kind, entry.actor, entry.before, entry.holder) == (Kind.HOLDER, "app_key", WORKSPACE, None)

    @pytest.mark.parametrize(("told", "types"), [(True, ["switchboard:releaseControl"]), (False, [])])
    def test_release_of_what_nobody_holds(self, worlds: Worlds, told: bool, types: list[str]) -> None:
        """An app key may release what nobody holds; whether a webhook tells it is a switch."""
        world = worlds(repeated_release_event=told)
        conversation = world.conversation(holder=None)

        world.board.release_control(conversation.id, world.app_key, world.now)

        assert world.types() == types

    @pytest.mark.parametrize("clears", [True, False])
    def test_release_and_pending(self, worlds: Worlds, clears: bool) -> None:
        """Whether a release withdraws an offer is a switch."""
        world = worlds(release_clears_pending=clears)
        conversation = world.conversation()
        world.board.offer_control(conversation.id, world.bot_key, WORKSPACE, world.now)

        world.board.release_control(conversation.id, world.bot_key, world.now)

        assert (conversation.pending is None) is clears


class TestPass:
    """Section 2, passControl."""

    @pytest.mark.parametrize("target", ["id", WORKSPACE, "zd:agentWorkspace", "next"])
    def test_targets(self, world: Any, target: str) -> None:
        """The target is an id, a name, a type, or `next`; metadata comes back in the event."""
        conversation = world.conversation()
        target = world.desk.id if target == "id" else target

        world.board.pass_control(conversation.id, world.bot_key, target, world.now, {"why": "asked"})

        (event,) = world.events()
        assert event["type"] == "switchboard:passControl"
        assert event["payload"]["conversation"]["activeSwitchboardIntegration"]["name"] == WORKSPACE
        assert event["payload"]["metadata"] == {"why": "asked"}

    def test_id_goes_before_name_before_type(self, world: Any) -> None:
        """Where one target fits several, the id wins, then the name, then the type."""
        members = world.board.members
        members[world.answers.id] = replace(world.answers, name="custom")
        conversation = world.conversation(holder=WORKSPACE)

        world.board.pass_control(conversation.id, world.app_key, "custom", world.now)

        assert conversation.active == world.answers.id

    def test_anybody_may_pass(self, world: Any) -> None:
        """There is no 403 for passControl: a standby integration can take control."""
        conversation = world.conversation(holder=WORKSPACE)

        world.board.pass_control(conversation.id, world.bot_key, BOT, world.now)

        assert world.board.holder(conversation.id) == BOT

    @pytest.mark.parametrize(("told", "types"), [(True, ["switchboard:passControl"]), (False, [])])
    def test_explicit_pass_is_idempotent(self, worlds: Worlds, told: bool, types: list[str]) -> None:
        """A repeated pass to a name changes nothing; whether a webhook tells it is a switch."""
        world = worlds(repeated_pass_event=told)
        conversation = world.conversation(holder=WORKSPACE)
        before = len(world.board.history)

        world.board.pass_control(conversation.id, world.bot_key, WORKSPACE, world.now)

        assert world.types() == types
        assert len(world.board.history) == before

    @pytest.mark.parametrize(("of", "holder"), [("active", ANSWERS), ("caller", WORKSPACE)])
    def test_repeated_next_can_hop_twice(self, worlds: Worlds, of: str, holder: str) -> None:
        """A repeated `next` hops on, unless an integration key's `next` is meant from the caller."""
        world = worlds(next_of=of)
        conversation = world.conversation()

        for _ in range(2):
            world.board.pass_control(conversation.id, world.bot_key, "next", world.now)

        assert world.board.holder(conversation.id) == holder

    def test_app_key_hops_twice(self, worlds: Worlds) -> None:
        """With an app key a repeated `next` always hops twice."""
        world = worlds(next_of="caller")
        conversation = world.conversation()

        for _ in range(2):
            world.board.pass_control(conversation.id, world.app_key, "next", world.now)

        assert world.board.holder(conversation.id) == ANSWERS

    def test_unknown_target_fails_later(self, world: Any) -> None:
        """An unknown target is accepted, and a failure event follows."""
        conversation = world.conversation()

        world.board.pass_control(conversation.id, world.bot_key, "nobody-of-this-name", world.now)

        (event,) = world.events()
        assert event["type"] == "switchboard:passControl:failure"
        assert event["payload"]["error"]["code"] == "switchboard_invalid_target"
        assert world.board.holder(conversation.id) == BOT

    def test_unknown_target_refused(self, worlds: Worlds) -> None:
        """By a switch, an unknown target is refused at once, and no event follows."""
        world = worlds(unknown_target="refused")
        conversation = world.conversation()

        with pytest.raises(ApiError, match="switchboard_invalid_target"):
            world.board.pass_control(conversation.id, world.bot_key, "nobody-of-this-name", world.now)

        assert world.events() == []

    def test_unset_next_fails(self, worlds: Worlds) -> None:
        """`next` of an untouched account's bot leads nowhere."""
        world = worlds(untouched=True)
        conversation = world.conversation()

        world.board.pass_control(conversation.id, world.bot_key, "next", world.now)

        assert world.types() == ["switchboard:passControl:failure"]

    def test_pass_withdraws_an_offer(self, world: Any) -> None:
        """After a pass nobody is pending."""
        conversation = world.conversation()
        world.board.offer_control(conversation.id, world.bot_key, ANSWERS, world.now)

        world.board.pass_control(conversation.id, world.bot_key, WORKSPACE, world.now)

        assert conversation.pending is None


class TestOfferAndAccept:
    """Section 2, offerControl and acceptControl."""

    def test_offer_then_accept(self, world: Any) -> None:
        """An offer makes pending; accepting makes active, with acceptControl as the event."""
        conversation = world.conversation()

        world.board.offer_control(conversation.id, world.bot_key, WORKSPACE, world.now)
        assert conversation.pending == world.desk.id
        world.board.accept_control(conversation.id, world.desk_key, world.now)

        assert (conversation.active, conversation.pending) == (world.desk.id, None)
        offered, accepted = world.events()
        assert offered["type"] == "switchboard:offerControl"
        assert offered["payload"]["conversation"]["pendingSwitchboardIntegration"]["name"] == WORKSPACE
        assert offered["payload"]["conversation"]["activeSwitchboardIntegration"]["name"] == BOT
        assert accepted["type"] == "switchboard:acceptControl"

    def test_accept_by_the_wrong_one(self, world: Any) -> None:
        """Accepting with another integration's key is 403."""
        conversation = world.conversation()
        world.board.offer_control(conversation.id, world.bot_key, WORKSPACE, world.now)

        with pytest.raises(ApiError, match="403"):
            world.board.accept_control(conversation.id, world.bot_key, world.now)

    def test_nothing_to_accept(self, world: Any) -> None:
        """Accepting with an app key where nothing is offered fails later."""
        conversation = world.conversation()

        world.board.accept_control(conversation.id, world.app_key, world.now)

        (event,) = world.events()
        assert event["type"] == "switchboard:acceptControl:failure"
        assert event["payload"]["error"]["code"] == "switchboard_invalid_action"

    def test_offer_to_the_active_one(self, world: Any) -> None:
        """Control can't be offered to who has it."""
        conversation = world.conversation()

        world.board.offer_control(conversation.id, world.bot_key, BOT, world.now)

        assert world.types() == ["switchboard:offerControl:failure"]


@pytest.mark.parametrize(
    "action",
    [
        lambda w: w.board.release_control("none", w.bot_key, w.now),
        lambda w: w.board.pass_control("none", w.bot_key, BOT, w.now),
        lambda w: w.board.offer_control("none", w.bot_key, BOT, w.now),
        lambda w: w.board.accept_control("none", w.bot_key, w.now),
        lambda w: w.board.get_conversation("none"),
    ],
)
def test_unknown_conversation(world: Any, action: Callable[[Any], None]) -> None:
    """An unknown conversation is 404 `conversation_not_found`."""
    with pytest.raises(ApiError) as caught:
        action(world)

    assert (caught.value.status, caught.value.code) == (404, "conversation_not_found")


@pytest.mark.parametrize("metadata", [{"a": {"b": 1}}, {"a": None}, {"a": [1]}, {"a": "x" * 4096}, "text"])
def test_control_metadata_is_flat_and_small(world: Any, metadata: Any) -> None:
    """Control metadata other than flat strings, numbers and booleans, or above 4 KB, is 400."""
    conversation = world.conversation()

    with pytest.raises(ApiError, match="400"):
        world.board.pass_control(conversation.id, world.bot_key, WORKSPACE, world.now, metadata)

    assert world.board.holder(conversation.id) == BOT


class TestShorthand:
    """Section 2: text that moves control."""

    @pytest.mark.parametrize(
        ("text", "holder"),
        [
            ("bye %((switchboard:passControl))%", WORKSPACE),
            ("bye %((switchboard:passControl:zd-answerBot))%", ANSWERS),
            ("bye %((switchboard:passControl:zd:agentWorkspace))%", WORKSPACE),
        ],
    )
    def test_moves_control(self, world: Any, text: str, holder: str) -> None:
        """A shorthand in a business message passes control, and is not shown."""
        conversation = world.conversation()

        message = world.says(conversation, text)

        assert message["content"]["text"] == "bye"
        assert world.board.holder(conversation.id) == holder
        assert world.types() == ["conversation:message", "switchboard:passControl"]
        moved = world.board.history.of(conversation.id, Kind.HOLDER)[-1]
        assert (moved.cause, moved.actor) == (Cause.SHORTHAND, "int_bot")

    def test_alone_says_nothing(self, world: Any) -> None:
        """A message that is nothing but a shorthand is not a message."""
        conversation = world.conversation()

        assert world.says(conversation, "%((switchboard:passControl))%") == {}
        assert world.types() == ["switchboard:passControl"]

    @pytest.mark.parametrize("text", ["%((switchboard:passControl", "% ((switchboard:passControl))%", "100%"])
    def test_defused_text_is_just_text(self, world: Any, text: str) -> None:
        """What is not exactly the shorthand is shown as it is."""
        conversation = world.conversation()

        assert world.says(conversation, text)["content"]["text"] == text
        assert world.board.holder(conversation.id) == BOT

    def test_users_cannot_use_it(self, world: Any) -> None:
        """In a user's message it is just text."""
        conversation = world.conversation()

        world.board.user_says(conversation.id, "%((switchboard:passControl))%", now=world.now)

        assert world.board.holder(conversation.id) == BOT
