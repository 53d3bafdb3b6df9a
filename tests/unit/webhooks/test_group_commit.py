"""The group commit: who shares a commit, and who hears of a failure. One loop, no clock, no threads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from webhook_samples import NOON, Reports

from webhooks.inbox import GroupCommit, NewEvent, NotStoredError


class Database:
    """Commits that last until they are let go; `poison` is what it can't take, `error` what it says then."""

    def __init__(self, *, open_: bool = True, poison: str = "", error: Exception | None = None) -> None:
        self.gate = asyncio.Event()
        if open_:
            self.gate.set()
        self.poison = poison
        self.error = error or ValueError("poison")
        self.commits: list[str] = []

    async def store(self, events: Sequence[NewEvent]) -> int:
        """Store all or none."""
        self.commits.append("".join(event.id for event in events))
        await self.gate.wait()
        if any(event.id in self.poison for event in events):
            raise self.error
        return len(events)


def _events(ids: str) -> list[NewEvent]:
    return [NewEvent(id_, None, "t", b"{}", NOON) for id_ in ids]


async def _add(inbox: GroupCommit, ids: str) -> str:
    try:
        await inbox.add(_events(ids))
    except NotStoredError as error:
        return f"not {ids}: {error.__cause__!r}"
    return ids


def _start(inbox: GroupCommit, *deliveries: str) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(_add(inbox, ids)) for ids in deliveries]


async def _pass_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_lone_delivery_is_committed_at_once() -> None:
    """No timer waits for company."""
    database = Database()
    inbox = GroupCommit(database.store)
    assert [await _add(inbox, "a"), await _add(inbox, "bc")] == ["a", "bc"]
    assert database.commits == ["a", "bc"]


async def test_whoever_waits_shares_the_next_commit() -> None:
    """While one commit is in flight, all deliveries that come gather for the next."""
    database = Database(open_=False)
    inbox = GroupCommit(database.store)
    first = _start(inbox, "a")
    await _pass_turns()
    rest = _start(inbox, "b", "cd", "e")
    await _pass_turns()
    assert database.commits == ["a"]
    database.gate.set()
    assert await asyncio.gather(*first, *rest) == ["a", "b", "cd", "e"]
    assert database.commits == ["a", "bcde"]


async def test_an_answer_waits_for_its_commit() -> None:
    """Nothing is called stored before it is."""
    database = Database(open_=False)
    (waiting,) = _start(GroupCommit(database.store), "a")
    await _pass_turns()
    assert not waiting.done()
    database.gate.set()
    assert await waiting == "a"


@pytest.mark.parametrize(
    ("deliveries", "commits"),
    [
        (["a", "b", "c", "d"], ["abc", "d"]),
        (["ab", "cd", "e"], ["ab", "cde"]),
        (["abc", "d"], ["abc", "d"]),
        (["abcde", "f"], ["abcde", "f"]),
        (["a", "bcdef", "g"], ["a", "bcdef", "g"]),
    ],
)
async def test_a_commit_has_a_limit(deliveries: list[str], commits: list[str]) -> None:
    """Three events here; a delivery is never split, so one that is larger goes alone."""
    database = Database()
    inbox = GroupCommit(database.store, limit=3)
    assert await asyncio.gather(*_start(inbox, *deliveries)) == deliveries
    assert database.commits == commits


async def test_too_many_that_wait_are_refused_at_once() -> None:
    """The queue is bounded; what is refused comes again later. A delivery that finds nobody waiting may be any size."""
    database = Database(open_=False)
    inbox = GroupCommit(database.store, waiting_limit=3)
    started = _start(inbox, "a")
    await _pass_turns()
    started += _start(inbox, "bcde", "f")
    await _pass_turns()
    assert [task.done() for task in started] == [False, False, True]
    database.gate.set()
    assert await asyncio.gather(*started) == ["a", "bcde", "not f: None"]

    database.gate.clear()
    started = _start(inbox, "a")
    await _pass_turns()
    started += _start(inbox, "b", "cd", "e")
    await _pass_turns()
    assert [task.done() for task in started] == [False, False, False, True]
    database.gate.set()
    await asyncio.gather(*started)


async def test_too_many_bytes_that_wait_are_refused_at_once() -> None:
    """Few large events take as much memory as many small ones. (Each has two bytes here.)"""
    database = Database(open_=False)
    inbox = GroupCommit(database.store, waiting_bytes=6)
    started = _start(inbox, "a")
    await _pass_turns()
    crowded = [inbox.is_crowded]
    started += _start(inbox, "bc", "de", "f")
    await _pass_turns()
    assert [task.done() for task in started] == [False, False, True, False]
    crowded.append(inbox.is_crowded)
    database.gate.set()
    assert await asyncio.gather(*started) == ["a", "bc", "not de: None", "f"]
    crowded.append(inbox.is_crowded)
    assert crowded == [False, True, False]
    assert await _add(inbox, "abcdef") == "abcdef"


async def test_no_events_need_no_commit() -> None:
    """An empty delivery is stored already."""
    database = Database(poison="a")
    assert await _add(GroupCommit(database.store), "") == ""
    assert database.commits == []


async def test_a_failure_carries_its_cause() -> None:
    """The log shows what the database said; what the sender is told does not quote it."""
    database = Database(poison="a", error=ValueError("private"))
    inbox = GroupCommit(database.store)
    with pytest.raises(NotStoredError, match=r"^the store failed: ValueError$") as caught:
        await inbox.add(_events("a"))
    assert repr(caught.value.__cause__) == "ValueError('private')"
    assert database.commits == ["a"]


async def test_a_store_out_of_reach_says_why() -> None:
    """Its words are no sender's; without words, its type must do."""
    for error, told in ((OSError("the disk is full"), "the disk is full"), (OSError(), "OSError")):
        inbox = GroupCommit(Database(poison="a", error=error).store)
        with pytest.raises(NotStoredError, match=f"^the store failed: {told}$"):
            await inbox.add(_events("a"))


NOT = "not {}: ValueError('poison')"


@pytest.mark.parametrize(
    ("poison", "outcome", "commits"),
    [
        ("b", ["a", NOT.format("b"), "c", "d"], ["abcd", "a", "b", "c", "d"]),
        ("bd", ["a", NOT.format("b"), "c", NOT.format("d")], ["abcd", "a", "b", "c", "d"]),
        ("ab", [NOT.format(id_) for id_ in "abcd"], ["abcd", "a", "b"]),
        ("bc", ["a", *(NOT.format(id_) for id_ in "bcd")], ["abcd", "a", "b", "c"]),
    ],
)
async def test_what_the_database_cannot_take_fails_alone(poison: str, outcome: list[str], commits: list[str]) -> None:
    """After a group failed, each is tried alone; two failures in a row are the database's, and the rest is spared."""
    database = Database(poison=poison)
    inbox = GroupCommit(database.store)
    assert await asyncio.gather(*_start(inbox, *"abcd")) == outcome
    assert database.commits == commits


class Unavailable(Exception):
    """What a store may say."""


@pytest.mark.parametrize("error", [ConnectionError(), TimeoutError(), NotStoredError(), Unavailable()])
async def test_nobody_is_tried_again_while_the_database_is_away(error: Exception) -> None:
    """One slow failure is enough."""
    database = Database(poison="a", error=error)
    inbox = GroupCommit(database.store, unavailable=(OSError, Unavailable))
    assert await asyncio.gather(*_start(inbox, *"abc")) == [f"not {id_}: {error!r}" for id_ in "abc"]
    assert database.commits == ["abc"]


async def test_trying_alone_stops_when_the_database_goes_away() -> None:
    """An error of that kind ends the tries at once."""
    answers = iter([ValueError(), None, OSError()])
    commits: list[int] = []

    async def store(events: Sequence[NewEvent]) -> None:
        commits.append(len(events))
        if (error := next(answers)) is not None:
            raise error

    outcome = await asyncio.gather(*_start(GroupCommit(store), *"abcd"))
    assert outcome == ["a", *(f"not {id_}: OSError()" for id_ in "bcd")]
    assert commits == [4, 1, 1]


async def test_a_client_that_hangs_up_disturbs_nobody() -> None:
    """Its events are stored all the same: the platform will deliver them again, and they will be known."""
    database = Database(open_=False)
    inbox = GroupCommit(database.store)
    in_flight, *waiting = _start(inbox, "a")
    await _pass_turns()
    waiting = _start(inbox, "b", "c")
    await _pass_turns()
    in_flight.cancel()
    waiting[0].cancel()
    await _pass_turns()
    database.gate.set()
    assert await waiting[1] == "c"
    assert database.commits == ["a", "bc"]
    assert in_flight.cancelled()
    assert await _add(inbox, "d") == "d"


async def test_a_failure_that_nobody_waits_for_makes_no_noise() -> None:
    """A future with an unread exception would be complained about when it is collected."""
    database = Database(open_=False, poison="a")
    (waiting,) = _start(GroupCommit(database.store), "a")
    await _pass_turns()
    waiting.cancel()
    database.gate.set()
    await _pass_turns()
    assert waiting.cancelled()


async def test_who_works_on_the_events_is_woken_after_each_commit() -> None:
    """Only for what is stored."""
    woken: list[str] = []
    database = Database(poison="b")
    inbox = GroupCommit(database.store, on_stored=lambda events: woken.append("".join(e.id for e in events)))
    await asyncio.gather(*_start(inbox, "a", "b", "c"))
    await _add(inbox, "de")
    assert woken == ["a", "c", "de"]


async def test_a_failed_wake_up_loses_nothing() -> None:
    """The events are stored, and that is what was asked; workers look by themselves too."""

    def broken(_: Sequence[NewEvent]) -> None:
        raise RuntimeError("no wake-up")

    reports = Reports()
    assert await _add(GroupCommit(Database().store, on_stored=broken, report=reports), "a") == "a"
    ((event, level, fields),) = reports.calls
    assert (event, level, fields["error"]) == ("workers_not_woken", "error", "RuntimeError")
    assert Path(__file__).name in str(fields["place"])


async def test_stop_finishes_what_waits() -> None:
    """And takes no more. A second stop is no error."""
    database = Database(open_=False)
    inbox = GroupCommit(database.store, limit=1)
    started = _start(inbox, "a", "b")
    await _pass_turns()
    stopping = asyncio.create_task(inbox.stop())
    await _pass_turns()
    assert await _add(inbox, "c") == "not c: None"
    assert not stopping.done()
    database.gate.set()
    await stopping
    assert await asyncio.gather(*started) == ["a", "b"]
    await inbox.stop()


async def test_a_cancelled_commit_leaves_nobody_waiting_for_ever() -> None:
    """The store may be cancelled from within (a closed pool); who waits is told, and the next ones find it as new."""
    commits: list[str] = []

    async def store(events: Sequence[NewEvent]) -> None:
        commits.append("".join(event.id for event in events))
        if len(commits) == 1:
            raise asyncio.CancelledError

    inbox = GroupCommit(store, limit=1, waiting_limit=2)
    assert await asyncio.gather(*_start(inbox, *"abc")) == [
        "not a: CancelledError()",
        "not b: CancelledError()",
        "not c: None",
    ]
    assert await asyncio.gather(*_start(inbox, *"de")) == ["d", "e"]
    assert commits == ["a", "d", "e"]


async def test_it_is_crowded_when_more_than_half_of_its_places_are_taken() -> None:
    """What is in the commit under way has left its place; a crowd that is gone is forgotten."""
    database = Database(open_=False)
    inbox = GroupCommit(database.store, waiting_limit=4)
    started = _start(inbox, "a")
    await _pass_turns()
    assert (inbox.waiting, inbox.is_crowded) == (0, False)
    started += _start(inbox, "bc")
    await _pass_turns()
    assert (inbox.waiting, inbox.is_crowded) == (2, False)
    started += _start(inbox, "d")
    await _pass_turns()
    assert (inbox.waiting, inbox.is_crowded) == (3, True)
    database.gate.set()
    await asyncio.gather(*started)
    assert (inbox.waiting, inbox.is_crowded) == (0, False)
