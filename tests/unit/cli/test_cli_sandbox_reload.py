"""Files of flows that change: which ones are watched, and that a failed import leaves everything as it was."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.cli.sandbox_reload import FlowFiles

MAIN, WORDS = "reloaded_flows", "reloaded_words"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module of flows that imports another one; both are imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / f"{WORDS}.py").write_text("HELLO = 'Hello'", encoding="utf-8")
    (tmp_path / f"{MAIN}.py").write_text(f"from {WORDS} import HELLO", encoding="utf-8")
    __import__(MAIN)
    yield tmp_path
    for name in (MAIN, WORDS):
        sys.modules.pop(name, None)


def _save(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))


def _hello() -> str:
    return str(sys.modules[MAIN].HELLO)


def test_a_file_is_told_once_when_it_has_changed(folder: Path) -> None:
    """Also one that the flows only import."""
    files = FlowFiles([MAIN])
    assert files.changed() == []
    _save(folder / f"{WORDS}.py", "HELLO = 'Moin'")
    assert files.changed() == [f"{WORDS}.py"]
    assert files.changed() == []
    files.reimport()
    assert _hello() == "Moin"


@pytest.mark.parametrize("text", ["HELLO = ", "HELLO = undefined", "raise SystemExit(3)"])
def test_what_can_not_be_imported_changes_nothing(folder: Path, text: str) -> None:
    """The old modules are in their places, and the broken file is watched until it is mended."""
    files = FlowFiles([MAIN])
    old = sys.modules[MAIN]
    _save(folder / f"{MAIN}.py", f"from {WORDS} import HELLO\nimport reloaded_new")
    _save(folder / "reloaded_new.py", text)
    with pytest.raises((SyntaxError, NameError, SystemExit)):
        files.reimport()
    assert (sys.modules[MAIN], _hello()) == (old, "Hello")
    assert files.changed() == []
    _save(folder / "reloaded_new.py", "HELLO = 'Servus'  # mended")
    assert files.changed() == ["reloaded_new.py"]
    files.reimport()
    sys.modules.pop("reloaded_new")


def test_new_modules_can_be_restore(folder: Path) -> None:
    """Where they can be imported, and can't work."""
    files = FlowFiles([MAIN])
    _save(folder / f"{WORDS}.py", "HELLO = 'Moin'")
    old = files.reimport()
    files.restore(old)
    assert _hello() == "Hello"
    assert files.changed() == []


def test_only_the_teams_modules_are_imported_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither Python's own, nor the bot's, nor what is installed, wherever they lie."""
    import bot.flows.chat

    monkeypatch.setattr(json, "__file__", str(folder / "lib" / "json.py"))
    monkeypatch.setattr(bot.flows.chat, "__file__", str(folder / "bot" / "chat.py"))
    monkeypatch.setattr(pytest, "__file__", str(folder / ".venv" / "site-packages" / "pytest" / "__init__.py"))
    assert set(FlowFiles([MAIN]).reimport()) == {MAIN, WORDS}
    assert sys.modules["json"] is json


def test_flows_of_the_bot_itself_are_not_watched() -> None:
    """They don't change while it runs."""
    assert FlowFiles(["bot.flows.survey"]).reimport() == {}
