"""The command line: one module per command, imported on demand."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


class Command(NamedTuple):
    """A command's location, and its summary for the list of commands.

    Attributes:
        place: `module:function`, or `module:app` for a group of commands.
        summary: the first line of the command's own help.
    """

    place: str
    summary: str


COMMANDS = {
    "demo": Command(
        "demo:demo",
        "Play sixteen conversations on this machine and show that each one closes.",
    ),
    "sandbox": Command(
        "sandbox:sandbox",
        "Be the end user and the agent of a bot on this machine. Stop with Ctrl-C.",
    ),
    "serve": Command("serve:serve", "Run the bot: web server and worker in one process."),
    "web": Command("serve:web", "Receive webhooks only; run workers in other processes."),
    "worker": Command("serve:worker", "Process conversations only; run a web process for webhooks."),
    "migrate": Command("migrate:migrate", "Migrate the database to this version's schema."),
    "backup": Command("backup:backup", "Copy the SQLite database while the bot runs."),
    "setup": Command("setup:setup", "Set up an account for the bot, or repair its set-up."),
    "doctor": Command("doctor:doctor", "Check settings, account, webhook and database."),
    "simulate": Command(
        "simulate:simulate",
        "Play random worlds with faults and crashes against the bot.",
    ),
    "replay": Command("replay:replay_tapes", "Replay tapes against the bot in virtual time."),
    "conversations": Command(
        "conversations:app",
        "List conversations, show a timeline, release control by hand.",
    ),
    "flows": Command(
        "flows:app",
        "List waiting flows, and check their journals against the code.",
    ),
    "tape": Command("tape:app", "Make tapes: recordings of webhook deliveries."),
}


def load_command(name: str) -> Any:
    """Import a command's module and return the command."""
    module, attribute = COMMANDS[name].place.split(":")
    found = getattr(import_module(f"{__name__}.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False)
        alone.command(name)(found)
        found = alone
    return get_command(found)


class _Commands(TyperGroup):
    """The list of commands. Imports a command when it is called."""

    def __init__(self, **attributes: Any) -> None:
        summaries = {name: TyperCommand(name, help=command.summary) for name, command in COMMANDS.items()}
        super().__init__(**attributes | {"commands": summaries})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Accept `--env-file` in any position, except for commands with their own option."""
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
        """Load the called command."""
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
    env_file: Annotated[Path | None, typer.Option(help="Settings file to use instead of .env.")] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
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
            refuse([f"--env-file: {env_file} does not exist"])
        EnvFile.path = env_file


def main() -> None:
    """Run the command line.

    FLOWS may name modules in the current directory. It comes last in `sys.path`, so that they
    hide no installed module.
    """
    if "" not in sys.path:
        sys.path.append("")
    app()
