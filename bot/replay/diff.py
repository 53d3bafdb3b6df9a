"""Compares messages and control actions, and their order, with an earlier run."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.replay.result import FORMAT

_READS = ("Get", "List")


class BaselineError(ValueError):
    """The baseline is not a comparable result of `replay --json`; names the file."""


def read_baseline(path: Path) -> Mapping[str, Any]:
    """Read the result of an earlier run. Raises `BaselineError`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BaselineError(f"{path}: can't be read: {error.strerror}") from None
    except ValueError as error:
        raise BaselineError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("tapes"), list):
        raise BaselineError(f"{path}: not a result of `replay --json`")
    if value.get("format") != FORMAT:
        raise BaselineError(
            f"{path}: has format {value.get('format')}, but this version writes {FORMAT}",
        )
    return value


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the differences as lines; empty if none. Reads and times are ignored."""
    before, after = _conversations(old), _conversations(new)
    lines: list[str] = []
    for key in [*before, *(key for key in after if key not in before)]:
        if key not in after:
            lines.append(f"{_title(key)}: only in the baseline")
        elif key not in before:
            lines.append(f"{_title(key)}: not in the baseline")
        else:
            lines += _changes(key, before[key], after[key])
    return lines


def _changes(
    key: tuple[str, str, str],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
) -> list[str]:
    then, now = _doings(old), _doings(new)
    lines = [line for line in difflib.ndiff(then, now) if line[0] in "+-"]
    if lines and sorted(then) == sorted(now):
        lines.insert(0, "  the same, in another order:")
    for name, words in (("closed", "closed"), ("holder", "active at the end")):
        if old[name] != new[name]:
            lines.append(f"  {words}: {old[name] or 'nobody'} → {new[name] or 'nobody'}")
    return [f"{_title(key)}:", *(f"  {line}" for line in lines)] if lines else []


def _doings(conversation: Mapping[str, Any]) -> list[str]:
    """Return the bot's messages and control actions, in order."""
    return [
        f"{action['call']} {action['what']}".rstrip()
        for action in conversation["actions"]
        if not action["call"].startswith(_READS)
    ]


def _conversations(
    result: Mapping[str, Any],
) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    return {
        (tape["tape"], tape["mode"], conversation["id"]): conversation
        for tape in result["tapes"]
        for conversation in tape["conversations"]
    }


def _title(key: tuple[str, str, str]) -> str:
    tape, mode, conversation_id = key
    return f"{tape} ({mode}), conversation {conversation_id}"
