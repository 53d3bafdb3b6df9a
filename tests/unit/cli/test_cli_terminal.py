"""What others wrote must neither steer the terminal nor forge a line, and there is one way to print."""

from __future__ import annotations

import ast
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

import bot
import webhooks
from bot import terminal
from bot.observability import configure_logs

PACKAGES = [Path(package.__file__ or "").parent for package in (bot, webhooks)]
MAY_PRINT = {"bot/terminal.py", "bot/observability/logs.py"}
"""The one place, and the logs, whose values go through `printable` as well."""

PRINTING_MODULES = ("rich", "click", "getpass.getpass", "curses", "readline", "tqdm", "colorama", "pprint", "warnings")
PRINTING_NAMES = {"print", "pprint", "breakpoint", "print_exc", "print_exception", "print_stack", "print_tb"}
TYPER_PRINTING = {"echo", "secho", "echo_via_pager", "prompt", "confirm", "style", "progressbar", "get_text_stream"}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__", "displayhook", "excepthook"}

HOSTILE = [
    ("\x1b[2J\x1b[31m", "\\x1b[2J\\x1b[31m"),
    ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    ("\x9b31m", "\\x9b31m"),
    ("one\nDone: nobody is active.", "one Done: nobody is active."),
    ("one\r\x0b\x0c\u2028\x85two", "one     two"),
    ("\u202egnp.exe", "\\u202egnp.exe"),
    ("\u2066hidden\u2069", "\\u2066hidden\\u2069"),
    ("\x00\x7f\ufeff", "\\x00\\x7f\\ufeff"),
    ("\ud83d", "\\ud83d"),
    ("\U000e0041", "\\U000e0041"),
    ("[red]closed[/red] [/] :bomb:", "[red]closed[/red] [/] :bomb:"),
]
EVERYTHING = "".join(given for given, _ in HOSTILE)


def uses_of_other_ways(source: str) -> Iterator[str]:
    """Every way to print in a module that isn't `bot.terminal`."""
    for node in ast.walk(ast.parse(source)):
        yield from _imported(node)
        match node:
            case ast.Name(id=name) if name in PRINTING_NAMES:
                yield name
            case ast.Call(func=ast.Name(id="input")):
                yield "input"
            case ast.Attribute(value=ast.Name(id="sys"), attr=attr) if attr in STREAMS:
                yield f"sys.{attr}"
            case ast.Attribute(value=ast.Name(id="typer"), attr=attr) if attr in TYPER_PRINTING:
                yield f"typer.{attr}"
            case ast.Attribute(attr=attr) if attr in PRINTING_NAMES - {"print"}:
                yield attr
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="write"), args=[ast.Constant(), *_]):
                yield "os.write"
            case ast.Constant(value="/dev/tty" | "/dev/stdout" | "/dev/stderr"):
                yield "a terminal's file"
            case _:
                pass


def _imported(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (one.name for one in names if one.name.startswith(PRINTING_MODULES))
        case ast.ImportFrom(module=str(module), names=names):
            own = {"sys": STREAMS, "typer": TYPER_PRINTING}.get(module, set())
            for one in names:
                if one.name in own or f"{module}.{one.name}".startswith(PRINTING_MODULES):
                    yield f"{module}.{one.name}"
        case _:
            pass


def test_there_is_no_other_way_to_print() -> None:
    """Neither commands nor what they call reach a terminal but through `bot.terminal`."""
    modules = {path.relative_to(package.parent): path for package in PACKAGES for path in package.rglob("*.py")}
    found = {
        str(name): uses
        for name, path in modules.items()
        if str(name) not in MAY_PRINT and (uses := [*uses_of_other_ways(path.read_text(encoding="utf-8"))])
    }
    assert len(modules) > 150
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "print('x')",
        "import rich.console",
        "from rich import print",
        "import sys; sys.stdout.write('x')",
        "from sys import stderr",
        "import typer; typer.echo('x')",
        "from typer import secho",
        "import click",
        "import traceback; traceback.print_exc()",
        "import os; os.write(1, b'x')",
        "open('/dev/tty', 'w')",
        "from pprint import pprint",
        "input('x')",
        "[*map(print, 'x')]",
    ],
)
def test_the_search_finds_each_way(source: str) -> None:
    """A check that finds nothing is worth nothing."""
    assert [*uses_of_other_ways(source)]


@pytest.mark.parametrize(("given", "shown"), HOSTILE)
def test_printable(given: str, shown: str) -> None:
    """White space becomes a space, anything else that isn't printable an escape."""
    assert terminal.printable(given) == shown
    assert terminal.printable(given).isprintable()


@pytest.mark.parametrize("kept", ["Grüße, 世界", "👨\u200d👩\u200d👧", "می\u200cخواهم", "→ ✓ e\u0301"])  # noqa: RUF001
def test_ordinary_text_stays(kept: str) -> None:
    """Whatever people write in any script."""
    assert terminal.printable(kept) == kept


class TestOutput:
    """The functions that print."""

    def test_a_call_is_a_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        """However much is in it, and wherever it goes."""
        for err in (False, True):
            terminal.say("told: ", (EVERYTHING, "red"), EVERYTHING * 20, err=err)
        for stream in capsys.readouterr():
            (only,) = stream.splitlines()
            assert only.isprintable()
            assert "[red]closed[/red]" in only

    def test_a_cell_is_a_cell(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """A cell forges no row."""
        monkeypatch.setenv("COLUMNS", "1000")
        table = terminal.Table("one", "two")
        table.row("x\nclosed y", EVERYTHING)
        table.row(terminal.line((EVERYTHING, "green")), "z")
        table.show()
        lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
        assert len(lines) == 4
        assert all(line.isprintable() for line in lines)

    def test_json_is_ascii(self, capsys: pytest.CaptureFixture[str]) -> None:
        """It is read back as it was, and steers nothing on its way."""
        terminal.say_json({EVERYTHING: EVERYTHING})
        out = capsys.readouterr().out
        assert out.isascii()
        assert not any(character in out for character in "\x1b\x9b\x07")
        assert json.loads(out) == {EVERYTHING: EVERYTHING}

    def test_questions(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """A question may quote somebody, too."""
        monkeypatch.setattr("sys.stdin", io.StringIO("yes\nan answer \n"))
        assert terminal.agreed(f"Sure? {EVERYTHING}")
        assert terminal.ask(f"Who? {EVERYTHING}") == "an answer"
        assert capsys.readouterr().out.replace("\n", "").isprintable()

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
    def test_any_encoding(self, encoding: str) -> None:
        """A terminal that lacks a character shows an escape, and the command goes on."""
        code = "from bot import terminal; terminal.say('→ Ada \\ud83d', err=True); terminal.say('→ 世')"
        environment = {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(PACKAGES[0].parent)}
        done = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", code], env=environment, capture_output=True, check=True, timeout=60
        )
        assert done.stdout.decode(encoding).strip() in ("→ 世", "\\u2192 \\u4e16")
        assert "Ada \\ud83d" in done.stderr.decode(encoding)


def test_console_logs_forge_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Values of a log line for people stay on their line; other libraries' lines do, too."""
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        configure_logs("console", "INFO")
        structlog.get_logger().warning("an_event", conversation_id=f"c1{EVERYTHING}")
        logging.getLogger("other").warning("told %s", EVERYTHING)
        lines = capsys.readouterr().err.splitlines()
    finally:
        structlog.reset_defaults()
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
