"""The stored JSON of conversations, effects, duties and journal data.

Rules, so that versions of the bot can follow each other on one database:

* a key that this version doesn't know is ignored, a key that is missing takes its default. So a new field needs a
  default, and a field is never given another meaning (it gets another name);
* a conversation that can't be read for another reason (a value that only a newer version knows, damage) is salvaged
  field by field: what can be read stays, holder and end are taken from their columns, and it is due for a look at
  once, which reads it from the platform. It never stops the claim of other conversations;
* an effect that can't be read raises `Unreadable`; the store finishes it with that outcome;
* text that is not Unicode (half a surrogate pair) is stored with "?" in its place; journal data excepted, which comes
  back as it was.
"""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, assert_never, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from bot.control.commands import Pass, Read, Release
from bot.control.state import Conversation, Duty, Ended, Holder, Proof, Who
from bot.signals import Level, Observe, Signal, silent
from bot.store.interface import CleanUp, Effect, Say
from bot.store.times import from_micros

_CONVERSATION = TypeAdapter(Conversation)
_DUTY = TypeAdapter(Duty)
_EFFECTS: dict[str, TypeAdapter[Any]] = {
    "say": TypeAdapter(Say),
    "clean_up": TypeAdapter(CleanUp),
    "release": TypeAdapter(Release),
    "pass": TypeAdapter(Pass),
    "read": TypeAdapter(Read),
}


class Unreadable(ValueError):
    """Stored JSON that this version of the bot can't read."""


class StateRow(NamedTuple):
    """A conversation's state, and the columns that repeat its essentials. Times in microseconds."""

    id: str
    state: str
    holder: str
    ended_at: int | None
    released_at: int | None
    updated_at: int


def dump_conversation(state: Conversation) -> str:
    """Return a conversation's state as JSON."""
    return _dump(_CONVERSATION, state)


def load_conversation(row: StateRow, observe: Observe = silent) -> Conversation:
    """Load what `dump_conversation` wrote, or what can be salvaged of it.

    Args:
        row: of the conversation.
        observe: gets `state_salvaged`. For whoever takes the conversation up; who only shows it need not tell.
    """
    try:
        return _CONVERSATION.validate_json(row.state)
    except ValidationError as error:
        unreadable = sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]})
        observe(Signal("state_salvaged", Level.ERROR, row.id, {"unreadable": unreadable or ["everything"]}))
        return _salvage(row)


def kind_of(effect: Effect) -> str:
    """Return the effect's kind, as stored in its column."""
    match effect:
        case Say():
            return "say"
        case CleanUp():
            return "clean_up"
        case Release():
            return "release"
        case Pass():
            return "pass"
        case Read():
            return "read"
        case _:
            assert_never(effect)


def dump_effect(effect: Effect) -> tuple[str, str]:
    """Return an effect's kind and JSON."""
    kind = kind_of(effect)
    return kind, _dump(_EFFECTS[kind], effect)


def load_effect(kind: str, body: str) -> Effect:
    """Load the effect that `dump_effect` wrote. Raises `Unreadable`."""
    try:
        effect: Effect = _EFFECTS[kind].validate_json(body)
    except KeyError:
        raise Unreadable(f"no effect of the kind {kind!r} is known") from None
    except ValidationError as error:
        raise Unreadable(
            f"an effect of the kind {kind!r} has an unknown form: {error.error_count()} problems"
        ) from None
    return effect


def load_unsent(kind: str, body: str) -> Say | CleanUp:
    """Load the message or clean-up that `dump_effect` wrote. Raises `Unreadable`."""
    effect = load_effect(kind, body)
    if not isinstance(effect, Say | CleanUp):
        raise Unreadable(f"an effect of the kind {kind!r} is no message and no clean-up")
    return effect


def dump_duty(duty: Duty) -> str:
    """Return a duty as JSON, for the record."""
    return _dump(_DUTY, duty)


def load_duty(body: str) -> Duty:
    """Load the duty that `dump_duty` wrote. Raises `Unreadable`."""
    try:
        return _DUTY.validate_json(body)
    except ValidationError as error:
        raise Unreadable(f"a duty has an unknown form: {error.error_count()} problems") from None


def dump_data(data: Any) -> str:
    """Return a journal entry's data as JSON. Raises `TypeError` for values that JSON can't represent."""
    return json.dumps(data, separators=(",", ":"))


def load_data(text: str) -> Any:
    """Load the data that `dump_data` wrote; tuples become lists, and keys strings."""
    return json.loads(text)


def unicode(text: str) -> str:
    """Replace what no database accepts, lone surrogates and NUL, by "?"."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "?").encode("utf-8", "replace").decode("utf-8")


def _dump(adapter: TypeAdapter[Any], value: Any) -> str:
    try:
        return adapter.dump_json(value).decode()
    except (PydanticSerializationError, UnicodeEncodeError):
        plain = adapter.dump_python(value, mode="json")
        return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace").decode()


def _salvage(row: StateRow) -> Conversation:
    try:
        stored = json.loads(row.state)
    except ValueError:
        stored = None
    updated_at = from_micros(row.updated_at)
    known: dict[str, Any] = {
        "holder": Holder(who=Who(row.holder)),
        "ended": _ended(row, updated_at),
        "serial": row.updated_at,  # above every number given so far, so that no effect id comes twice
    }
    for name, adapter in _field_adapters().items():
        if isinstance(stored, dict) and name in stored:
            try:
                known[name] = adapter.validate_python(stored[name])
            except ValidationError:
                continue
    known |= {"id": row.id, "watch_at": updated_at}
    return Conversation(**known)


def _ended(row: StateRow, updated_at: datetime) -> Ended | None:
    if row.ended_at is None:
        return None
    proof = None if row.released_at is None else Proof("recorded by another version", from_micros(row.released_at))
    return Ended(at=from_micros(row.ended_at), check_at=updated_at, proof=proof)


@lru_cache(maxsize=1)
def _field_adapters() -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(Conversation)
    return {field.name: TypeAdapter(hints[field.name]) for field in fields(Conversation)}
