"""The database names functions, but it can't choose what runs: only functions of the modules of FLOWS are called."""

from __future__ import annotations

import functools
import json
import os
import sys
from datetime import timedelta
from os import system
from pathlib import Path
from subprocess import run as run_program
from types import ModuleType
from typing import Any

import pytest
from flow_samples import Play, play

from bot import Chat
from bot.flows.authoring import Flow, FlowMisuse
from bot.flows.catalogue import Catalogue
from bot.flows.functions import FunctionNotFoundError, Functions

IMPORTED = (system, run_program)  # by name, as a module of flows might

MINUTE = timedelta(minutes=1)

unlocked: list[str] = []


def unlock(door: str) -> None:
    """A clean-up that a flow registers."""
    unlocked.append(door)


class Box:
    """Holds a clean-up."""

    @staticmethod
    def close() -> None:
        """Clean-up within a class."""


async def locks(chat: Chat) -> None:
    """Registers a clean-up, and waits."""
    await chat.on_end(unlock, "door")
    await chat.ask("?")


HERE = Functions([__name__])

REFUSED = [
    "os:system",
    "posix:system",
    "subprocess:run",
    "subprocess:Popen",
    "builtins:exec",
    "builtins:eval",
    "importlib:import_module",
    "webbrowser:open",
    "antigravity:fly",  # importing it opens a browser
    f"{__name__}:os.system",
    f"{__name__}:system",
    f"{__name__}:run_program",
    f"{__name__}:subprocess.run",
    f"{__name__}:functools.partial",
    f"{__name__}:unlock.__call__",
    f"{__name__}:unlock.__globals__",
    f"{__name__}:Box.__subclasses__",
    f"{__name__}:Box.mro",
    f"{__name__}:IMPORTED.0",
    f"{__name__}:sys.modules",
    "bot.flows.chat:Chat",
    "bot.store.migrations:migrate",
    f"{__name__}:",
    f":{__name__}",
    "",
    ":",
    "....:....",
    "\ud800:\0",
]


@pytest.fixture(autouse=True)
def _forget() -> None:
    unlocked.clear()


@pytest.mark.parametrize("address", REFUSED)
def test_other_functions_are_not_found(address: str) -> None:
    """Wherever they are, and however they are spelt; nothing is imported to look for them."""
    before = set(sys.modules)
    with pytest.raises(FunctionNotFoundError, match="no module of FLOWS has a function"):
        HERE.find(address)
    assert set(sys.modules) == before


def test_functions_of_flows_are_found() -> None:
    """By the address under which they were stored."""
    for function in (unlock, Box.close):
        assert HERE.find(HERE.address_of(function)) is function


def test_a_function_imported_by_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A team's own modules need not be in FLOWS; their other functions stay out of reach."""
    backend: Any = ModuleType("backend")
    source = "def cancel(): ...\ndef drop_everything(): ...\nclass Locks:\n  @staticmethod\n  def free(): ..."
    exec(source, vars(backend))  # noqa: S102 - a module that no file is needed for
    monkeypatch.setitem(sys.modules, "backend", backend)
    orders = ModuleType("orders")
    vars(orders).update(backend=backend, cancel=backend.cancel, Locks=backend.Locks)
    monkeypatch.setitem(sys.modules, "orders", orders)
    functions = Functions(["orders"])
    assert functions.find("backend:cancel") is backend.cancel
    assert functions.find(functions.address_of(backend.Locks.free)) is backend.Locks.free
    for hidden in ("backend:drop_everything", "orders:backend.drop_everything"):
        with pytest.raises(FunctionNotFoundError):
            functions.find(hidden)
    with pytest.raises(FlowMisuse, match="a module of FLOWS defines or imports by name"):
        functions.address_of(backend.drop_everything)


def test_an_object_that_raises_hides_no_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module may hold anything, such as a proxy outside of its context."""

    class Proxy:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    monkeypatch.setattr(sys.modules[__name__], "aaa", Proxy(), raising=False)
    assert HERE.find(f"{__name__}:unlock") is unlock


def test_a_partial_opens_no_module_of_the_standard_library() -> None:
    """A flow may be made of one; what defines it is then `functools`."""
    catalogue = Catalogue({"f": Flow("f", functools.partial(locks))})
    with pytest.raises(FunctionNotFoundError):
        catalogue.functions.find("functools:reduce")


def _write_row(played: Play, function: str, args: list[Any], *, named: bool = True, **more: Any) -> None:
    """Add a clean-up to the outbox, `named` in the state too, as anybody could who can write to the database."""
    connection = played.stage.store._shared
    assert connection is not None
    body = {"effect_id": f"x-{function}", "run_id": 1, "function": function, "args": args, "kwargs": {}, **more}
    connection.execute(
        "INSERT INTO outbox (effect_id, conversation_id, kind, body, created_at, attempts)"
        " SELECT ?, id, 'clean_up', ?, created_at, 0 FROM conversations",
        (body["effect_id"], json.dumps({"attempts": 3, "timeout": 30.0} | body)),
    )
    unsent = {"id": body["effect_id"], "kind": "clean_up", "run_id": 1, "since": 0, "next_attempt": 0, "tries": 3}
    connection.execute(
        "UPDATE conversations SET due_at = created_at, state = json_set(state, '$.unsent', json(?))",
        (json.dumps([unsent] if named else []),),
    )


@pytest.mark.parametrize(
    ("function", "more", "problem"),
    [
        ("os:system", {}, "no module of FLOWS has a function 'os:system'"),
        ("subprocess:getoutput", {"attempts": 10**9}, "no module of FLOWS has a function 'subprocess:getoutput'"),
        (f"{__name__}:unlock", {"timeout": -1.0}, "its timeout is out of bounds"),
        (f"{__name__}:unlock", {"timeout": "NaN"}, "its timeout is out of bounds"),
        (f"{__name__}:unlock", {"timeout": 1e300}, "its timeout is out of bounds"),
        (f"{__name__}:unlock", {"kwargs": {"wall": 1}}, "TypeError"),
    ],
)
def test_a_forged_row_costs_only_itself(tmp_path: Path, function: str, more: dict[str, Any], problem: str) -> None:
    """It is refused at once and told; the flow goes on, its own clean-up is called, and control is given up."""
    proof = tmp_path / "ran"

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("?")
        played.stage.processes[-1].kill()
        _write_row(played, function, [f"touch {proof}"], **more)
        await played.stage.start_process()
        await played.stage.wait(MINUTE)
        failed = [signal.fields["error"] for signal in played.signals if signal.event == "clean_up_failed"]
        assert failed == [problem]
        assert not proof.exists()
        assert unlocked == []
        await played.visitor.says("an answer")
        assert await played.given_up() < 5
        await played.stage.wait(MINUTE)
        assert unlocked == ["door"]

    play(script, locks)


def test_a_row_that_no_state_names_is_not_called() -> None:
    """It is finished, saying so, even where its function is one of the flow's own."""

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("?")
        played.stage.processes[-1].kill()
        _write_row(played, f"{__name__}:unlock", ["window"], named=False)
        await played.stage.start_process()
        await played.stage.wait(MINUTE)
        assert unlocked == []
        connection = played.stage.store._shared
        assert connection is not None
        (outcome,) = connection.execute("SELECT outcome FROM outbox WHERE kind = 'clean_up'").fetchone()
        assert outcome == "dropped: the state does not name it"

    play(script, locks)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("key", "os:system"),
        ("data", '{"args": ["touch nothing"], "function": "os:system", "kwargs": {}, "attempts": 1, "timeout": 5.0}'),
        ("data", '{"args": 7, "kwargs": {}, "attempts": 1, "timeout": 5.0}'),
        ("data", "[1, 2]"),
        ("data", "null"),
        ("data", '{"effect_id": "e", "run_id": 9, "attempts": "often", "unknown": true}'),
    ],
)
def test_a_forged_journal_entry_costs_only_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, column: str, value: str
) -> None:
    """The function in an entry's data doesn't count, and an entry that can't be read doesn't hold up the release."""
    monkeypatch.chdir(tmp_path)
    ran: list[Any] = []
    monkeypatch.setattr(os, "system", ran.append)

    async def script(played: Play) -> None:
        await played.visitor.says("hi")
        await played.visitor.waits_for("?")
        played.stage.processes[-1].kill()
        connection = played.stage.store._shared
        assert connection is not None
        connection.execute(f"UPDATE journal SET {column} = ? WHERE kind = 'on_end'", (value,))  # noqa: S608
        await played.stage.start_process()
        await played.visitor.ends()
        await played.closed()
        await played.stage.wait(MINUTE)
        assert ran == []
        assert len([signal for signal in played.signals if signal.event == "clean_up_failed"]) <= 1
        assert not [signal for signal in played.signals if signal.event == "session_failed"]

    play(script, locks)
