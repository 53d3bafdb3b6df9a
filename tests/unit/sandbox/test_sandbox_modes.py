"""The two modes of Conversation control: who is active after an end, and what tells it (docs/platform.md, 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.sandbox import ANSWERS, BOT, WORKSPACE, Kind, NotPossibleError

Worlds = Callable[..., Any]
MESSAGE, PASSED, RELEASED = "conversation:message", "switchboard:passControl", "switchboard:releaseControl"


@pytest.mark.parametrize(
    ("holder", "switches", "after", "types"),
    [
        # Release control: the platform releases by itself, whoever has it.
        (BOT, {}, None, [MESSAGE, RELEASED]),
        (WORKSPACE, {}, None, [MESSAGE, RELEASED]),
        (None, {}, None, [MESSAGE]),
        (BOT, {"end_order": "control_first"}, None, [RELEASED, MESSAGE]),
        (BOT, {"end_message": "lost"}, None, [RELEASED]),
        (BOT, {"end_control_event": "lost"}, None, [MESSAGE]),
        # A system message that counts as activity after the release brings the default responder back, silently.
        (BOT, {"end_order": "control_first", "system_message_assigns": True}, BOT, [RELEASED, MESSAGE]),
        (None, {"system_message_assigns": True}, None, [MESSAGE, RELEASED]),
        # Pass control: to the active one's next, here the bot, who has to release.
        (WORKSPACE, {"mode": "pass"}, BOT, [MESSAGE, PASSED]),
        (WORKSPACE, {"mode": "pass", "end_order": "control_first"}, BOT, [PASSED, MESSAGE]),
        (WORKSPACE, {"mode": "pass", "untouched": True}, ANSWERS, [MESSAGE, PASSED]),
        (None, {"mode": "pass"}, None, [MESSAGE]),
        # Pass control with the bot itself active: unknown.
        (BOT, {"mode": "pass", "end_while_bot_active_in_pass": "stays"}, BOT, [MESSAGE]),
        (BOT, {"mode": "pass", "end_while_bot_active_in_pass": "next"}, WORKSPACE, [MESSAGE, PASSED]),
        (BOT, {"mode": "pass", "end_while_bot_active_in_pass": "released"}, None, [MESSAGE, RELEASED]),
        # … and nowhere to pass it to.
        (
            BOT,
            {"mode": "pass", "untouched": True, "end_while_bot_active_in_pass": "next", "pass_without_next": "stays"},
            BOT,
            [MESSAGE],
        ),
        (
            BOT,
            {
                "mode": "pass",
                "untouched": True,
                "end_while_bot_active_in_pass": "next",
                "pass_without_next": "released",
            },
            None,
            [MESSAGE, RELEASED],
        ),
    ],
)
def test_user_ends(
    worlds: Worlds, holder: str | None, switches: dict[str, Any], after: str | None, types: list[str]
) -> None:
    """The user's end moves control as the mode and the switches say, and the bot hears it in that order."""
    world = worlds(**switches)
    conversation = world.conversation(holder)

    world.board.user_ends(conversation.id, now=world.now)

    assert world.board.holder(conversation.id) == after
    assert world.types() == types
    assert [entry.actor for entry in world.board.history.of(conversation.id, Kind.ENDED)] == [f"user:{world.user.id}"]


class TestEndedMessage:
    """What tells the user's end."""

    @pytest.mark.parametrize("author", ["business", "user"])
    @pytest.mark.parametrize("source", ["web", "zd:agentWorkspace", "system"])
    def test_shape(self, worlds: Worlds, author: str, source: str) -> None:
        """A system message: author subtype `activity`, `activity.type`; author type and source are switches."""
        world = worlds(end_author=author, end_source=source)
        conversation = world.conversation()

        world.board.user_ends(conversation.id, now=world.now)

        message = world.events()[0]["payload"]["message"]
        assert message["activity"] == {"type": "conversation:endedByUser"}
        assert message["author"]["subtypes"] == ["activity"]
        assert message["author"]["type"] == author
        assert message["source"]["type"] == source

    @pytest.mark.parametrize("shown", ["activity", "subtype_only", "lost"])
    def test_api_always_has_it(self, worlds: Worlds, shown: str) -> None:
        """However the webhook shows it, the API lists the message with its activity."""
        world = worlds(end_message=shown)
        conversation = world.conversation()

        world.board.user_ends(conversation.id, now=world.now)

        heard = [e["payload"]["message"] for e in world.events() if e["type"] == MESSAGE]
        assert [("activity" in message) for message in heard] == {"activity": [True], "subtype_only": [False]}.get(
            shown, []
        )
        newest = world.board.list_messages(conversation.id)["messages"][-1]
        assert newest["activity"] == {"type": "conversation:endedByUser"}

    @pytest.mark.parametrize("reason", [None, "ticketClosed", "something new"])
    def test_reason(self, worlds: Worlds, reason: str | None) -> None:
        """What reason a user-ended session gives is a switch; no reason means no key."""
        world = worlds(end_reason=reason)
        conversation = world.conversation()

        world.board.user_ends(conversation.id, now=world.now)

        assert world.events()[1]["payload"].get("reason") == reason


class TestAfterTheEnd:
    """What the widget offers."""

    def test_no_reopening(self, world: Any) -> None:
        """The user can't write, tap or end again in a conversation that has ended."""
        conversation = world.conversation()
        world.board.user_ends(conversation.id, now=world.now)

        assert not world.board.can_write(conversation.id)
        acts: list[Callable[[], object]] = [
            lambda: world.board.user_says(conversation.id, "wait", now=world.now),
            lambda: world.board.user_taps(conversation.id, "X", now=world.now),
            lambda: world.board.user_ends(conversation.id, now=world.now),
            lambda: world.board.agent_says(conversation.id, "bye", world.now),
        ]
        for act in acts:
            with pytest.raises(NotPossibleError):
                act()

    def test_reopening_by_switch(self, worlds: Worlds) -> None:
        """Where reopening is allowed, the next message begins the conversation anew, and can be ended again."""
        world = worlds(reopen_allowed=True)
        conversation = world.conversation()
        world.board.user_ends(conversation.id, now=world.now)

        world.board.user_says(conversation.id, "wait", now=world.now)

        assert world.board.holder(conversation.id) == BOT
        assert not world.board.history[-1].ended
        assert [e.kind for e in world.board.history.of(conversation.id, Kind.REOPENED)] == [Kind.REOPENED]
        world.board.user_ends(conversation.id, now=world.now)

    def test_feature_off(self, world: Any) -> None:
        """Without endSessionEnabled there is no button."""
        world.board.update_app({"settings": {"endSessionEnabled": False}})
        conversation = world.conversation()

        with pytest.raises(NotPossibleError, match="endSessionEnabled"):
            world.board.user_ends(conversation.id, now=world.now)

    def test_stays_open_until_released(self, worlds: Worlds) -> None:
        """In pass mode an ended conversation stays open until the receiver releases."""
        world = worlds(mode="pass")
        conversation = world.conversation(WORKSPACE)
        world.board.user_ends(conversation.id, now=world.now)
        assert world.board.is_open(conversation.id)

        world.board.release_control(conversation.id, world.bot_key, world.now)

        assert not world.board.is_open(conversation.id)
        assert world.board.history[-1].ended


class TestTickets:
    """The agents' side."""

    def test_opens_with_fields(self, world: Any) -> None:
        """A ticket opens when control reaches the workspace, with the fields of the pass's metadata."""
        conversation = world.conversation()
        metadata = {
            "dataCapture.ticketField.123": "gold",
            "dataCapture.systemField.tags": "vip",
            "dataCapture.systemField.requester.email": "sam@example.com",
            "unrelated": True,
        }

        world.board.pass_control(conversation.id, world.bot_key, WORKSPACE, world.now, metadata)

        ticket = world.board.ticket_of(conversation.id)
        assert ticket.fields == {"123": "gold"}
        assert ticket.system_fields == {"tags": "vip", "requester.email": "sam@example.com"}
        assert ticket.message_ids == (conversation.messages[0].id,)

    @pytest.mark.parametrize(("first", "copied"), [(None, 10), (0, 15), (12, 3)])
    def test_messages_that_reach_it(self, world: Any, first: int | None, copied: int) -> None:
        """The newest 10 messages reach the ticket, or all from `first_message_id` on."""
        conversation = world.conversation()
        for number in range(14):
            world.board.user_says(conversation.id, str(number), now=world.now)
        metadata = {} if first is None else {"first_message_id": conversation.messages[first].id}

        world.board.pass_control(conversation.id, world.bot_key, WORKSPACE, world.now, metadata)

        assert len(world.board.ticket_of(conversation.id).message_ids) == copied

    @pytest.mark.parametrize(
        ("switches", "after", "types"),
        [
            ({}, None, [MESSAGE, RELEASED]),
            ({"end_order": "control_first"}, None, [RELEASED, MESSAGE]),
            ({"mode": "pass"}, BOT, [MESSAGE, PASSED]),
            ({"mode": "pass", "untouched": True}, ANSWERS, [MESSAGE, PASSED]),
            ({"system_message_assigns": True, "end_order": "control_first"}, BOT, [RELEASED, MESSAGE]),
        ],
    )
    @pytest.mark.parametrize("how", ["closed", "transferred"])
    def test_session_over(
        self, worlds: Worlds, switches: dict[str, Any], after: str | None, types: list[str], how: str
    ) -> None:
        """A closed ticket, or one transferred to e-mail, ends the session: released, or passed with the reason."""
        world = worlds(**switches)
        conversation = world.conversation(WORKSPACE)

        if how == "closed":
            world.board.agent_solves(conversation.id, world.now)
            assert world.board.holder(conversation.id) == WORKSPACE
            world.board.close_ticket(conversation.id, world.now)
        else:
            world.board.transfer_to_email(conversation.id, world.now)

        events = world.events()
        assert [event["type"] for event in events] == types
        assert world.board.holder(conversation.id) == after
        control = next(event for event in events if event["type"] != MESSAGE)
        message = next(event for event in events if event["type"] == MESSAGE)
        reason, activity = {
            "closed": ("ticketClosed", "ticket:closed"),
            "transferred": ("transferToEmail", "ticket:transfer:email"),
        }[how]
        assert control["payload"]["reason"] == reason
        assert message["payload"]["message"]["activity"] == {"type": activity}

    @pytest.mark.parametrize(
        ("switches", "after"),
        [({}, None), ({"mode": "pass"}, BOT), ({"mode": "pass", "agent_end_in_pass": "released"}, None)],
    )
    def test_agent_ends(self, worlds: Worlds, switches: dict[str, Any], after: str | None) -> None:
        """An agent's end releases, or passes on in pass mode if the switch says so; no message tells it."""
        world = worlds(**switches)
        conversation = world.conversation(WORKSPACE)

        world.board.agent_ends(conversation.id, world.now)

        assert world.board.holder(conversation.id) == after
        assert world.types() == [RELEASED if after is None else PASSED]

    def test_ticket_closed_while_another_holds(self, world: Any) -> None:
        """A ticket that is closed after control has left the workspace moves nothing."""
        conversation = world.conversation(WORKSPACE)
        world.board.pass_control(conversation.id, world.app_key, BOT, world.now)
        world.events()

        world.board.close_ticket(conversation.id, world.now)

        assert world.board.holder(conversation.id) == BOT
        assert world.events() == []

    def test_solved_ticket_opens_again(self, world: Any) -> None:
        """A user who writes on makes a solved ticket open again."""
        conversation = world.conversation(WORKSPACE)
        world.board.agent_solves(conversation.id, world.now)

        world.board.user_says(conversation.id, "not quite", now=world.now)

        assert world.board.ticket_of(conversation.id).status == "open"

    def test_ticket_for_a_finished_chat(self, worlds: Worlds) -> None:
        """Control that reaches the workspace after the end opens a ticket that nobody needs, and that is noted."""
        world = worlds(mode="pass", end_while_bot_active_in_pass="next")
        conversation = world.conversation()

        world.board.user_ends(conversation.id, now=world.now)

        assert world.board.ticket_of(conversation.id).opened_after_end

    def test_no_ticket_no_work(self, world: Any) -> None:
        """An agent can't solve or close what is no ticket."""
        conversation = world.conversation()

        with pytest.raises(NotPossibleError, match="no open ticket"):
            world.board.agent_solves(conversation.id, world.now)

    @pytest.mark.parametrize(
        ("takes", "types"), [(True, ["switchboard:passControl", "conversation:message"]), (False, [MESSAGE])]
    )
    def test_agent_writes_while_bot_is_active(self, worlds: Worlds, takes: bool, types: list[str]) -> None:
        """An agent can write where the bot is active; whether that takes control is a switch."""
        world = worlds(agent_writes_while_bot_active_takes_control=takes)
        conversation = world.conversation()

        world.board.agent_says(conversation.id, "let me", world.now, "Ada")

        events = world.events()
        assert [event["type"] for event in events] == types
        message = events[-1]["payload"]["message"]
        assert message["author"]["type"] == "business"
        assert message["author"]["displayName"] == "Ada"
        assert message["source"]["type"] == "zd:agentWorkspace"
        assert (world.board.holder(conversation.id) == WORKSPACE) is takes
