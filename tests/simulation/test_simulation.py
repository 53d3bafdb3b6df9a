"""The simulation: no world breaks the guarantee, runs are repeatable, failures shrink, planted bugs are found."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mutants import MUTANTS, ROOT, Mutant, hunt, planted

from bot.cli.simulate import breaches_of
from bot.sandbox.switches import Switches
from bot.simulation.checks import violations
from bot.simulation.play import play
from bot.simulation.scenario import Act, Incident, Scenario, draw
from bot.simulation.shrink import shrink

SEEDS_A_DAY = 200
FAILED_ONCE = tuple(int(line) for line in (Path(__file__).parent / "failed_once.txt").read_text().split())
BLOCK = 50


def block(first: int) -> dict[int, list[str]]:
    """The seeds of a block that break the guarantee, with how."""
    found = {seed: breaches_of(draw(seed)) for seed in range(first, first + BLOCK)}
    return {seed: breaches for seed, breaches in found.items() if breaches}


@pytest.mark.parametrize("first", range(0, 200, BLOCK))
def test_no_world_breaks_the_guarantee(first: int) -> None:
    """The first seeds, the same every day."""
    assert block(first) == {}


@pytest.mark.parametrize("part", range(SEEDS_A_DAY // BLOCK))
def test_no_world_of_today_breaks_the_guarantee(part: int) -> None:
    """Other seeds each day; a failure names them, and they go into `failed_once.txt`."""
    today = datetime.datetime.now(tz=datetime.UTC).date().toordinal()
    assert block(1_000_000 + today * SEEDS_A_DAY + part * BLOCK) == {}


def test_what_failed_once_holds() -> None:
    """Every seed that ever failed is played for ever."""
    found = {seed: breaches_of(draw(seed)) for seed in FAILED_ONCE}
    assert {seed: breaches for seed, breaches in found.items() if breaches} == {}


@pytest.mark.parametrize("seed", [1, 75, 527])
def test_a_seed_gives_the_same_run_every_time(seed: int) -> None:
    """Twice in this process, byte by byte."""
    assert play(draw(seed)).log == play(draw(seed)).log


@pytest.mark.parametrize("seed", [75])
def test_a_seed_gives_the_same_run_in_two_processes(seed: int) -> None:
    """Whatever the hash seed of the process."""
    command = [sys.executable, "-m", "bot", "simulate", "--log", "--first", str(seed)]
    logs = [
        subprocess.run(  # noqa: S603 - our own program
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": number}, capture_output=True, check=True
        ).stdout
        for number in ("1", "2")
    ]
    assert logs[0] == logs[1] != b""


def an_hour_of(*acts: Act, incidents: tuple[Incident, ...] = (), mode: str = "pass") -> Scenario:
    """A scenario with one conversation."""
    return replace(
        draw(0),
        switches=Switches(mode="pass" if mode == "pass" else "release"),
        mode=mode,
        keep_mode=False,
        talks=(acts,),
        incidents=incidents,
        integration_key=True,
        app_key=True,
    )


def test_the_checks_see_a_conversation_that_stays_open() -> None:
    """A record in which somebody is still active after the end is a breach, and names the conversation."""
    record = play(an_hour_of(Act(0, "user", "says", "echo"), Act(5, "user", "ends")))
    assert violations(record) == []
    (conversation_id,) = record.holders
    record.holders[conversation_id] = "switchboard-bot"
    assert any(conversation_id in breach for breach in violations(record))


def test_the_checks_see_a_message_said_twice() -> None:
    """The same words with another effect id are a breach of G4."""
    record = play(an_hour_of(Act(0, "user", "says", "finish")))
    said = next(entry for entry in record.history if entry.text.startswith("[open"))
    record.history.append(said)
    assert any(breach.startswith("G4: said 2 times") for breach in violations(record))


def test_the_checks_see_a_lost_event() -> None:
    """An event that was acknowledged and is not in the database is a breach of G4."""
    record = play(an_hour_of(Act(0, "user", "says", "finish")))
    del record.inbox[record.acknowledged[0].event["id"]]
    assert any("acknowledged event is lost" in breach for breach in violations(record))


@pytest.mark.parametrize("mode", ["release", "pass"])
def test_the_checks_take_an_event_for_a_read(mode: str) -> None:
    """What became of an unclear release is told by its event; another one, once the user wrote on, repeats nothing."""
    acts = (Act(0, "user", "says", "release"), Act(0.8, "user", "says", "release"), Act(30, "user", "ends"))
    record = play(an_hour_of(*acts, incidents=(Incident("api", "reset_after", 2),), mode=mode))
    assert [call.unclear for call in record.calls if call.path.endswith("releaseControl")] == [True, False]
    assert violations(record) == []


def test_a_failing_scenario_shrinks() -> None:
    """What does not matter for the failure is taken away."""
    large = draw(13)
    small = shrink(large, lambda scenario: any(act.what == "ends" for talk in scenario.talks for act in talk))
    assert [[act.what for act in talk] for talk in small.talks] == [["ends"]]
    assert small.incidents == ()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_planted_bug_has_its_place(mutant: Mutant, tmp_path: Path) -> None:
    """The program has not moved away under the mutants."""
    assert planted(mutant, tmp_path).is_dir()


@pytest.mark.parametrize("name", ["forget the fencing token", "let a closing flow go on for ever"])
def test_a_planted_bug_is_found(name: str) -> None:
    """Two that show at once; `python tests/simulation/mutants.py` hunts all of them."""
    (mutant,) = [mutant for mutant in MUTANTS if mutant.name == name]
    assert hunt(mutant, seeds=200) is not None
