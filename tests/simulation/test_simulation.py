"""The simulation: no world breaks the guarantee, runs are repeatable, failures shrink, planted bugs are found."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mutants import ROOT, hunt
from planted import BUGS
from tiers import some
from typer.testing import CliRunner

from bot import terminal
from bot.cli import app
from bot.cli import simulate as command
from bot.cli.simulate import breaches_of
from bot.sandbox.switches import Switches
from bot.simulation.checks import violations
from bot.simulation.play import play
from bot.simulation.scenario import Act, Incident, Scenario, draw, plain
from bot.simulation.shrink import shrink

SEEDS_A_DAY = 1000
FAILED_ONCE = tuple(int(line) for line in (Path(__file__).parent / "failed_once.txt").read_text().split())
BLOCK = 10


def block(first: int) -> dict[int, list[str]]:
    """The seeds of a block that break the guarantee, with how."""
    found = {seed: breaches_of(draw(seed)) for seed in range(first, first + BLOCK)}
    return {seed: breaches for seed, breaches in found.items() if breaches}


@pytest.mark.parametrize("first", some(range(0, 200, BLOCK)))
def test_no_world_breaks_the_guarantee(first: int) -> None:
    """The first seeds, the same every day."""
    assert block(first) == {}


@pytest.mark.long
@pytest.mark.parametrize("part", range(SEEDS_A_DAY // BLOCK))
def test_no_world_of_today_breaks_the_guarantee(part: int) -> None:
    """Play different seeds each day; add those that fail to `failed_once.txt`."""
    today = datetime.datetime.now(tz=datetime.UTC).date().toordinal()
    assert block(1_000_000 + today * SEEDS_A_DAY + part * BLOCK) == {}


def either_way(scenario: Scenario) -> tuple[Scenario, ...]:
    """A scenario with ends that users' clocks date, and with ends that the platform's dates."""
    outside = scenario.outside
    return tuple(replace(scenario, outside=replace(outside, platform_dates_ends=one)) for one in (False, True))


@pytest.mark.parametrize("seeds", some([FAILED_ONCE[:4], FAILED_ONCE[4:]]), ids=["four", "others"])
def test_what_failed_once_holds(seeds: tuple[int, ...]) -> None:
    """Every seed that ever failed is played for ever, also as it was before worlds became richer."""
    scenarios = {scenario for seed in seeds for scenario in (*either_way(draw(seed)), plain(seed))}
    found = {str(scenario.to_json()): breaches_of(scenario) for scenario in scenarios}
    assert {scenario: breaches for scenario, breaches in found.items() if breaches} == {}


@pytest.mark.parametrize("seed", [1, 75, 527])
def test_a_seed_gives_the_same_run_every_time(seed: int) -> None:
    """Twice in this process, byte by byte."""
    assert play(draw(seed)).log == play(draw(seed)).log


@pytest.mark.long
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


@pytest.mark.parametrize("arguments", [[], ["--first-failure"]])
def test_the_number_of_jobs_changes_nothing(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the verdict nor the output, whichever process is done first."""
    monkeypatch.setattr(command, "CHUNK", 2)
    monkeypatch.setattr(command, "breaches_of", lambda scenario: ["G1: a breach"] if scenario.seed in (5, 9) else [])
    monkeypatch.setattr(command, "_explain", lambda seed, _: terminal.say(f"explained {seed}"))
    told = {
        jobs: CliRunner().invoke(app, ["simulate", "--seeds", "12", "--jobs", jobs, *arguments]) for jobs in ("1", "3")
    }
    assert {result.exit_code for result in told.values()} == {1}
    assert told["1"].stdout == told["3"].stdout
    assert "seed 5" in told["1"].stdout or "explained 5" in told["1"].stdout


def test_every_planted_bug_has_its_place() -> None:
    """The program has not moved away under the bugs. Planted in a process of its own."""
    code = "import planted; [plant() for plant in planted.BUGS.values()]; print(len(planted.BUGS))"
    paths = f"{ROOT}:{Path(__file__).parent}"
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(len(BUGS)), done.stderr


def test_the_page_counts_the_planted_bugs() -> None:
    """docs/replay.md tells how many there are."""
    assert f"{len(BUGS)} deliberate bugs" in (ROOT / "docs" / "replay.md").read_text(encoding="utf-8")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", some(["acknowledge before the commit", "forget the fencing token"]))
def test_a_planted_bug_is_found(name: str) -> None:
    """Two that show soon; `python tests/simulation/mutants.py` hunts all of them."""
    assert hunt(name, seeds=200).seed is not None
