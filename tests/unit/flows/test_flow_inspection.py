"""Flows that can't work are found before anybody writes, each with what to write instead."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.flows.inspection import inspected

Write = Callable[[str], str]


def problems_of(*named: Any) -> list[str]:
    """What keeps the flows from working."""
    return inspected(*named)[1]


GOOD = """
@flow("greet")
async def greet(chat: Chat) -> None:
    await chat.say("Hi")
"""

ROUTER = """
@router
def choose(began, purpose):
    return greet
"""


WRAPPED = """
import functools

def plain(function):
    @functools.wraps(function)
    def run(*args):
        return function(*args)
    return run

@flow("greet")
@plain
async def greet(chat):
    pass
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module of flows, and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def written(source: str) -> str:
        monkeypatch.delitem(sys.modules, "inspected_flows", raising=False)
        (tmp_path / "inspected_flows.py").write_text(f"from bot import Chat, flow, router\n{source}")
        return "inspected_flows"

    return written


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('@flow("greet")\ndef greet(chat):\n    pass', ["is not async", "write `async def greet(chat)`"]),
        ('@flow("greet")\nasync def greet():\n    pass', ["must take one argument", "`async def greet(chat)`"]),
        ('@flow("greet")\nasync def greet(chat, more):\n    pass', ["must take one argument"]),
        ('@flow("greet")\nasync def greet(chat):\n    yield 1', ["`yield`", "`await chat.say(…)`"]),
        ("@flow\nasync def greet(chat):\n    pass", ["above greet", '@flow("greet")']),
        (f"{GOOD}{GOOD.replace('def greet', 'def other')}", ["two flows are named 'greet'"]),
        (GOOD.replace("await chat", "chat"), ["inspected_flows.py:5", "write `await chat.say(…)`"]),
        (
            GOOD.replace('await chat.say("Hi")', "chat.call(len, [])"),
            ["inspected_flows.py:5", "write `await chat.call("],
        ),
        (GOOD.replace('await chat.say("Hi")', "chat.call_with(attempts=3)(len, [])"), ["`await chat.call_with(…)`"]),
        (
            f"{GOOD}\nasync def part(talk: 'Chat'):\n    if talk:\n        talk.ask('Who?')",
            ["inspected_flows.py:9", "`await talk.ask(…)`"],
        ),
    ],
)
def test_each_is_one_line(source: str, words: list[str], write: Write) -> None:
    """With the flow or the place."""
    (problem,) = problems_of([write(source)], "greet", "")
    assert "\n" not in problem
    for word in words:
        assert word in problem


@pytest.mark.parametrize(
    "source",
    [
        GOOD,
        WRAPPED,
        'class Greets:\n    async def __call__(self, chat):\n        pass\ngreet = flow("greet")(Greets())',
        'import asyncio\n@flow("greet")\nasync def greet(chat, more=1):\n    asyncio.ensure_future(chat.say("x"))',
    ],
)
def test_what_can_work_is_fine(source: str, write: Write) -> None:
    """Also where it is written in another way."""
    assert problems_of([write(source)], "greet", "") == []


def test_several_at_once(write: Write) -> None:
    """All of them, so that nobody has to start the bot again and again."""
    source = '@flow("a")\ndef a(chat):\n    pass\n@flow("b")\nasync def b():\n    pass'
    assert len(problems_of([write(source)], "a", "b")) == 2
    assert len(problems_of(["no_such_module_anywhere", "my_flows.py"], "a", "")) == 2


@pytest.mark.parametrize(
    ("given", "module"), [("my_flows.py", "my_flows"), ("./team/flows.py", "team.flows"), ("team/flows", "team.flows")]
)
def test_a_file_is_no_module(given: str, module: str) -> None:
    """What to write is said."""
    assert problems_of([given], "", "") == [
        f"FLOWS: {given!r} is a file: write the module's name, {module}, and start the bot beside it"
    ]


def test_a_router_wins(write: Write) -> None:
    """A flow that is set beside it would never open; a default is none of anybody's choice."""
    name = write(GOOD + ROUTER)
    assert problems_of([name], "greet", "", frozenset({"flows", "opening_flow"})) == [
        "OPENING_FLOW: the router of FLOWS overrides it. Remove one of them."
    ]
    assert problems_of([name], "triage", "", frozenset({"flows"})) == []
    assert inspected([name], "triage", "", frozenset({"flows"}))[0].opens


def test_flows_that_nothing_opens(write: Write) -> None:
    """The names to choose from are listed. A closing flow alone is fine."""
    name = write(GOOD)
    assert problems_of([name], "", "", frozenset({"flows"})) == [
        "OPENING_FLOW: is not set, so no flow of FLOWS would ever run. Set it to one of: greet"
    ]
    assert problems_of([name], "", "greet", frozenset({"flows"})) == []
    assert problems_of([name], "", "") == []
    assert problems_of([name], "nope", "")[0].startswith("OPENING_FLOW: there is no flow 'nope'")


def test_the_flows_of_the_bot_are_fine() -> None:
    """Those that it brings along."""
    assert problems_of(["bot.flows.triage", "bot.flows.survey", "bot.flows.assistant"], "triage", "survey") == []
