"""The output of `setup`: the plan, completed steps, and manual steps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bot import terminal
from bot.account.checks_account import app_settings
from bot.account.findings import Severity
from bot.account.plan import Change
from bot.account.reading import Account
from bot.account.requirements import CONVERSATION_CONTROL
from bot.settings import ControlMode

OWN_KEY = "create an API key for the integration"
_CHOICES = {ControlMode.RELEASE: "Release control", ControlMode.PASS: "Pass control"}


class SetupView:
    """Prints what `setup` plans and does. Never receives a secret.

    Args:
        env_file: the settings file.
    """

    def __init__(self, env_file: Path) -> None:
        self._env_file = str(env_file)

    def title(self, app_id: str, base_url: str, mode: ControlMode) -> None:
        """Print the account that is set up."""
        account = f": app {app_id} at {base_url}, {mode.value} control"
        terminal.say(("switchboard-bot setup", "bold"), account)
        terminal.say()

    def plan(self, changes: Iterable[Change], names: Iterable[str], *, makes_key: bool) -> None:
        """Print the plan: changes in the account, and names of settings to write."""
        lines = [(_THEIRS if change.touches_others else _OURS, change.sentence) for change in changes]
        if makes_key:
            lines.append((_OURS, OWN_KEY))
        settings = ", ".join(sorted(names))
        if not lines and not settings:
            terminal.say(("Nothing to change.", "green"))
            return
        if lines:
            terminal.say(("In the account", "bold"))
        else:
            terminal.say("In the account: nothing to change")
        _show(lines)
        if any(mark == _THEIRS for mark, _ in lines):
            legend = (" changes an object that others made or chose", "dim")
            _show([("", terminal.line(_THEIRS, legend))])
        if settings:
            terminal.say((f"In {self._env_file}", "bold"))
            _show([(_OURS, settings)])
        terminal.say()

    def done(self, sentence: str) -> None:
        """Print a completed step."""
        _show([(_DONE, sentence)])

    def written(self, names: Iterable[str]) -> None:
        """Print the names of written settings."""
        _show([(_DONE, f"write {', '.join(sorted(names))} to {self._env_file}")])

    def left(self, account: Account, mode: ControlMode) -> None:
        """Print what only a person can do."""
        paths = [finding.todo for finding in app_settings(account) if finding.level is not Severity.OK]
        terminal.say()
        terminal.say(("Manual steps", "bold"))
        _show([("→", todo) for todo in (f"{CONVERSATION_CONTROL}: {_CHOICES[mode]}.", *paths)])

    def note(self, text: str) -> None:
        """Print a warning."""
        _show([(_THEIRS, text)])

    def end(self, *, was_dry: bool) -> None:
        """Print the last lines."""
        terminal.say()
        if was_dry:
            terminal.say("This was a dry run: nothing was changed.")
        else:
            terminal.say("Now start or restart the bot: ", ("switchboard-bot serve", "bold"))
            terminal.say("Then check the set-up:        ", ("switchboard-bot doctor", "bold"))


def _show(lines: Iterable[tuple[terminal.Styled, terminal.Cell]]) -> None:
    table = terminal.Table()
    for mark, text in lines:
        table.row("", terminal.line(mark), text)
    table.show()


_OURS = ("+", "green")
_THEIRS = ("!", "yellow")
_DONE = ("done", "green")
