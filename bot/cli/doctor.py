"""`doctor`: says what is wrong with settings, account, webhook and database, and what to do."""

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
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON, and nothing else.")] = False,
    env_file: Annotated[Path | None, typer.Option(help="Where the settings are kept.", show_default=".env")] = None,
) -> None:
    """Check settings, account, webhook and database (a row is written and removed). Exit 1: something is wrong."""
    configure_logs("console", "ERROR")  # what is tried again is no line of its own
    env_file = env_file or EnvFile.path
    settings, problems = usable_settings(_env_file=env_file)
    unknown = unknown_names(env_file)
    work = examine(settings, problems, webhook_path=WEBHOOK_PATH, clock=SystemClock(), unknown=unknown)
    facts = asyncio.run(work)
    sections = check(facts)
    findings = [finding for section in sections.values() for finding in section]
    is_well = all(finding.level is not Severity.WRONG for finding in findings)
    if as_json:
        terminal.say_json({"ok": is_well, "findings": [asdict(one) for one in findings]})
    else:
        _show(sections)
        _sum_up(findings)
    if not is_well:
        raise typer.Exit(1)


def _show(sections: Mapping[str, Sequence[Finding]]) -> None:
    """Show each finding as a line, and below it what to do."""
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


def _sum_up(findings: Sequence[Finding]) -> None:
    count = {level: sum(finding.level is level for finding in findings) for level in Severity}
    know = f", {count[Severity.WARN]} to know" if count[Severity.WARN] else ""
    terminal.say()
    if count[Severity.WRONG]:
        terminal.say((f"{count[Severity.WRONG]} wrong", "bold red"), f"{know}, {count[Severity.OK]} ok.")
    else:
        terminal.say(("Nothing is wrong", "bold green"), f"{know}.")


_COLOURS = {Severity.OK: "green", Severity.WARN: "yellow", Severity.WRONG: "bold red"}
