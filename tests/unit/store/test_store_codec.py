"""The JSON of states and effects survives a round trip, and other versions of the bot."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from drawing import built
from hypothesis import given
from hypothesis import strategies as st
from store_samples import NOW, PROOF, held

from bot.control.commands import Pass, Read, Release
from bot.control.state import Conversation, Duty, Holder, Integration, Opening, Reminder, Who
from bot.signals import Level, Signal
from bot.store import CleanUp, Say
from bot.store.codec import (
    StateRow,
    Unreadable,
    dump_conversation,
    dump_data,
    dump_duty,
    dump_effect,
    kind_of,
    load_conversation,
    load_data,
    load_duty,
    load_effect,
    unicode,
)
from bot.store.times import from_micros, to_micros

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_json: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_contents = st.dictionaries(_texts, _json, max_size=3)
_scalars = st.floats(allow_nan=False, allow_infinity=False)

for _type, _strategy in ((datetime, _times), (str, _texts), (float, _scalars)):
    st.register_type_strategy(_type, _strategy)

for _made in (Opening, Reminder):
    st.register_type_strategy(_made, built(_made, data=_json, about=_contents))

_conversations = st.from_type(Conversation)
_effects = st.one_of(
    built(Say, content=_contents, metadata=_contents),
    built(CleanUp, args=st.lists(_json), kwargs=_contents, timeout=_scalars),
    st.from_type(Release),
    st.from_type(Pass),
    st.from_type(Read),
)


def _row(state: str, **columns: Any) -> StateRow:
    known = {"holder": "unknown", "ended_at": None, "released_at": None, "updated_at": to_micros(NOW)}
    return StateRow(id="c1", state=state, **(known | columns))


@given(_conversations)
def test_conversation_round_trip(state: Conversation) -> None:
    """Every state comes back as it was."""
    assert load_conversation(_row(dump_conversation(state))) == state


@given(_effects)
def test_effect_round_trip(effect: Say | CleanUp | Release | Pass | Read) -> None:
    """Every effect comes back as it was, by its kind."""
    kind, body = dump_effect(effect)
    assert kind == kind_of(effect)
    assert load_effect(kind, body) == effect


@given(st.from_type(Duty))
def test_duty_round_trip(duty: Duty) -> None:
    """Every duty comes back as it was."""
    assert load_duty(dump_duty(duty)) == duty


@given(_json)
def test_data_round_trip(data: Any) -> None:
    """What a journal entry holds comes back as it was."""
    assert load_data(dump_data(data)) == data


def test_data_must_be_json() -> None:
    """What JSON has no form for is refused, and not turned into something else."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        dump_data({1, 2})


@given(_times)
def test_times_are_exact(moment: datetime) -> None:
    """A time comes back to the microsecond."""
    assert from_micros(to_micros(moment)) == moment


@given(_times, _times)
def test_times_sort(one: datetime, other: datetime) -> None:
    """Stored times sort as the times do."""
    assert (to_micros(one) < to_micros(other)) == (one < other)


def test_naive_time() -> None:
    """A time without a zone is refused."""
    with pytest.raises(ValueError, match="no time zone"):
        to_micros(datetime(2026, 1, 1))  # noqa: DTZ001


def test_unknown_key() -> None:
    """A key of a newer version is ignored, at every depth."""
    stored = json.loads(dump_conversation(held()))
    stored["mood"] = "good"
    stored["holder"]["colour"] = "blue"
    assert load_conversation(_row(json.dumps(stored))) == held()


def test_missing_key() -> None:
    """A key that an older version did not write takes its default."""
    assert load_conversation(_row('{"id": "c1"}')) == Conversation("c1")


def test_effect_of_another_version() -> None:
    """Extra keys of an effect are ignored, missing ones take their defaults."""
    assert load_effect("clean_up", '{"effect_id": "e", "run_id": 1, "function": "f", "speed": 3}') == CleanUp(
        "e", 1, "f"
    )


@pytest.mark.parametrize(
    ("kind", "body"),
    [("wave", "{}"), ("say", '{"effect_id": "e"}'), ("release", '{"effect_id": "e", "key": "golden"}'), ("read", "{")],
)
def test_unreadable_effect(kind: str, body: str) -> None:
    """A kind, a form or a value that is not known is unreadable, and says no more than that."""
    with pytest.raises(Unreadable, match=kind):
        load_effect(kind, body)


def test_unreadable_duty() -> None:
    """A duty of an unknown form is unreadable."""
    with pytest.raises(Unreadable):
        load_duty("{}")


class TestSalvage:
    """A state that can't be read keeps what can be, and is looked at at once."""

    def test_one_field(self) -> None:
        """An unknown value costs only its own field."""
        stored = json.loads(dump_conversation(held()))
        stored |= {"run": {"id": 1, "purpose": "juggling"}, "serial": 7}
        state = load_conversation(_row(json.dumps(stored), holder="bot"))
        assert (state.holder, state.run, state.serial) == (Holder(Who.BOT), None, 7)
        assert state.watch_at == NOW
        assert state.is_safe()

    @pytest.mark.parametrize("damaged", ["", "{", "[]", '"text"', '{"id": []}'])
    def test_everything(self, damaged: str) -> None:
        """Of a damaged state the columns are left: who held it, and whether it has ended."""
        state = load_conversation(_row(damaged, holder="bot", ended_at=to_micros(NOW)))
        assert (state.id, state.holder.who, state.ended and state.ended.at) == ("c1", Who.BOT, NOW)
        assert state.at_stake
        assert state.look_at == NOW

    def test_proof(self) -> None:
        """A proof that is recorded stays one."""
        state = load_conversation(_row("{", ended_at=to_micros(NOW), released_at=to_micros(PROOF.at)))
        assert state.closed

    def test_serial(self) -> None:
        """Numbers go on above all that were given, so that no effect id comes twice."""
        assert load_conversation(_row("{")).serial > 1_000_000

    def test_told(self) -> None:
        """The signal names the fields and not what was in them."""
        signals: list[Signal] = []
        load_conversation(_row('{"id": "c1", "duty": "secret"}'), signals.append)
        assert signals == [Signal("state_salvaged", Level.ERROR, "c1", {"unreadable": ["duty"]})]


class TestUnicode:
    """What is not Unicode can be stored, with question marks."""

    @pytest.mark.parametrize(
        ("text", "stored"), [("plain", "plain"), ("grün 🙂", "grün 🙂"), ("half \ud83d", "half ?"), ("nul\0", "nul?")]
    )
    def test_text(self, text: str, stored: str) -> None:
        """Half a pair and NUL are replaced; nothing else is."""
        assert unicode(text) == stored

    def test_effect(self) -> None:
        """A message with half an emoji is stored, and can be sent."""
        kind, body = dump_effect(Say("e", 1, {"text": "cut \ud83d"}))
        assert load_effect(kind, body) == Say("e", 1, {"text": "cut ?"})

    def test_state(self) -> None:
        """So is a state."""
        state = Conversation("c1", holder=Holder(Who.OTHER, Integration("i", "cut \ud83d")))
        loaded = load_conversation(_row(dump_conversation(state)))
        assert loaded.holder.integration == Integration("i", "cut ?")

    def test_journal(self) -> None:
        """A journal entry comes back even so."""
        assert load_data(dump_data(["cut \ud83d"])) == ["cut \ud83d"]
