"""`doctor`: says what is wrong with settings, account, webhook and database, and what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bot.account.checks import check
from bot.account.examination import examine
from bot.account.findings import Finding, Level
from bot.app import WEBHOOK_PATH
from bot.clock import SystemClock
from bot.observability import configure_logs
from bot.settings import usable_settings


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON, and nothing else.")] = False,
    env_file: Annotated[Path, typer.Option(help="Where the settings are kept.")] = Path(".env"),
) -> None:
    """Check settings, account, webhook and database. Changes nothing. Exit 1: something is wrong."""
    configure_logs("console", "ERROR")  # what is tried again is no line of its own
    settings, problems = usable_settings(_env_file=env_file)
    facts = asyncio.run(examine(settings, problems, webhook_path=WEBHOOK_PATH, clock=SystemClock()))
    sections = check(facts)
    findings = [finding for section in sections.values() for finding in section]
    is_well = all(finding.level is not Level.WRONG for finding in findings)
    if as_json:
        typer.echo(json.dumps({"ok": is_well, "findings": [asdict(one) for one in findings]}, indent=2))
    else:
        console = Console(highlight=False)
        show(sections, console)
        _sum_up(findings, console)
    if not is_well:
        raise typer.Exit(1)


def show(sections: Mapping[str, Sequence[Finding]], console: Console) -> None:
    """A line for each finding, and below it what to do."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for title, findings in sections.items():
        if findings:
            table.add_row()
            table.add_row("", f"[bold]{title}[/bold]")
        for finding in findings:
            colour = _COLOURS[finding.level]
            todo = f"\n[bold]→ {escape(finding.todo)}[/bold]" if finding.todo else ""
            name = finding.name.replace("_", " ")
            table.add_row(f"[{colour}]{finding.level.value}[/{colour}]", name, f"{escape(finding.what)}{todo}")
    console.print(table)


def _sum_up(findings: Sequence[Finding], console: Console) -> None:
    count = {level: sum(finding.level is level for finding in findings) for level in Level}
    know = f", {count[Level.WARN]} to know" if count[Level.WARN] else ""
    if count[Level.WRONG]:
        console.print(f"\n[bold red]{count[Level.WRONG]} wrong[/bold red]{know}, {count[Level.OK]} ok.")
    else:
        console.print(f"\n[bold green]Nothing is wrong[/bold green]{know}.")


_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.WRONG: "bold red"}
