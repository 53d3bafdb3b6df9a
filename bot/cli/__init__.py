"""The command line: one file a command, loaded only when that command is called."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


class Command(NamedTuple):
    """Where a command is, and what the list of commands says of it: the summary of its own help."""

    place: str  # module:function, or module:app for a group of commands
    summary: str


COMMANDS = {
    "demo": Command(
        "demo:demo",
        "Play sixteen conversations against the bot on this machine, and show that each ended one is closed.",
    ),
    "sandbox": Command(
        "sandbox:sandbox",
        "Be the end user and the agent of a bot on this machine, and watch who has control. Until Ctrl-C.",
    ),
    "serve": Command("serve:serve", "Run the bot: takes webhooks and works on conversations, in one process."),
    "web": Command("serve:web", "Take webhooks only; a worker process works on the conversations."),
    "worker": Command("serve:worker", "Work on conversations only; a web process takes the webhooks."),
    "migrate": Command(
        "migrate:migrate",
        "Bring the database to this version's schema. Safe to run at every start, and by several processes at once.",
    ),
    "backup": Command(
        "backup:backup", "Copy the SQLite database while the bot runs. For PostgreSQL it says what to do."
    ),
    "setup": Command(
        "setup:setup",
        "Set an account up for the bot, or mend it. Exit 1: not agreed to, or not finished; 2: it can't begin.",
    ),
    "doctor": Command(
        "doctor:doctor",
        "Check settings, account, webhook and database (a row is written and removed). Exit 1: something is wrong.",
    ),
    "simulate": Command(
        "simulate:simulate",
        "Play random worlds with faults and crashes against the bot. Exit 1 if the guarantee breaks, with the seed.",
    ),
    "replay": Command(
        "replay:replay_tapes",
        "Play tapes. Exit 0: all closed; 1: something stays open or the guarantee breaks; 2: they can't be used.",
    ),
    "conversations": Command(
        "conversations:app", "What the bot holds and owes, one conversation's timeline, release by hand."
    ),
    "flows": Command("flows:app", "Who waits in which flow, and which waiting journals would not fit the code."),
    "tape": Command("tape:app", "Make tapes: recordings of webhook deliveries."),
}


def load_command(name: str) -> Any:
    """Import a command's module, and return the command."""
    module, attribute = COMMANDS[name].place.split(":")
    found = getattr(import_module(f"{__name__}.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False)
        alone.command(name)(found)
        found = alone
    return get_command(found)


class _Commands(TyperGroup):
    """The list of commands, each of which is imported when it is called."""

    def __init__(self, **attributes: Any) -> None:
        summaries = {name: TyperCommand(name, help=command.summary) for name, command in COMMANDS.items()}
        super().__init__(**attributes | {"commands": summaries})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take `--env-file` wherever it stands, but of the commands that have such an option of their own."""
        command = next((place for place, word in enumerate(args) if word in COMMANDS), len(args))
        if args[command : command + 1] not in (["setup"], ["doctor"]):
            for place in range(command, len(args)):
                if args[place] == "--env-file" or args[place].startswith("--env-file="):
                    size = 1 if "=" in args[place] else 2
                    args = [*args[place : place + size], *args[:place], *args[place + size :]]
                    break
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's
        """List each command with its whole summary."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that is called."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = load_command(args[0])
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    name="switchboard-bot",
    help="A custom bot for Zendesk messaging that guarantees that control of an ended conversation is released.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich's boxes and Markdown takes twice as long as everything else
)


@app.callback(invoke_without_command=True)
def _for_every_command(
    env_file: Annotated[Path | None, typer.Option(help="Where the settings are kept, in place of .env.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version, and end.")] = False,
) -> None:
    if version:
        from bot import terminal
        from bot.version import installed_version

        terminal.say(f"switchboard-bot {installed_version()}")
        raise typer.Exit
    if env_file is not None:
        from bot.cli.problems import refuse
        from bot.settings import EnvFile

        if not env_file.is_file():
            refuse([f"--env-file: {env_file} is not there"])
        EnvFile.path = env_file


def main() -> None:
    """Run the command line. FLOWS may name modules beside which it is run; they hide nothing that is installed."""
    if "" not in sys.path:
        sys.path.append("")
    app()
