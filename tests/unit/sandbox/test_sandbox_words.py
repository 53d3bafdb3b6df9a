"""What the pages say about a conversation: sentences and screens, from the model alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import World

from bot.sandbox import BOT, WORKSPACE, Conversation
from bot.sandbox.errors import NotPossibleError
from bot.sandbox.pages import words
from bot.sandbox.pages.about_bot import BotView, Note

ACTORS = words.Actors("You", {"int_bot"}, "app_key")
NOTHING = BotView()


def told(world: World, conversation: Conversation, bot: BotView = NOTHING) -> list[str]:
    """The timeline's sentences."""
    return [line.text for line in words.timeline(world.board.history.of(conversation.id), ACTORS, bot)]


def standing(world: World, conversation: Conversation, bot: BotView = NOTHING) -> str:
    """How it stands, in a word."""
    return words.standing(world.board.history.of(conversation.id), ACTORS, bot)[0]


class TestTimeline:
    """Every move of control is told, by whom and why."""

    def test_beginning(self, world: World) -> None:
        """The default responder is active at once; nothing of what was said is told."""
        conversation = world.conversation()
        assert told(world, conversation) == [
            "You began a conversation.",
            "The bot is active from the start, as the default responder.",
        ]

    @pytest.mark.parametrize(
        ("mode", "holder", "expected"),
        [
            ("release", BOT, ["You ended the conversation.", "In release control mode the platform releases control"]),
            ("release", WORKSPACE, ["You ended the conversation.", "In release control mode the platform releases"]),
            ("pass", BOT, ["You ended the conversation. In pass control mode control stays with the bot, which must"]),
            ("pass", WORKSPACE, ["You ended the conversation.", "In pass control mode the platform passes control to"]),
            ("pass", None, ["You ended the conversation."]),
        ],
    )
    def test_the_end(self, worlds: Callable[..., World], mode: str, holder: str | None, expected: list[str]) -> None:
        """Who has control after it, as the mode has it."""
        world = worlds(mode=mode)
        conversation = world.conversation(holder)
        before = len(told(world, conversation))
        world.board.user_ends(conversation.id, now=world.now)
        after = told(world, conversation)[before:]
        assert len(after) == len(expected)
        assert all(line.startswith(start) for line, start in zip(after, expected, strict=True))

    def test_a_mode_that_was_changed_later(self, worlds: Callable[..., World]) -> None:
        """An end is told in the mode of its time."""
        world = worlds(mode="pass")
        conversation = world.conversation()
        world.board.user_ends(conversation.id, now=world.now)
        world.board.set_mode("release")
        assert "In pass control mode" in told(world, conversation)[-1]

    def test_who_did_it(self, world: World) -> None:
        """The bot with either key, an agent, the platform."""
        conversation = world.conversation()
        world.board.pass_control(conversation.id, world.bot_key, WORKSPACE, world.now)
        world.board.agent_passes(conversation.id, BOT, world.now)
        world.board.release_control(conversation.id, world.app_key, world.now)
        world.board.user_says(conversation.id, "again", now=world.now)
        assert [line for line in told(world, conversation)[2:] if not line.startswith("Ticket")] == [
            "The bot passed control to the agent workspace.",
            "The agent Ada passed control to the bot.",
            "The bot (with its app key) released control: nobody is active.",
            "Nobody was active, so the bot became active silently, without a webhook.",
        ]

    def test_what_the_platform_refuses(self, world: World) -> None:
        """A 403, and a target that is not there."""
        conversation = world.conversation(WORKSPACE)
        with pytest.raises(Exception, match="403"):
            world.board.release_control(conversation.id, world.bot_key, world.now)
        world.board.pass_control(conversation.id, world.bot_key, "nowhere", world.now)
        assert told(world, conversation)[-2:] == [
            "The platform refused a releaseControl (403): the caller had no right to it.",
            "The platform could not carry out a request: switchboard_invalid_target.",
        ]

    def test_what_the_bot_told(self, world: World) -> None:
        """In its place in time, under the holder of that time; the proof of an end is told once."""
        conversation = world.conversation()
        world.board.user_ends(conversation.id, now=world.now)
        at = world.now
        proof = Note(at, "nobody is active, shown by a read")
        notes = (
            Note(datetime(2020, 1, 1, tzinfo=UTC), "Early."),
            Note(at + timedelta(seconds=1), "Late.", proves=True),
        )
        lines = words.timeline(world.board.history.of(conversation.id), ACTORS, BotView("", proof, notes))
        assert [line.text for line in lines if line.kind == "proof"] == [f"Closed, proven: {proof.text}."]
        assert lines[0].text == "Early."
        assert lines[0].holder == "nobody"
        assert "Late." not in [line.text for line in lines]


class TestStanding:
    """One word for how a conversation stands."""

    def test_each(self, worlds: Callable[..., World]) -> None:
        """Open, with nobody, ended but held, ended, closed."""
        world = worlds(mode="pass")
        conversation = world.conversation()
        assert standing(world, conversation) == "open"
        world.board.release_control(conversation.id, world.bot_key, world.now)
        assert standing(world, conversation) == "idle"
        world.board.user_says(conversation.id, "again", now=world.now)
        world.board.user_ends(conversation.id, now=world.now)
        assert standing(world, conversation) == "stuck"
        world.board.release_control(conversation.id, world.bot_key, world.now)
        assert standing(world, conversation) == "unproven"
        assert standing(world, conversation, BotView(proof=Note(world.now, "a read"))) == "closed"


class TestTyping:
    """The typing sign, which no event and no history tells."""

    def shows(self, world: World, conversation: Conversation, kind: str, author: str = "business") -> None:
        """The activity of the API."""
        world.board.post_activity(conversation.id, {"author": {"type": author}, "type": kind})

    def test_it_comes_and_goes(self, world: World) -> None:
        """With start and stop; each change is told once."""
        conversation = world.conversation()
        changes: list[Any] = []
        world.board.on_typing = lambda: changes.append(set(world.board.typing))
        for kind in ("typing:start", "typing:start", "conversation:read", "typing:stop"):
            self.shows(world, conversation, kind)
        self.shows(world, conversation, "typing:start", author="user")
        assert changes == [{conversation.id}, set()]

    def test_a_message_ends_it(self, world: World) -> None:
        """The business's, not the user's."""
        conversation = world.conversation()
        self.shows(world, conversation, "typing:start")
        world.board.user_says(conversation.id, "and?", now=world.now)
        assert world.board.typing == {conversation.id}
        world.says(conversation, "here")
        assert world.board.typing == set()


class TestTheAgentsKey:
    """Passing back and releasing by hand."""

    def test_only_what_the_workspace_has(self, world: World) -> None:
        """There is no button for the rest."""
        conversation = world.conversation(BOT)
        with pytest.raises(NotPossibleError):
            world.board.agent_passes(conversation.id, BOT, world.now)
        with pytest.raises(NotPossibleError):
            world.board.agent_releases(conversation.id, world.now)
        assert world.board.holder(conversation.id) == BOT

    def test_changing_the_mode_changes_next(self, world: World) -> None:
        """In pass mode the agents' conversations come back to the bot."""
        world.board.set_mode("pass")
        assert world.board.member(WORKSPACE).next_id == world.bot.id
        world.board.set_mode("release")
        assert world.board.member(WORKSPACE).next_id == world.answers.id
        assert world.board.switches.mode == "release"
