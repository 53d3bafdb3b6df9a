"""The only module that writes to a terminal, apart from logs, which also use `printable`.

Commands print untrusted text from users, agents, tapes and the platform. Such text must not
control the terminal with escape sequences, reorder text, or forge lines. So each call prints
exactly one line, and styles are passed separately from the text. A test ensures that no other
module imports `rich` or calls `print`.
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
from rich.console import Console, JustifyMethod
from rich.progress import Progress
from rich.table import Table as RichTable
from rich.text import Text

WIDTH = 160  # columns, when writing to a pipe or a file
_JOINERS = "\u200c\u200d"  # not printable, but needed in Persian words and emoji

Styled: TypeAlias = str | tuple[str, str]
"""Text, or text with a style such as `bold red`."""

Cell: TypeAlias = str | Text
"""A cell of a table: text, or what `line` built."""


def printable(text: str) -> str:
    """Convert text to one safe line: white space to spaces, control characters to escapes."""
    return text if text.isprintable() else "".join(map(_printable, text))


def line(*parts: Styled) -> Text:
    """Build one line, or one cell of a table."""
    pairs = ((part, "") if isinstance(part, str) else part for part in parts)
    return Text.assemble(*((printable(text), style) for text, style in pairs))


def say(*parts: Styled, err: bool = False) -> None:
    """Print one line on standard output, or on standard error; blank without arguments."""
    console = _console(err=err)
    console.print(line(*parts), soft_wrap=True)
    console.file.flush()


def say_wrapped(*parts: Styled) -> None:
    """Print text on standard output, wrapped between words."""
    console = _console()
    console.print(line(*parts))
    console.file.flush()


def say_json(value: Any) -> None:
    """Print JSON in ASCII, which escapes all control characters."""
    _stream(err=False).write(f"{json.dumps(value, indent=2)}\n")


class Table:
    """A table; without headings, a grid in which only the last column wraps.

    Args:
        headings: one per column.
        right: the headings of right-aligned columns.
    """

    def __init__(self, *headings: str, right: tuple[str, ...] = ()) -> None:
        self._table = RichTable(
            box=box.SIMPLE_HEAD if headings else None,
            show_header=bool(headings),
            pad_edge=False,
        )
        for heading in headings:
            justify: JustifyMethod = "right" if heading in right else "left"
            self._table.add_column(heading, justify=justify, overflow="fold")

    def row(self, *cells: Cell) -> None:
        """Add a row."""
        for place in range(len(self._table.columns), len(cells)):
            self._table.add_column(no_wrap=place < len(cells) - 1, overflow="fold")
        self._table.add_row(*(cell if isinstance(cell, Text) else line(cell) for cell in cells))

    def show(self) -> None:
        """Print the table."""
        _console().print(self._table)


def width() -> int:
    """Return the width of standard output, in columns."""
    return _console().width


def is_watched() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()


def ask(question: str, *, hidden: bool = False) -> str:
    """Prompt for a line of input. Aborts the command at the end of the input."""
    return str(typer.prompt(printable(question), hide_input=hidden)).strip()


def agreed(question: str) -> bool:
    """Prompt for yes or no."""
    return typer.confirm(printable(question))


def can_ask(*, at_a_screen: bool = True) -> bool:
    """Return whether a person can answer; with `at_a_screen`, also see the question."""
    return sys.stdin.isatty() and (sys.stdout.isatty() or not at_a_screen)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error, if it is a terminal. Yields update(done, total)."""
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
    """Return the stream, set to escape characters that its encoding lacks."""
    stream = sys.stderr if err else sys.stdout
    if (reconfigure := getattr(stream, "reconfigure", None)) and stream.errors == "strict":
        reconfigure(errors="backslashreplace")
    return stream
