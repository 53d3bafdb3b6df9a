"""The list of commands, and what a command loads."""

from __future__ import annotations

import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import COMMANDS, app, load_command
from bot.settings import EnvFile, Settings

REHEARSAL = ("bot.sandbox", "bot.replay", "bot.simulation", "bot.testing")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    assert COMMANDS[name].summary in " ".join(load_command(name).help.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_found_by_its_name(name: str) -> None:
    done = CliRunner().invoke(app, [name, "--help"], prog_name="switchboard-bot")
    assert done.exit_code == 0
    assert f"switchboard-bot {name}" in done.output


def test_the_list_shows_them_all() -> None:
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    assert [name for name in COMMANDS if f"  {name} " not in done.output] == []
    shown = " ".join(done.output.split())
    assert [command.summary for command in COMMANDS.values() if command.summary not in shown] == []


def test_the_list_is_quick() -> None:
    """A quarter of a second of the processor's time, at most (the best of five: others are at work here, too)."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "bot", "--help"], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) <= 0.25


def test_the_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"switchboard-bot {version('switchboard-bot')}\n")


def test_a_name_that_is_nearly_right() -> None:
    done = CliRunner().invoke(app, ["serv"])
    assert done.exit_code == 2
    assert "Did you mean 'serve'?" in done.output


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, with no settings of the machine, and a file of settings that names a database."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(EnvFile, "path", EnvFile.path)  # undone afterwards
    (tmp_path / "prod.env").write_text("DATABASE_URL='sqlite:///prod.db'\n")
    return tmp_path


def test_migrating_needs_the_database_alone(place: Path) -> None:
    done = CliRunner().invoke(app, ["migrate"], env={"DATABASE_URL": " sqlite:///alone.db\n"})
    assert (done.exit_code, (place / "alone.db").exists()) == (0, True), done.output
    assert CliRunner().invoke(app, ["migrate"], env={"DATABASE_URL": "mysql://x"}).exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["--env-file", "prod.env", "migrate"],
        ["migrate", "--env-file", "prod.env"],
        ["migrate", "--env-file=prod.env"],
    ],
)
def test_every_command_takes_another_file_of_settings(place: Path, words: list[str]) -> None:
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, (place / "prod.db").exists()) == (0, True), done.output
    listed = CliRunner().invoke(app, ["conversations", "list", "--env-file", "prod.env"])
    assert listed.exit_code == 0, listed.output


@pytest.mark.parametrize("words", [["--env-file", "prod.env", "doctor"], ["doctor", "--env-file", "prod.env"]])
def test_doctor_reads_it_on_either_side(place: Path, words: list[str]) -> None:
    (place / "prod.env").write_text("PORT=none-at-all\n")
    assert "PORT: none-at-all is not valid" in CliRunner().invoke(app, [*words, "--json"]).output


@pytest.mark.parametrize("command", ["migrate", "serve", "replay"])
def test_a_file_of_settings_that_is_not_there(place: Path, command: str) -> None:
    done = CliRunner().invoke(app, [command, "--env-file", "none.env"])
    assert done.exit_code == 2
    assert done.output == "--env-file: none.env does not exist\n"


@pytest.mark.parametrize(
    ("work", "unwanted"),
    [
        ("from bot.cli import app; app(['--help'], standalone_mode=False)", ("bot.settings", "aiohttp", *REHEARSAL)),
        ("from bot.cli import load_command; load_command('serve')", REHEARSAL),
    ],
    ids=["help", "serve"],
)
def test_nothing_is_loaded_for_other_commands(work: str, unwanted: tuple[str, ...]) -> None:
    told = f"import sys; {work}; print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)  # noqa: S603
    loaded = done.stdout.rpartition("loaded ")[2].split()
    assert "bot.cli" in loaded
    assert [name for name in loaded if name.startswith(unwanted)] == []
