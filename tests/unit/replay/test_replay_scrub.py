"""A scrubbed tape: nobody can be found in it, and it plays the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tiers import some

from bot.replay.facts import take_apart
from bot.replay.run import Setup, replay
from bot.replay.scrub import Scrubber, is_stand_in
from bot.replay.shapes import DELIVERY, Fields, Many, Rule, Shape, Word
from bot.tape import TapedDelivery, read_tape, write_tape

TAPES = Path(__file__).parent.parent.parent / "tapes"
AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "id": "5f0000000000000000000001",
    "createdAt": "2026-01-05T09:00:00.000Z",
    "type": "conversation:message",
    "payload": {
        "conversation": {
            "id": "5f0000000000000000000002",
            "type": "personal",
            "activeSwitchboardIntegration": {"id": "5f03", "name": "switchboard-bot", "integrationType": "custom"},
            "metadata": {"customer": "Jane Roe"},
        },
        "message": {
            "id": "5f0000000000000000000004",
            "received": "2026-01-05T09:00:00.000Z",
            "author": {
                "type": "user",
                "userId": "5f05",
                "displayName": "Jane Roe",
                "avatarUrl": "https://cdn.example.org/jane-roe.png",
                "user": {
                    "id": "5f05",
                    "externalId": "jane.roe@example.org",
                    "profile": {"givenName": "Jane", "surname": "Roe", "email": "jane.roe@example.org"},
                },
            },
            "content": {"type": "text", "text": "I am Jane Roe, 555-0100", "payload": "jane"},
            "newKey": ["Jane", {"deep": "Roe"}],
            "source": {"type": "web", "integrationId": "5f06", "client": {"raw": {"ip": "192.0.2.7", "n": 5550100}}},
        },
    },
}


def scrubbed(*events: dict[str, Any], secret: bytes = b"s") -> list[Any]:
    body = {"webhook": {"id": "5f07", "version": "v2"}, "events": list(events)}
    (delivery,) = Scrubber(secret).scrub([TapedDelivery(AT, body)])
    return delivery.events


def test_nothing_personal_is_left() -> None:
    """Names, addresses, texts, numbers, and what is not known."""
    text = json.dumps(scrubbed(EVENT)).lower()

    for personal in ("jane", "roe", "555", "192.0.2", "5f0000000000000000000002", "cdn.example.org"):
        assert personal not in text


CANARIES: list[Any] = [
    "Jane Roe",
    "JaneRoe",
    "jane.roe",
    "jane.roe@example.org",
    "https://example.org/jane/roe",
    "user:jane",
    "user jane",
    "v2.jane",
    "ticketClosed-jane",
    "2026-01-05T09:00:00.000Z jane",
    "2026-01-05T09:00:00Zjane",
    "[text 00jane]",
    "c1.5550100",
    "__zendesk_msg.jane",
    "__jane",
    "5550100",
    "+1 555 0100",
    "\N{ARABIC-INDIC DIGIT FIVE}" * 7,
    "Jane\n",
    "x" * 300 + "jane",
    5550100,
    -5550100,
    555.0100,
    5550100 * 10**30,
    ["Jane"],
    [["Jane"], {"jane": 5550100}],
    {"Jane": "Roe"},
    {"type": "jane", "id": "roe", "name": "Jane", "text": {"jane": 1}},
]
"""A person, in every form that a value can have; some look like what is kept elsewhere."""

PERSON = re.compile(r"jane|roe|555|\N{ARABIC-INDIC DIGIT FIVE}", re.IGNORECASE)
RULES: dict[Rule, Any] = {Rule.TIME: "2026-01-05T09:00:00.000Z", Rule.FLAG: True, Rule.EFFECT: "x.1", Rule.ID: "x"}


def example(shape: Shape) -> Any:
    """A value with everything in it that a shape knows."""
    match shape:
        case Fields(known):
            return {key: example(inner) for key, inner in known.items()}
        case Many(each):
            return [example(each)]
        case Word(known):
            return min(known)
        case _:
            return RULES.get(shape, "")


def hidden_in(value: Any, canary: Any) -> Iterator[Any]:
    """The value again and again, with the canary in another place each time: instead of a part, beside it, as a key."""
    yield canary
    match value:
        case dict():
            yield {**value, "new": canary}
            if isinstance(canary, str):
                yield {**value, canary: "new"}
                yield {**value, canary: value}
            for key, one in value.items():
                yield from ({**value, key: changed} for changed in hidden_in(one, canary))
                if isinstance(canary, str):
                    yield {**value, f"{key}{canary}": one}
        case list():
            yield [*value, canary]
            for place, one in enumerate(value):
                for changed in hidden_in(one, canary):
                    yield [*value[:place], changed, *value[place + 1 :]]
        case _:
            pass


def shapes(shape: Shape) -> Iterator[Shape]:
    """A shape and all that it is made of."""
    yield shape
    match shape:
        case Fields(known):
            for inner in known.values():
                yield from shapes(inner)
        case Many(each):
            yield from shapes(each)
        case _:
            pass


def personal(value: Any) -> list[str]:
    """What of the person is left."""
    return [found for found in words(value) if PERSON.search(found)]


def leaks(body: Any) -> list[str]:
    """What of the person is left on a tape."""
    if not isinstance(body, dict):
        return []  # no delivery, and so on no tape
    (delivery,) = Scrubber(b"s").scrub([TapedDelivery(AT, body, "the story of Jane Roe, 555-0100")])
    return personal([delivery.body, delivery.note])


def words(value: Any) -> Iterator[str]:
    """Every key, text and number in it; stand-ins of ids are left out, in which any digits may be."""
    match value:
        case dict():
            for key, one in value.items():
                yield from words(key)
                yield from words(one)
        case list():
            for one in value:
                yield from words(one)
        case str() if re.fullmatch(r"x[0-9a-f]{23}(\.x[0-9a-f]{23}|\.1)?", value):
            pass
        case int() if value.bit_length() > 40:
            pass  # of a number as an id
        case _:
            yield re.sub(r"\b[0-9a-f]{6}(?=\]|$|@)", "", str(value))


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: repr(canary)[:30])
def test_no_canary_gets_through(canary: Any) -> None:
    """In every place of every shape that is known: as a value of any kind, beside others, and as a key."""
    scrubber = Scrubber(b"s")
    tried = 0
    for shape in shapes(DELIVERY):
        shallow = dict.fromkeys(shape.known, "") if isinstance(shape, Fields) else []
        for value in hidden_in(shallow, canary):
            tried += 1
            assert personal(scrubber._known(value, shape)) == [], (shape, value)

    assert tried > 500


def test_no_canary_gets_through_in_a_whole_delivery() -> None:
    """The same in one piece, from the delivery down to the last place."""
    bodies = [*hidden_in(example(DELIVERY), "JaneRoe")]

    assert len(bodies) > 500
    assert [(body, left) for body in bodies if (left := leaks(body))] == []


@pytest.mark.parametrize("tape", some(sorted(TAPES.glob("*.jsonl")), every=5), ids=lambda path: path.stem)
def test_no_canary_gets_through_on_real_tapes(tape: Path) -> None:
    """The same in every place of what the platform really posts, known here or not."""
    for delivery in read_tape(tape):
        assert [left for body in hidden_in(dict(delivery.body), "JaneRoe") if (left := leaks(body))] == []


def test_the_search_for_leaks_finds_them() -> None:
    """A check that finds nothing is worth nothing."""
    assert [*words({"a": ["Jane", {"roe": 5550100}]})] == ["a", "Jane", "roe", "5550100"]
    assert len([*hidden_in({"a": ["b"]}, "c")]) == 8


def test_names_of_an_account_are_kept_on_request() -> None:
    """The bot's own integration may have a name of its own, by which a replay is told which it is."""
    event = {"payload": {"conversation": {"activeSwitchboardIntegration": {"name": "our-bot"}}}}
    body = {"webhook": {"version": "v2"}, "events": [event]}
    names = []
    for roles in ((), ("our-bot",)):
        (delivery,) = Scrubber(b"s", roles).scrub([TapedDelivery(AT, body)])
        names.append(delivery.events[0]["payload"]["conversation"]["activeSwitchboardIntegration"]["name"])
    assert is_stand_in(names[0])
    assert names[1] == "our-bot"


def test_who_wrote_by_the_marks_of_the_agent_workspace() -> None:
    """A rule stays a rule, and an agent an agent without a name, whatever kind of id the platform gives."""
    key = "__zendesk_msg.agent.id"
    for given, kept in (("__trigger", True), ("360012345678", False), (360012345678, False)):
        metadata = {key: given, "__zendesk_msg.agent.name": "Jane"}
        (event,) = scrubbed({"payload": {"message": {"id": "m", "metadata": metadata}}})
        left = event["payload"]["message"]["metadata"]
        assert (left[key] == given) is kept
        assert left[key]
        assert [name.startswith("__zendesk_msg.") for name in left] == [True, True]
        assert "Jane" not in json.dumps(left)


def test_what_matters_to_the_bot_is_kept() -> None:
    """Types, times, who is active."""
    (event,) = scrubbed(EVENT)
    payload = event["payload"]

    assert event["type"] == EVENT["type"]
    assert event["createdAt"] == EVENT["createdAt"]
    assert payload["conversation"]["activeSwitchboardIntegration"]["name"] == "switchboard-bot"
    assert payload["message"]["author"]["type"] == "user"
    assert payload["message"]["content"]["type"] == "text"
    assert is_stand_in(payload["message"]["content"]["text"])


def test_the_same_becomes_the_same() -> None:
    """Within a tape, and on other tapes with the same secret; and not with another."""
    one, other = scrubbed(EVENT, EVENT)

    assert one == other
    assert one == scrubbed(EVENT)[0]
    assert one != scrubbed(EVENT, secret=b"t")[0]
    author = one["payload"]["message"]["author"]
    assert author["userId"] == author["user"]["id"]


def test_what_happened_at_the_same_moment_stays_in_order(tmp_path: Path) -> None:
    """Ids no longer tell it, so the order of the tape does."""
    deliveries = list(read_tape(TAPES / "ended_mid_flow.jsonl"))
    before = [one.raw["type"] for one in take_apart(deliveries).happened]

    for number in range(10):
        after = take_apart(Scrubber(b"secret %d" % number).scrub(deliveries)).happened
        assert [one.raw["type"] for one in after] == before


def test_a_scrubbed_tape_plays_the_same(tmp_path: Path) -> None:
    """The same control actions, and nothing diverged by a text that was replaced."""
    setup = Setup(("bot.sandbox.demo_flows", "bot.flows.survey"), "demo")
    for name in ("ended_mid_flow", "agent_writes", "another_takes", "abandoned_release", "ended_with_agent_kept"):
        tape, mode = TAPES / f"{name}.jsonl", "release" if "release" in name else "pass"
        write_tape(tmp_path / tape.name, Scrubber().scrub(read_tape(tape)))
        (before,) = replay([tape], setup, [mode])
        (after,) = replay([tmp_path / tape.name], setup, [mode])

        control = [
            [a.call for a in result.actions if a.call in ("ReleaseControl", "PassControl")]
            for result in (before, after)
        ]
        assert after.closed
        if name not in ("ended_mid_flow", "ended_with_agent_kept"):  # their flow goes by what the user said
            assert control[0] == control[1]
