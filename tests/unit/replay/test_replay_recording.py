"""Recording beside a running bot: what is accepted is on the tape, and nothing of it ever reaches intake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.recording import Recorder
from bot.signals import Signal
from bot.tape import TapeError, read_tape
from webhooks.inbox import NewEvent, NotStoredError
from webhooks.intake import Intake
from webhooks.security import Secrets

BODY = {"webhook": {"version": "v2"}, "events": [{"id": "e1", "type": "x", "payload": {}}]}
AT = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Inbox:
    """Stores, or does not."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full

    async def add(self, events: Sequence[NewEvent]) -> None:
        if self.full:
            raise NotStoredError("full")


def intake(recorder: Recorder, *, full: bool = False) -> Intake:
    return Intake(Inbox(full=full), Secrets(["secret-of-the-webhook"]), lambda: AT, record=recorder.take)


async def test_only_what_was_accepted_is_recorded(tmp_path: Path) -> None:
    """Neither a wrong key, nor what is no delivery, nor what was not stored; and no secret."""
    path = tmp_path / "a.jsonl"
    recorder = Recorder(path)
    recorder.start()
    body = json.dumps(BODY, indent=2).encode()
    key = {"X-API-Key": "secret-of-the-webhook"}

    assert (await intake(recorder).receive(key, body)).status == 200
    assert (await intake(recorder).receive({}, body)).status == 401
    assert (await intake(recorder).receive(key, b"{")).status == 400
    assert (await intake(recorder, full=True).receive(key, body)).status == 503
    recorder.stop()

    assert [(delivery.at, delivery.body) for delivery in read_tape(path)] == [(AT, BODY)]
    assert b"secret" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


async def test_a_tape_goes_on_where_it_ended(tmp_path: Path) -> None:
    """After a restart, compressed or not."""
    for name in ("a.jsonl", "a.jsonl.gz"):
        for _ in range(2):
            recorder = Recorder(tmp_path / name)
            recorder.start()
            recorder.take(AT, json.dumps(BODY).encode())
            recorder.stop()

        assert len(list(read_tape(tmp_path / name))) == 2


async def test_a_full_disk_does_not_reach_intake() -> None:
    """The delivery is answered 200, and the tape says how many it has not got."""
    signals: list[Signal] = []
    recorder = Recorder(Path("/dev/full"), signals.append)
    recorder.start()
    answer = await intake(recorder).receive({"X-API-Key": "secret-of-the-webhook"}, json.dumps(BODY).encode())
    recorder.stop()

    assert answer.status == 200
    assert recorder.lost == 1
    assert [(signal.event, signal.fields["lost"]) for signal in signals] == [("tape_incomplete", 1)]


async def test_what_waits_is_bounded(tmp_path: Path) -> None:
    """A disk that hangs costs the tape, not the memory."""
    recorder = Recorder(tmp_path / "a.jsonl", waiting_limit=2)
    for _ in range(5):
        recorder.take(AT, b"{}")

    assert recorder.lost == 3


def test_a_tape_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    """And not found out later."""
    with pytest.raises(TapeError, match="can't be written"):
        Recorder(tmp_path / "no" / "a.jsonl").start()
