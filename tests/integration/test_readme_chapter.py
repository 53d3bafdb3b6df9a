"""The README's chapter "Write your first flow" and docs/flows.md: every snippet is run, as a newcomer runs it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from bot.app import catalogue_of
from bot.control.state import Purpose
from bot.flows.authoring import Began
from bot.flows.catalogue import load_catalogue
from bot.settings import load_settings

ROOT = Path(__file__).parents[2]
REQUIRED = {
    "sunshine_base_url": "https://example.zendesk.com/sc",
    "sunshine_app_id": "app",
    "sunshine_key_id": "int_x",
    "sunshine_key_secret": "secret",
    "sunshine_switchboard_integration": "bot",
    "sunshine_webhook_secret": "secret-of-the-webhook",
    "control_mode": "pass",
}


def _chapter() -> str:
    """The chapter, and the page that it leads to."""
    found = re.search(
        r"^## Write your first flow\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert found
    assert "(docs/flows.md)" in found[1]
    return found[1] + (ROOT / "docs" / "flows.md").read_text()


def _snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", _chapter(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A newcomer's folder with all the files of the chapter."""
    for snippet in _snippets("python"):
        name = re.match(r"# (\w+\.py)\n", snippet)
        assert name, f"a snippet without a file's name: {snippet[:60]!r}"
        assert not (tmp_path / name[1]).exists()
        (tmp_path / name[1]).write_text(snippet)
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in ("my_flows", "shop", "my_assistant", "prices", "my_handlers", "payment", "cart"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


def test_no_other_language_is_in_the_chapter() -> None:
    """So that nothing in it goes unchecked."""
    assert set(re.findall(r"^```(\w+)$", _chapter(), re.MULTILINE)) == {"python", "sh"}


def test_the_tests_of_the_chapter_pass(folder: Path) -> None:
    """By the chapter's own command, in which only the Python is another one; and then all of them."""
    command = _snippets("sh")[0].strip().removeprefix(".venv/bin/python ")
    plugin = [] if entry_points(group="pytest11", name="switchboard_bot") else ["-p", "bot.testing.plugin"]
    for arguments in (shlex.split(command), ["-m", "pytest", "-q"]):
        alone = [
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-p",
            "no:aiohttp",
            "-W",
            "error",
        ]  # a newcomer has pytest
        whole = [sys.executable, *arguments, *plugin, *alone]
        done = subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=100, check=False)  # noqa: S603
        assert done.returncode == 0, done.stdout + done.stderr
    assert "12 passed" in done.stdout


@pytest.mark.long
def test_the_flows_of_the_chapter_type_check(folder: Path) -> None:
    """In strict mode, as they stand there."""
    flows = [file.name for file in folder.glob("*.py") if not file.name.startswith("test_")]
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / ".cache"), *flows]
    environment = {"MYPYPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout


def test_the_settings_of_the_chapter_start_the_bot(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They name a module beside which the bot is started, and a flow in it."""
    monkeypatch.chdir(folder)
    given = dict(line.split("=", 1) for line in _snippets("sh")[1].split())
    settings = load_settings(**REQUIRED, **{name.lower(): value for name, value in given.items()})
    chosen = catalogue_of(settings).route(Purpose.OPENING, Began("message"))
    assert chosen is not None
    assert chosen.name == given["OPENING_FLOW"]


@pytest.mark.parametrize(
    ("purpose", "kind", "name"),
    [
        (Purpose.OPENING, "message", "shop"),
        (Purpose.OPENING, "created", "welcome"),
        (Purpose.CLOSING, "handback", None),
    ],
)
def test_the_router_of_the_chapter_chooses(folder: Path, purpose: Purpose, kind: str, name: str | None) -> None:
    """As the text says."""
    chosen = load_catalogue(["shop", "my_assistant"]).route(purpose, Began(kind))
    assert (chosen and chosen.name) == name


def test_every_step_and_every_method_that_the_chapter_names_is_there() -> None:
    """And none of the kit's is missing in it."""
    from bot import Chat
    from bot.testing.talk import Talk

    chapter = _chapter()
    steps = re.findall(r"^\| `(\w+)\(", chapter, re.MULTILINE)
    public = {name for name in dir(Chat) if not name.startswith("_")}
    assert set(steps) | {"opening", "user", "conversation", "resources", "conversation_id", "run_id"} == public
    kit = chapter[chapter.index("## Test it") :]
    for name in vars(Talk):
        if not name.startswith("_") and name not in ("close", "bring_to_closing"):
            assert re.search(rf"`{name}\b", kit), name
