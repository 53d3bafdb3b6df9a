"""Secrets come from the environment or from `.env`: an option shows in the list of processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import COMMANDS, app, load_command

SECRETS = ("secret", "password", "token", "credential", "key")


def options(command: object, path: str = "") -> Iterator[tuple[str, str]]:
    """All options of all commands that take a value."""
    for name, below in getattr(command, "commands", {}).items():
        yield from options(below, f"{path} {name}")
    for parameter in getattr(command, "params", ()):
        if not getattr(parameter, "is_flag", False):
            yield from ((path, option) for option in parameter.opts)


def test_no_option_takes_a_secret() -> None:
    """Of whatever command."""
    known = [found for name in COMMANDS for found in options(load_command(name), name)]
    assert len(known) > 40
    assert [option for option in known if any(word in option[1] for word in SECRETS)] == []


@pytest.mark.parametrize(
    ("arguments", "instead"),
    [
        (["tape", "export", "TAPE", "--database-url", "postgresql://bot:hidden@db/bot"], "DATABASE_URL"),
        (["sandbox", "--database", "postgres://bot:hidden@db/bot"], "PGPASSWORD"),
    ],
)
def test_a_password_in_an_options_url_is_refused(arguments: list[str], instead: str, tmp_path: Path) -> None:
    """And not shown again."""
    arguments = [str(tmp_path / "a.jsonl") if argument == "TAPE" else argument for argument in arguments]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 2
    assert f"set {instead} instead" in told.output
    assert "hidden" not in told.output
