"""The plugin in other people's test runs: with pytest-asyncio in either mode, without it, and with strict warnings."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from tiers import some

TESTS = """
import pytest

from bot import Chat, flow
from bot.testing.talks import ChatWith


@flow("greeter")
async def greeter(chat: Chat) -> None:
    name = await chat.ask("Who are you?")
    await chat.say(f"Welcome, {name.text}.")


@pytest.fixture
def name():
    return "Ada"


@pytest.mark.parametrize("mode", ["release", "pass"])
async def test_of_a_team(chat_with, mode, name):
    talk = chat_with(greeter, mode=mode)
    await talk.user("hi")
    talk.expects("Who are you?")
    await talk.user(name)
    talk.expects("Welcome, Ada.")
    assert talk.released


async def test_that_fails(chat_with):
    talk = chat_with(greeter)
    await talk.user("hi")
    talk.expects("Goodbye")


class TestInClass:
    async def test_method(self, chat_with):
        talk = chat_with(greeter)
        await talk.user("hi")
        talk.expects("Who")


def test_without_a_loop(chat_with):
    assert chat_with(greeter).transcript == []
"""


def _run(folder: Path, *options: str) -> str:
    (folder / "test_team.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    loads = [] if entry_points(group="pytest11", name="switchboard_bot") else ["-p", "bot.testing.plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *loads, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "options",
    some(
        [
            ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
            ("-o", "asyncio_mode=strict", "-o", "asyncio_default_fixture_loop_scope=function"),
            ("-p", "no:asyncio", "-p", "no:aiohttp"),
        ],
    ),
    ids=["auto", "strict", "without"],
)
def test_coroutine_tests_run_whichever_plugin_there_is(options: tuple[str, ...], tmp_path: Path) -> None:
    """And what fails, fails."""
    shown = _run(tmp_path, *options)
    assert "1 failed, 4 passed" in shown, shown
    assert "did not say 'Goodbye'" in shown


@pytest.mark.long
def test_a_coroutine_test_without_the_fixture_is_left_to_others(tmp_path: Path) -> None:
    """The plugin is in every test run, and meddles with nothing."""
    (tmp_path / "test_other.py").write_text("async def test_other():\n    pass\n")
    shown = _run(tmp_path, "-p", "no:asyncio", "-p", "no:aiohttp", "-p", "no:anyio", "test_other.py")
    assert "async def functions are not natively supported" in shown, shown


def test_loading_it_imports_nothing_of_the_bot() -> None:
    """It would cost every test run of the environment, and hide the imports from their coverage."""
    code = (
        "import sys, bot.testing.plugin; print([m for m in sys.modules if m.startswith('bot.') and 'testing' not in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"


HIDING = """
def test_of_something_else():
    pass

def test_of_a_flow(chat_with):
    pass

async def test_of_a_tape(replay):
    pass
"""


@pytest.mark.skipif(not entry_points(group="pytest11", name="switchboard_bot"), reason="the package is not installed")
@pytest.mark.parametrize(
    "file", some(["bot.py", "bot/__init__.py", "bot/notes.txt", "webhooks/__init__.py", "webhooks.py"])
)
def test_a_folder_that_hides_the_package_is_told(tmp_path: Path, file: str) -> None:
    """In one line, and all other tests of that folder run as ever."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("print('I am not the package')\n")
    (tmp_path / "test_team.py").write_text(HIDING)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    hidden = "/notes.txt" not in file  # a folder without modules is no package: ours comes first
    told = [line for line in done.stdout.splitlines() if line.startswith("switchboard-bot: ")]
    assert ("hides the package" in "".join(told)) is hidden, done.stdout + done.stderr
    if hidden:
        assert "1 passed, 2 errors" in done.stdout
        assert str(tmp_path / file.partition("/")[0]) in told[0]
    else:
        assert "passed" in done.stdout
