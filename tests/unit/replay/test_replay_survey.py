"""A first look at a tape: the bot on it, the mode that it shows, and its parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.control.policy import Policy
from bot.replay import run, survey
from bot.replay.result import to_json
from bot.replay.run import Setup, replay
from bot.sandbox.switchboard import BOT
from bot.tape import TapedDelivery, TapeError, read_tape, write_tape
from webhooks import wire

TAPES = Path(__file__).parent.parent.parent / "tapes"
SETUP = Setup(("bot.sandbox.demo_flows", "bot.flows.survey"), "demo", "", Policy(me=BOT, app_key=True))


def copies(*names: str, times: int) -> list[TapedDelivery]:
    """The deliveries of some tapes, several times, each time about other conversations."""
    made: list[TapedDelivery] = []
    for number in range(times):
        for place, name in enumerate(names):
            for delivery in read_tape(TAPES / f"{name}.jsonl"):
                text = wire.write_json(delivery.body).decode()
                for fixed in ("01", "02", "03"):  # the integrations
                    text = text.replace(f"0000000100000000000000{fixed}", f"integration-{fixed}")
                text = text.replace('"00000001', f'"{number + 16:04x}{place:04x}')
                made.append(TapedDelivery(delivery.at, wire.read_json(text.encode())))  # type: ignore[arg-type]
    made.sort(key=lambda delivery: delivery.at)
    return made


@pytest.mark.long
def test_parts_are_whole_conversations_and_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Played at once, in parts, or in parts by several processes: the same."""
    tape = tmp_path / "many.jsonl"
    write_tape(tape, copies("ended_mid_flow", "agent_writes", times=6))
    whole = replay([tape], SETUP, ["pass"])

    monkeypatch.setattr(survey, "PART", 20)
    monkeypatch.setattr(run, "WORTH_PROCESSES", 1)
    looked = survey.survey(tape)
    in_parts = replay([tape], SETUP, ["pass"])
    by_processes = replay([tape], SETUP, ["pass"], processes=2)

    assert len(looked.parts) == 6
    assert sum(part.events for part in looked.parts) == looked.events == whole[0].events
    assert to_json(whole) == to_json(in_parts) == to_json(by_processes)
    assert len(whole[0].lanes) == 12
    assert whole[0].closed


def test_the_bot_is_named_found_or_asked_for(tmp_path: Path) -> None:
    """A name that is never active on the tape is a mistake; what only the settings say need not fit."""
    tape = TAPES / "ended_mid_flow.jsonl"

    assert survey.survey(tape).me == BOT
    assert survey.survey(tape, likely="from-settings").me == BOT
    assert survey.survey(tape, likely="000000010000000000000001").me == "000000010000000000000001"
    with pytest.raises(TapeError, match="--me: 'somebody' is never active on it; active are: switchboard-bot, "):
        survey.survey(tape, "somebody")


def test_the_mode_is_shown_by_any_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only by the first one."""
    tape = tmp_path / "a.jsonl"
    write_tape(tape, [*read_tape(TAPES / "ended_mid_flow.jsonl"), *copies("ticket_closed_pass", times=1)])
    lines = [replace(delivery, note="") for delivery in read_tape(TAPES / "ended_mid_flow.jsonl")]
    write_tape(tape, [*lines, *copies("ticket_closed_pass", times=1)])
    monkeypatch.setattr(survey, "PART", 1)

    assert survey.survey(TAPES / "ended_mid_flow.jsonl").implied_mode is None
    assert survey.survey(tape).implied_mode == "pass"
