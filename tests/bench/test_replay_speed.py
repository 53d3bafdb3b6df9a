"""A long tape is played at the speed of Python, and in memory that does not grow with it."""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot.control.policy import Policy
from bot.replay.run import Setup, replay
from bot.sandbox.switchboard import BOT
from bot.tape import TapedDelivery, read_tape, tape_line

TAPES = Path(__file__).parents[1] / "tapes"
STORIES = (
    "ended_mid_flow",
    "ticket_closed_pass",
    "flow_complete_pass",
    "ended_with_agent_kept",
    "handed_back_after_end",
    "abandoned_pass",
)
SETUP = Setup(
    ("bot.sandbox.demo_flows", "bot.flows.survey"), "demo", "survey", Policy(me=BOT, app_key=True), detail=False
)
APART = timedelta(milliseconds=700)
LEAST = 100
"""Events a second of processor time, on one core: a machine that is shared does a fifth of what it could."""


def long_tape(path: Path, events: int) -> int:
    """Write a tape on which the kept stories happen again and again to others, overlapping; returns how many events."""
    stories = [[(one.at, json.dumps(one.body)) for one in read_tape(TAPES / f"{name}.jsonl")] for name in STORIES]
    made: list[tuple[datetime, str]] = []
    count = number = 0
    while count < events:
        for at, text in stories[number % len(stories)]:
            made.append((at + APART * number, _of_others(text, number)))
            count += text.count('"createdAt"')
        number += 1
    made.sort()
    with path.open("wb") as file:
        for at, text in made:
            file.write(tape_line(TapedDelivery(at, json.loads(text))))
    return count


def _of_others(text: str, number: int) -> str:
    """A delivery about another conversation, so much later; integrations stay."""
    shift = APART * number
    body = json.loads(text.replace("0000000100000000000000", f"{number + 0x10000:08x}00000000000000"))
    for event in body["events"]:
        made = datetime.fromisoformat(event["createdAt"]) + shift
        event["createdAt"] = made.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        active = event["payload"]["conversation"].get("activeSwitchboardIntegration")
        if active:
            active["id"] = f"00000001{active['id'][8:]}"
    return json.dumps(body)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_long_tape_is_played_fast_and_in_little_memory(tmp_path: Path) -> None:
    """Three times the events take little more memory."""
    tape = tmp_path / "long.jsonl"
    events = long_tape(tape, 2600)
    began = time.process_time()
    (result,) = replay([tape], SETUP, ["pass"])
    seconds = time.process_time() - began
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    long_tape(tape, 7800)
    (longer,) = replay([tape], SETUP, ["pass"])
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

    assert result.closed
    assert longer.closed
    assert result.events == events
    assert events / seconds > LEAST, f"{events / seconds:.0f} events a second"
    assert grown < 60, f"{grown:.0f} MB more for three times the events"


if __name__ == "__main__":  # python tests/bench/test_replay_speed.py long.jsonl 100000
    print(long_tape(Path(sys.argv[1]), int(sys.argv[2])), "events")  # noqa: T201
