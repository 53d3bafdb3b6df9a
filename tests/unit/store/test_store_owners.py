"""Names of workers: who is certainly dead, and who only may be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from bot.store import owners
from bot.store.owners import is_certainly_dead, new_owner

_NAME = "from bot.store.owners import new_owner; print(new_owner(), flush=True); input()"

pytestmark = pytest.mark.skipif(not owners._machine(), reason="there is no telling on this system")


def test_names_differ() -> None:
    """Also within a process."""
    assert new_owner() != new_owner()


def test_who_lives_is_not_dead() -> None:
    """Neither this process nor one that stands still."""
    assert not is_certainly_dead(new_owner())
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", _NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        name = process.stdout.readline().strip()
        process.send_signal(signal.SIGSTOP)
        assert not is_certainly_dead(name)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_certainly_dead(name), "nobody has asked for its exit code, but it is dead"
    assert is_certainly_dead(name)


@pytest.mark.parametrize("change", [{1: "another"}, {1: ""}, {3: ""}, {2: "x"}])
def test_nothing_is_certain_of_others(change: dict[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of another machine, and not where something is not known."""
    monkeypatch.setattr(owners, "_started", lambda _: "")
    parts = ["host", owners._machine(), "1", "5", "x"]
    assert is_certainly_dead(":".join(parts))
    assert not is_certainly_dead(":".join(change.get(place, part) for place, part in enumerate(parts)))


@pytest.mark.parametrize("name", ["", "w1", "host:77:abc", "a:b:c:d:e:f"])
def test_nothing_is_certain_of_other_names(name: str) -> None:
    """Whatever another version may have called itself."""
    assert not is_certainly_dead(name)


def test_another_process_of_the_same_number() -> None:
    """Numbers are used again; start times are not."""
    host, machine, pid, started, token = new_owner().split(":")
    assert is_certainly_dead(":".join((host, machine, pid, f"{int(started) - 1}", token)))


def test_who_is_not_seen_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc may hide the processes of other users (hidepid); whether there is one can be asked all the same."""
    monkeypatch.setattr(owners, "_PROC", owners._PROC / "no-such-folder")
    host, machine, _, started, token = new_owner().split(":")
    living = ":".join((host, machine, str(os.getpid()), started or "5", token))
    assert not is_certainly_dead(living)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert is_certainly_dead(":".join((host, machine, str(process.pid), "5", token)))
    assert not is_certainly_dead(":".join((host, machine, "9" * 30, "5", token))), "no number of a process"
