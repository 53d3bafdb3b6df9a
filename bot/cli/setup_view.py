"""What `setup` shows: the plan, what is done, and what is left for a person."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bot.account.checks_account import app_settings
from bot.account.findings import Level
from bot.account.plan import Change
from bot.account.reading import Account
from bot.account.requirements import CONVERSATION_CONTROL
from bot.settings import ControlMode

OWN_KEY = "make an API key of the integration"
_CHOICES = {ControlMode.RELEASE: "Release control", ControlMode.PASS: "Pass control"}


class SetupView:
    """Prints it. No secret comes here.

    Args:
        console: where to.
        env_file: where the settings are kept.
    """

    def __init__(self, console: Console, env_file: Path) -> None:
        self._console = console
        self._env_file = escape(str(env_file))

    def title(self, app_id: str, base_url: str, mode: ControlMode) -> None:
        """What is set up."""
        where = f"app {escape(app_id)} at {escape(base_url)}, {mode.value} control"
        self._console.print(f"[bold]switchboard-bot setup[/bold]: {where}\n")

    def plan(self, changes: Iterable[Change], names: Iterable[str], *, makes_key: bool) -> None:
        """The plan: changes in the account, and the names of the settings that would be written."""
        lines = [(_THEIRS if change.touches_others else _OURS, escape(change.sentence)) for change in changes]
        if makes_key:
            lines.append((_OURS, OWN_KEY))
        settings = ", ".join(sorted(names))
        if not lines and not settings:
            self._console.print("[green]Nothing to change.[/green]")
            return
        self._console.print("[bold]In the account[/bold]" if lines else "In the account: nothing to change")
        self._list(lines)
        if any(mark == _THEIRS for mark, _ in lines):
            self._list([("", f"[dim]{_THEIRS} changes what somebody else has made or chosen[/dim]")])
        if settings:
            self._console.print(f"[bold]In {self._env_file}[/bold]")
            self._list([(_OURS, settings)])
        self._console.print()

    def done(self, sentence: str) -> None:
        """Something was done."""
        self._list([("[green]done[/green]", escape(sentence))])

    def written(self, names: Iterable[str]) -> None:
        """Settings were written."""
        self._list([("[green]done[/green]", f"write {', '.join(sorted(names))} into {self._env_file}")])

    def left(self, account: Account, mode: ControlMode) -> None:
        """What only a person can do."""
        paths = [finding.todo for finding in app_settings(account) if finding.level is not Level.OK]
        self._console.print("\n[bold]Only you can do this[/bold]")
        self._list([("→", escape(line)) for line in (f"{CONVERSATION_CONTROL}: {_CHOICES[mode]}.", *paths)])

    def note(self, text: str) -> None:
        """Something to know."""
        self._list([("[yellow]![/yellow]", escape(text))])

    def end(self, *, was_dry: bool) -> None:
        """The last line."""
        if was_dry:
            self._console.print("\nThis was a dry run: nothing was changed.")
        else:
            self._console.print("\nNow start the bot, or restart it: [bold]switchboard-bot serve[/bold]")
            self._console.print("Then see whether all is well:     [bold]switchboard-bot doctor[/bold]")

    def _list(self, lines: Iterable[tuple[str, str]]) -> None:
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for mark, text in lines:
            table.add_row("", mark, text)
        self._console.print(table)


_OURS = "[green]+[/green]"
_THEIRS = "[yellow]![/yellow]"
