"""What a run gave: a table for people, JSON for programs, and a picture."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .figures import Figure

_BESIDE = ("aiohttp", "slack-bolt", "procrastinate", "dbos", "pgqueuer")
_LEFT, _WIDTH, _ROW = 330, 330, 20
_LOWEST, _HIGHEST = 1 / 8, 64


def table(figures: Sequence[Figure]) -> str:
    """Markdown."""
    lines = ["| what | measured | beside it | ratio (its rounds) | goal | |", "| --- | --- | --- | --- | --- | --- |"]
    for one in figures:
        measured, beside = (f"{_short(value)} {one.unit}" for value in (one.value, one.reference))
        ratio = f"**{one.ratio:.2f}** ({one.lowest:.2f} to {one.highest:.2f})"
        lines.append(
            f"| {one.what} | {measured} | {one.against}: {beside} | {ratio} | {one.goal or ''} | {one.verdict} |"
        )
    return "\n".join(lines)


def as_json(figures: Sequence[Figure], rounds: int) -> str:
    """All figures, and what they were measured with."""
    made = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "versions": {name: _version(name) for name in _BESIDE},
        "rounds": rounds,
        "figures": [one.as_json() for one in figures],
    }
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def picture(figures: Sequence[Figure]) -> str:
    """The ratios that have a goal as bars from 1 on a logarithmic scale, with the goal as a tick. SVG."""
    with_goal = [one for one in figures if one.goal]
    height = _ROW * (len(with_goal) + 2)
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 70}" height="{height}"',
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for value in (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32, 64):
        x = _x(value)
        label = f"{value:g}" if value >= 1 else f"1/{round(1 / value)}"
        rows.append(f'<line x1="{x}" x2="{x}" y1="{_ROW}" y2="{height - 4}" stroke="#ddd"/>')
        rows.append(f'<text x="{x}" y="{_ROW - 6}" text-anchor="middle" fill="#666">{label}</text>')
    for place, one in enumerate(with_goal):
        rows += _bar(one, _ROW * (place + 1) + 4)
    return "\n".join([*rows, "</svg>"]) + "\n"


def _bar(one: Figure, top: int) -> list[str]:
    assert one.goal
    start, end = sorted((_x(1), _x(one.ratio)))
    colour = "#2a7f62" if one.verdict == "reached" else "#c0392b"
    low, high, middle = _x(one.lowest), _x(one.highest), top + 6
    goal = _x(one.goal.bound)
    return [
        f'<text x="{_LEFT - 8}" y="{top + 10}" text-anchor="end">{escape(f"{one.what} / {one.against}")}</text>',
        f'<rect x="{start}" y="{top}" width="{max(1, end - start)}" height="12" fill="{colour}"/>',
        f'<line x1="{low}" x2="{high}" y1="{middle}" y2="{middle}" stroke="black"/>',
        f'<line x1="{goal}" x2="{goal}" y1="{top - 2}" y2="{top + 14}" stroke="#e67e22" stroke-width="3"/>',
        f'<text x="{_LEFT + _WIDTH + 8}" y="{top + 10}">{one.ratio:.2f} ({one.goal})</text>',
    ]


def _x(value: float) -> float:
    share = math.log(min(max(value, _LOWEST), _HIGHEST) / _LOWEST) / math.log(_HIGHEST / _LOWEST)
    return round(_LEFT + share * _WIDTH, 1)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(figures: Sequence[Figure], rounds: int, folder: Path) -> None:
    """Both files, `results.json` and `results.svg`."""
    (folder / "results.json").write_text(as_json(figures, rounds))
    (folder / "results.svg").write_text(picture(figures))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
