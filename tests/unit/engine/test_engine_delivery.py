"""Delivery: what goes out, and what comes too late for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot.control.commands import Pass, Release
from bot.control.facts import Answer, Answered, UserEnded
from bot.control.state import Key
from bot.engine.delivery import Clients, Delivery, Task, UsersLast, users_last

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Noon:
    """A clock that stands."""

    def now(self) -> datetime:
        """Noon."""
        return NOON


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=9)])
@pytest.mark.parametrize("kind", ["release", "pass"])
def test_a_read_too_old(kind: str, late: timedelta) -> None:
    """An action that was held up since its read, for whatever reason, does not go out: there is no client to ask."""
    before = NOON - late
    effect = Release("e", Key.APP, before) if kind == "release" else Pass("e", "desk", before=before)
    result = asyncio.run(Delivery(Clients(None, None), Noon()).deliver("c", Task(effect, NOON)))
    assert result.fact == Answered("e", Answer.STALE)


READ_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAID_AT = READ_AT - timedelta(minutes=1)


def listed(kind: str, number: int) -> dict[str, object]:
    """A message as the API lists it: a "word" of the user, an "end", or what the "bot" said."""
    message: dict[str, object] = {"id": f"m{number}", "author": {"type": "business" if kind == "bot" else "user"}}
    if kind != "end":
        message["content"] = {"type": "text", "text": "hello"}
        message["received"] = SAID_AT.isoformat()
    else:
        message["activity"] = {"type": "conversation:endedByUser"}
    return message


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("", UsersLast()),
        ("bot", UsersLast()),
        ("word bot", UsersLast(spoke_at=SAID_AT)),
        ("end bot", UsersLast(UserEnded(READ_AT, "m0"))),
        ("word end bot", UsersLast(UserEnded(READ_AT, "m1"), SAID_AT)),
        ("end bot word", UsersLast(spoke_at=SAID_AT, void_end="m0")),
        ("end word end", UsersLast(UserEnded(READ_AT, "m2"), SAID_AT)),
        ("end end word word", UsersLast(spoke_at=SAID_AT, void_end="m1")),
    ],
)
def test_what_the_user_did_last(kinds: str, expected: UsersLast) -> None:
    """By the order of the messages, the newest last; one that can't be read is passed over."""
    messages = [listed(kind, number) for number, kind in enumerate(kinds.split())]
    assert users_last((*messages, {"author": 7}), READ_AT) == expected
