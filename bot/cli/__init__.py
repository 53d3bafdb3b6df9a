"""The command line: one file a command."""

from __future__ import annotations

import sys

import typer

from bot.cli import conversations, demo, doctor, migrate, replay, sandbox, serve, setup, simulate, tape

app = typer.Typer(
    name="switchboard-bot",
    help="A custom bot for Zendesk messaging that guarantees that control of an ended conversation is released.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("sandbox")(sandbox.sandbox)
app.command("serve")(serve.serve)
app.command("web")(serve.web)
app.command("worker")(serve.worker)
app.command("migrate")(migrate.migrate)
app.command("setup")(setup.setup)
app.command("doctor")(doctor.doctor)
app.command("simulate")(simulate.simulate)
app.command("replay")(replay.replay_tapes)
app.add_typer(conversations.app, name="conversations")
app.add_typer(tape.app, name="tape")


def main() -> None:
    """Run the command line. FLOWS may name modules beside which it is run."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    app()
