"""`doctor`: check settings, account, webhook and database, and say what to change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bot import terminal
from bot.account.checks import check
from bot.account.examination import examine
from bot.account.findings import Finding, Severity
from bot.app import WEBHOOK_PATH
from bot.clock import SystemClock
from bot.observability import configure_logs
from bot.settings import EnvFile, unknown_names, usable_settings


def doctor(
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print only the findings, as JSON."),
    ] = False,
    env_file: Annotated[
        Path | None,
        typer.Option(help="The settings file.", show_default=".env"),
    ] = None,
) -> None:
    """Check settings, account, webhook and database.

    Writes a row to the database and deletes it again. Exit 1: there are errors.
    """
    configure_logs("console", "ERROR")  # don't log retries
    env_file = env_file or EnvFile.path
    settings, problems = usable_settings(_env_file=env_file)
    unknown = unknown_names(env_file)
    work = examine(
        settings,
        problems,
        webhook_path=WEBHOOK_PATH,
        clock=SystemClock(),
        unknown=unknown,
    )
    facts = asyncio.run(work)
    sections = check(facts)
    findings = [finding for section in sections.values() for finding in section]
    is_well = all(finding.level is not Severity.WRONG for finding in findings)
    if as_json:
        terminal.say_json({"ok": is_well, "findings": [asdict(one) for one in findings]})
    else:
        _show(sections)
        _summarise(findings)
    if not is_well:
        raise typer.Exit(1)


def _show(sections: Mapping[str, Sequence[Finding]]) -> None:
    """Print each finding, with the action to take below it."""
    table = terminal.Table()
    for title, findings in sections.items():
        if findings:
            table.row("", "", "")
            table.row("", terminal.line((title, "bold")), "")
        for finding in findings:
            level = terminal.line((finding.level.value, _COLOURS[finding.level]))
            table.row(level, finding.name.replace("_", " "), finding.what)
            if finding.todo:
                table.row("", "", terminal.line((f"→ {finding.todo}", "bold")))
    table.show()


def _summarise(findings: Sequence[Finding]) -> None:
    levels = [finding.level for finding in findings]
    count = {level: levels.count(level) for level in Severity}
    warnings = f", {_counted(count[Severity.WARN], 'warning')}" if count[Severity.WARN] else ""
    terminal.say()
    if count[Severity.WRONG]:
        errors = _counted(count[Severity.WRONG], "error")
        terminal.say((errors, "bold red"), f"{warnings}, {count[Severity.OK]} ok.")
    else:
        terminal.say(("No errors", "bold green"), f"{warnings}.")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_COLOURS = {Severity.OK: "green", Severity.WARN: "yellow", Severity.WRONG: "bold red"}
