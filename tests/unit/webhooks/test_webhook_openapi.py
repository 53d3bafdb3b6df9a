"""The published examples, where the API description is at hand. Nothing of it is part of the project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from webhook_samples import KEY, NOON, Shelf

from webhooks.events import _CLASSES, UnknownEvent, parse_event
from webhooks.intake import Intake
from webhooks.security import Secrets

yaml = pytest.importorskip("yaml")

DESCRIPTION = Path(__file__).parents[4] / "shared" / "openapi.yaml"

pytestmark = pytest.mark.skipif(not DESCRIPTION.exists(), reason="the API description is not at hand")


def _examples() -> dict[str, Any]:
    if not DESCRIPTION.exists():
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    whole = yaml.load(DESCRIPTION.read_text(), Loader=loader)
    content = whole["x-webhooks"]["Webhook Event"]["post"]["requestBody"]["content"]["application/json"]
    return {
        type_: whole["components"]["examples"][example["$ref"].rsplit("/", 1)[1]]["value"]
        for type_, example in content["examples"].items()
    }


EXAMPLES = _examples()


def test_every_trigger_has_an_example() -> None:
    """The classes here and the published examples name the same types."""
    assert set(EXAMPLES) == set(_CLASSES)


@pytest.mark.parametrize("type_", EXAMPLES)
async def test_a_published_example_is_understood(type_: str) -> None:
    """It is stored, becomes the class of its type, and tells the conversation and who is active."""
    example = EXAMPLES[type_]
    shelf = Shelf()
    answer = await Intake(shelf, Secrets(["s3cret"]), lambda: NOON).receive(KEY, json.dumps(example).encode())
    assert answer.status == 200
    assert len(shelf.events) == len(example["events"])
    for stored, posted in zip(shelf.events, example["events"], strict=True):
        parsed = parse_event(stored.body)
        assert type(parsed) is _CLASSES[type_]
        assert not isinstance(parsed, UnknownEvent)
        assert (parsed.id, parsed.type) == (posted["id"], posted["type"]) == (stored.id, stored.type)
        assert (parsed.created_at is None) == ("createdAt" not in posted)
        conversation = posted["payload"].get("conversation")
        expected = conversation["id"] if conversation else None
        assert stored.conversation_id == expected
        if "conversation" in type(parsed.payload).model_fields:
            read = parsed.payload.model_dump(by_alias=True)["conversation"]
            assert read["id"] == expected
            posted_active = conversation.get("activeSwitchboardIntegration") or {}
            posted_active.pop("integrationId", None)
            assert (read["activeSwitchboardIntegration"] or {}) == posted_active
