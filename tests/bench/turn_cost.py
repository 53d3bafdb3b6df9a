"""What a turn of a flow costs in Python, besides database and network: `python tests/bench/turn_cost.py`.

A flow has taken twenty steps, and the user answers: the flow runs again from its first line, the journal answers what
was done, and two more messages are said. Three things are timed, each the best of many rounds:

* bare: a coroutine that awaits as often and does the same with plain lists;
* turn: the flow over its journal, as the engine runs it in a task (`bot.flows`);
* session: all that the engine does for it, from the claimed conversation to the lease given back (events, rules, flow,
  outbox), with a database and an API that do nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from bot import Answer, Began, Chat, Choice, Flow, User
from bot.control.facts import Answer as Replied
from bot.control.facts import Answered
from bot.control.policy import Policy
from bot.control.state import (
    Conversation,
    Holder,
    Integration,
    Opening,
    OpeningKind,
    Purpose,
    Run,
    RunStatus,
    Who,
)
from bot.engine.context import Context
from bot.engine.delivery import Clients, Delivery, Result, Task
from bot.engine.flow_task import FlowTask
from bot.engine.session import Session
from bot.engine.slots import Slots
from bot.flows.catalogue import Catalogue
from bot.flows.turn import Turn, TurnContext
from bot.store.interface import Change, JournalEntry, Lease, Store, StoredEvent, Work

STEPS = 20
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHOICES = [Choice("Yes", "yes"), Choice("No", "no")]
BOT = Integration("me", "bot", "custom")
ROUNDS = 400  # of one turn each, so that the best of them was not disturbed


async def _looked_up(number: int) -> dict[str, int]:
    return {"number": number}


async def talks(chat: Chat) -> None:
    """Seven rounds of say, call and ask: 7 + 7 + 2 * 7 = 28 entries; the turn under test begins with the twentieth."""
    for number in range(7):
        await chat.say(f"Line {number} of a flow that talks about this and that.")
        found = await chat.call(_looked_up, number)
        await chat.ask(f"Shall I go on with number {found['number']}?", choices=CHOICES)


async def bare(said: list[Any], journal: Sequence[Any]) -> None:
    """The same number of awaits, answers taken from a list, and messages made, without any journal."""

    async def step(content: Any) -> Any:
        said.append(content)
        return content

    for number in range(7):
        if 4 * number >= len(journal):
            return
        await step({"type": "text", "text": f"Line {number} of a flow that talks about this and that."})
        found = await step(await _looked_up(number))
        actions = [{"type": "reply", "text": choice.text, "payload": choice.payload} for choice in CHOICES]
        await step({"type": "text", "text": f"Shall I go on with number {found['number']}?", "actions": actions})
        await step({"text": "Yes", "payload": "yes"})


@dataclass
class Still:
    """A clock that stands still."""

    at: datetime = NOW

    def now(self) -> datetime:
        """Now."""
        return self.at


def journal_of(steps: int) -> list[JournalEntry]:
    """The journal of that flow after so many steps, the last of which asks."""
    entries = [JournalEntry(1, 0, "began", "talks", {"began": {"kind": "message", "text": "hi"}, "user": {"id": "u"}})]
    number = 0
    until = (NOW + timedelta(hours=1)).isoformat()
    message = {"id": "m", "author": {"type": "user"}, "content": {"type": "text", "text": "Yes", "payload": "yes"}}
    said = {"text": "Yes", "payload": "yes", "message": message, "choice": {"text": "Yes", "payload": "yes"}}
    while len(entries) <= steps:
        kinds: list[tuple[str, str, Any]] = [
            ("say", "", None),
            ("call", "_looked_up", {"result": {"number": number}}),
            ("ask", "", {"until": until}),
            ("answer", "", {"event": f"a{number}", **said}),
        ]
        entries += [JournalEntry(1, len(entries) + at, *kind) for at, kind in enumerate(kinds)]
        number += 1
    return entries[:steps]


def _event(number: int) -> StoredEvent:
    active = b'{"id":"me","name":"bot","integrationId":"i","integrationType":"custom"}'
    body = (
        b'{"id":"e%d","createdAt":"2026-03-01T12:00:00.000Z","type":"conversation:message","payload":{"conversation":'
        b'{"id":"c1","type":"personal","activeSwitchboardIntegration":%s},"message":{"id":"m%d","received":'
        b'"2026-03-01T12:00:00.000Z","author":{"type":"user","userId":"u","displayName":"Sam"},"content":{"type":"text",'
        b'"text":"Yes","payload":"yes"},"source":{"type":"web"}}}}' % (number, active, number)
    )
    return StoredEvent(f"e{number}", "c1", "conversation:message", body, NOW)


class NoStore:
    """A database that does nothing."""

    async def save(self, lease: Lease, change: Change, now: datetime) -> None:
        """Nothing."""

    async def fetch(self, lease: Lease) -> list[StoredEvent]:
        """Nothing."""
        return []


class NoDelivery(Delivery):
    """An API that takes everything at once."""

    async def deliver(self, conversation_id: str, task: Task, wanted: Callable[[], bool] = lambda: True) -> Result:
        """Done."""
        return Result("said", Answered(task.effect.effect_id, Replied.ACCEPTED))


def _work(journal: Sequence[JournalEntry]) -> Work:
    run = Run(
        id=1,
        purpose=Purpose.OPENING,
        opening=Opening(OpeningKind.MESSAGE, "e0"),
        began=NOW,
        status=RunStatus.WAITING,
        since=NOW,
        deadline=NOW + timedelta(hours=1),
        wants_input=True,
        until=NOW + timedelta(hours=1),
    )
    holder = Holder(Who.BOT, BOT, NOW - timedelta(minutes=1), certain=True, how="a read")
    state = Conversation("c1", holder=holder, run=run, serial=50)
    return Work(Lease("c1", "me", 1, NOW + timedelta(minutes=1)), state, events=[_event(1)], journal=journal)


async def _nothing(*_: object) -> Any:
    """No history is read."""


def _turn(journal: Sequence[JournalEntry]) -> Callable[[], Coroutine[Any, Any, int]]:
    known = Flow("talks", talks)
    answer = Answer("Yes", "yes", {"id": "m", "content": {"type": "text", "text": "Yes"}})
    run = cast("Run", _work(journal).state.run)

    async def played() -> int:
        over = asyncio.Event()
        began = Began("message", "hi", user=User("u"))
        given = {"e9": answer}
        context = TurnContext("c1", 1, began, journal, given, Still(), timedelta(minutes=15), _nothing)
        turn = Turn(known, context, over.set)
        performance = FlowTask(run, turn)
        while turn.outcome is None:
            await over.wait()
            over.clear()
        entries, _ = turn.take()
        performance.cut_off()
        return len(entries)

    return played


def _session(journal: Sequence[JournalEntry]) -> Callable[[], Coroutine[Any, Any, int]]:
    clients = Clients(None, None)
    clock = Still()
    catalogue = Catalogue({"talks": Flow("talks", talks)}, "talks")
    policy = replace(Policy("me"), closes=False)
    context = Context(cast("Store", NoStore()), clients, policy, catalogue, clock, "me")
    delivery = NoDelivery(clients, clock)
    work = _work(journal)

    async def played() -> int:
        session = Session(context, delivery, work, Slots(1))
        await session.run()
        return len(session._progress.journal) - len(journal)

    return played


async def _best(make: Callable[[], Coroutine[Any, Any, Any]]) -> float:
    """Seconds for one, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await make()
        best = min(best, time.perf_counter() - began)
    return best


async def _measure() -> dict[str, float]:
    journal = journal_of(STEPS)
    turn, session = _turn(journal), _session(journal)
    assert await turn() == await session() == 4, "the turn takes an answer, says, calls and asks"

    async def in_a_task() -> None:
        await asyncio.create_task(bare([], journal))

    return {"bare": await _best(in_a_task), "turn": await _best(turn), "session": await _best(session)}


def measure() -> Mapping[str, float]:
    """Seconds that each takes."""
    return asyncio.run(_measure())


if __name__ == "__main__":
    seconds = measure()
    for name, value in seconds.items():
        sys.stdout.write(f"{name:8} {1e6 * value:8.1f} µs   {value / seconds['bare']:6.1f} times bare\n")
