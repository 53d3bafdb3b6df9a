"""The only module that writes to a terminal (logs aside, which use `printable` too).

Users, agents, tapes, and the platform supply much of what the commands print. None of it may steer the terminal with
an escape sequence, reorder text, or forge a line of the bot's own. So one call prints one line, whatever is in it, and
colours are given beside the text instead of in it. Nothing else imports `rich` or calls `print`; a test enforces that.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeAlias

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table as RichTable
from rich.text import Text

WIDTH = 160  # columns of a pipe or a file, which has no width of its own
_JOINERS = "\u200c\u200d"  # not printable by themselves, but part of Persian words and of emoji

Styled: TypeAlias = str | tuple[str, str]
"""Text, or text with a style such as `bold red`."""

Cell: TypeAlias = str | Text
"""A cell of a table: text, or what `line` built."""


def printable(text: str) -> str:
    """Return the text as one harmless line: white space becomes a space, other control characters show as escapes."""
    return text if text.isprintable() else "".join(map(_printable, text))


def line(*parts: Styled) -> Text:
    """Build one line, or one cell of a table."""
    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((printable(text), style) for text, style in pairs))


def say(*parts: Styled, err: bool = False) -> None:
    """Print one line, on standard output or standard error; a blank one without arguments."""
    console = _console(err=err)
    console.print(line(*parts), soft_wrap=True)
    console.file.flush()


def say_wrapped(*parts: Styled) -> None:
    """Print a text on standard output that breaks between words where the terminal ends."""
    console = _console()
    console.print(line(*parts))
    console.file.flush()


def say_json(value: Any) -> None:
    """Print JSON in ASCII, in which no control character survives."""
    _stream(err=False).write(f"{json.dumps(value, indent=2)}\n")


class Table:
    """A table, or a grid if it has no headings: only the last column of a grid wraps.

    Args:
        headings: one per column.
        right: the headings of columns that are aligned to the right.
    """

    def __init__(self, *headings: str, right: tuple[str, ...] = ()) -> None:
        self._table = RichTable(box=box.SIMPLE_HEAD if headings else None, show_header=bool(headings), pad_edge=False)
        for heading in headings:
            self._table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")

    def row(self, *cells: Cell) -> None:
        """Add a row."""
        for place in range(len(self._table.columns), len(cells)):
            self._table.add_column(no_wrap=place < len(cells) - 1, overflow="fold")
        self._table.add_row(*(cell if isinstance(cell, Text) else line(cell) for cell in cells))

    def show(self) -> None:
        """Print it."""
        _console().print(self._table)


def width() -> int:
    """Return the columns of standard output."""
    return _console().width


def is_watched() -> bool:
    """Tell whether standard output is a terminal."""
    return sys.stdout.isatty()


def ask(question: str, *, hidden: bool = False) -> str:
    """Ask at the terminal. Ends the command where the input ends."""
    return str(typer.prompt(printable(question), hide_input=hidden)).strip()


def agreed(question: str) -> bool:
    """Ask for a yes or a no."""
    return typer.confirm(printable(question))


def can_ask(*, at_a_screen: bool = True) -> bool:
    """Tell whether a person can answer. `at_a_screen`: only where they see the question, too."""
    return sys.stdin.isatty() and (sys.stdout.isatty() or not at_a_screen)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error, if that is a terminal; yields a function of (done, total)."""
    console = _console(err=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def flush() -> None:
    """Flush both streams."""
    sys.stdout.flush()
    sys.stderr.flush()


def _printable(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode()


def _console(*, err: bool = False) -> Console:
    stream = _stream(err=err)
    has_width = stream.isatty() or "COLUMNS" in os.environ
    return Console(file=stream, width=None if has_width else WIDTH, highlight=False, markup=False, emoji=False)


def _stream(*, err: bool) -> TextIO:
    """Return the stream; characters that its encoding lacks are escaped instead of raising."""
    stream = sys.stderr if err else sys.stdout
    if (reconfigure := getattr(stream, "reconfigure", None)) and stream.errors == "strict":
        reconfigure(errors="backslashreplace")
    return stream
