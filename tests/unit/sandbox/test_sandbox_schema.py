"""What the sandbox sends fits the published API description, where that lies beside the repository."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS30Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from bot.sandbox import ANSWERS, BOT, WORKSPACE, Switches

DESCRIPTION = Path(__file__).resolve().parents[4] / "shared" / "openapi.yaml"

pytestmark = pytest.mark.skipif(not DESCRIPTION.exists(), reason="the API description is not part of the project")

SCHEMAS = {
    "conversation:create": "conversationCreateEvent",
    "conversation:message": "conversationMessageEvent",
    "conversation:postback": "conversationPostbackEvent",
    "conversation:referral": "conversationReferralEvent",
    "conversation:read": "conversationReadEvent",
    "conversation:typing": "conversationTypingEvent",
    "conversation:remove": "conversationRemoveEvent",
    "switchboard:passControl": "switchboardPassControl",
    "switchboard:passControl:failure": "switchboardPassControlFailure",
    "switchboard:releaseControl": "switchboardReleaseControl",
    "switchboard:offerControl": "switchboardOfferControl",
    "switchboard:offerControl:failure": "switchboardOfferControlFailure",
    "switchboard:acceptControl": "switchboardAcceptControl",
    "switchboard:acceptControl:failure": "switchboardAcceptControlFailure",
    "user:merge": "userMergeEvent",
    "user:remove": "userRemoveEvent",
}


@cache
def registry() -> Any:
    """The description, as something that references are resolved in."""
    yaml = pytest.importorskip("yaml")
    return Registry().with_resource("urn:api", DRAFT4.create_resource(yaml.safe_load(DESCRIPTION.read_text())))


def misfits(schema: str, value: Any) -> Iterator[str]:
    """What does not fit a schema of the description."""
    validator = OAS30Validator({"$ref": f"urn:api#/components/schemas/{schema}"}, registry=registry())
    for error in validator.iter_errors(value):
        # The reason of a user-ended session is unknown, and may be none of the published two (docs/platform.md, 3).
        if list(error.absolute_path) != ["payload", "reason"]:
            yield f"{schema} {list(error.absolute_path)}: {error.message}"


def everything(world: Any) -> dict[str, str]:
    """Let everything happen once or twice, and return the ids of two conversations that are left."""
    board = world.board
    first, second = world.conversation(), world.conversation()
    for conversation in (first, second):
        world.says(conversation, "hello", metadata={"id": "m"})
        board.user_says(conversation.id, "Good", "GOOD", now=world.now)
        board.user_taps(conversation.id, "BUY", {"n": 1}, now=world.now)
        board.user_is_referred(conversation.id, "code", now=world.now)
        board.user_types(conversation.id, now=world.now)
        board.user_types(conversation.id, now=world.now, activity="conversation:read")
        board.offer_control(conversation.id, world.app_key, ANSWERS, world.now, {"a": 1})
        board.accept_control(conversation.id, world.app_key, world.now)
        board.accept_control(conversation.id, world.app_key, world.now)
        board.pass_control(conversation.id, world.app_key, WORKSPACE, world.now, {"a": True})
        board.agent_says(conversation.id, "hi", world.now)
    board.close_ticket(first.id, world.now)
    board.user_ends(second.id, now=world.now)
    form = {"type": "form", "fields": [{"type": "text", "name": "a", "label": "A"}]}
    posted = board.post_message(first.id, world.bot_key, {"author": {"type": "business"}, "content": form}, world.now)
    board.user_submits(first.id, posted["messages"][0]["id"], {"a": "b"}, now=world.now)
    return {"first": first.id, "second": second.id}


def finish(world: Any, first: str, second: str) -> None:
    """Failures, merging and removal: the rest of the events."""
    board = world.board
    if world.switches.unknown_target == "failure_event":
        board.pass_control(first, world.app_key, "nobody", world.now)
        board.offer_control(first, world.app_key, "nobody", world.now)
    board.release_control(first, world.app_key, world.now)
    twin = board.create_user("twin")
    gone = board.create_conversation(twin, now=world.now)
    board.merge_users(world.user.id, twin.id, now=world.now, conversations=(first, gone.id))
    board.remove_conversation(second, now=world.now)
    board.remove_user(world.user.id, now=world.now)


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_events(worlds: Any, seed: int | None) -> None:
    """Every event fits its published schema, in any position of the switches."""
    switches = Switches() if seed is None else Switches.draw(random.Random(seed), unknown_target="failure_event")  # noqa: S311
    chosen = {name: getattr(switches, name) for name in Switches.positions()}
    world = worlds(**{**chosen, "deliver_standby_events": True, "event_to_releaser": True})
    heard: list[Any] = []

    def collect() -> None:
        heard.extend(delivery.event for delivery in world.board.drain())

    world.events = collect
    finish(world, **everything(world))
    collect()

    assert {event["type"] for event in heard} == set(SCHEMAS)
    assert [misfit for event in heard for misfit in misfits(SCHEMAS[event["type"]], event)] == []


def test_answers(world: Any) -> None:
    """What the API answers fits its published schemas."""
    conversations = everything(world)
    board, bot = world.board, world.board.member(BOT)
    body = {"target": "http://127.0.0.1:1/", "triggers": ["user:remove"]}
    answers: list[tuple[str, Any]] = [
        ("webhookResponse", board.create_webhook(bot.integration_id, body, world.app_key)),
        ("webhookListResponse", board.list_webhooks(bot.integration_id, world.app_key)),
        ("appResponseWithSubdomain", board.get_app()),
        ("integrationListResponse", board.list_integrations()),
        ("switchboardListResponse", board.list_switchboards()),
        ("switchboardIntegrationListResponse", board.list_switchboard_integrations(board.switchboard_id)),
        *(("conversationResponse", board.get_conversation(id_)) for id_ in conversations.values()),
        *(("messageListResponse", board.list_messages(id_)) for id_ in conversations.values()),
    ]

    assert [misfit for schema, answer in answers for misfit in misfits(schema, answer)] == []


def test_the_check_can_fail(world: Any) -> None:
    """A broken event is found to be broken."""
    world.board.create_conversation(world.user, now=world.now)
    event = world.events()[0]
    event["payload"]["conversation"]["type"] = "secret"

    assert list(misfits("conversationCreateEvent", event))
