"""The plugin that pytest loads in every environment with the bot.

It provides the fixtures `chat_with` and `replay`. It is installed beside the package, not
in it: a `bot.py`, `bot/` or `webhooks/` in pytest's folder hides the package of that name.
In that case this plugin reports it in one line and leaves all other tests alone.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

_PLUGINS = ("bot.testing.plugin", "bot.replay.plugin")
_OURS = {"bot": "testing/plugin.py", "webhooks": "intake.py"}
"""Our packages, each with a file that identifies it."""


def hidden_by() -> list[str]:
    """Return the files or folders that hide our packages from Python."""
    found = []
    for name, own_file in _OURS.items():
        spec = find_spec(name)
        places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
        if not any((place / own_file).exists() for place in places):
            found.append(str(places[0] if places else spec.origin if spec else name))
    return found


def _line(hidden: list[str]) -> str:
    return f"switchboard-bot: {' and '.join(hidden)} hides the package of that name: rename it, or run pytest elsewhere"


def pytest_configure(config: pytest.Config) -> None:
    """Register the package's plugins, unless the package is hidden."""
    if hidden := hidden_by():
        config.pluginmanager.register(_Hidden(_line(hidden)))
        return
    for name in _PLUGINS:
        module = import_module(name)
        if not config.pluginmanager.is_registered(module):
            config.pluginmanager.register(module)


class _Hidden:
    """Replaces the plugins if the package is hidden."""

    def __init__(self, line: str) -> None:
        self._line = line

    def pytest_report_header(self) -> str:
        """Report the file or folder that hides the package."""
        return self._line

    @pytest.fixture
    def chat_with(self) -> None:
        """Fail with the reason."""
        pytest.fail(self._line, pytrace=False)

    @pytest.fixture
    def replay(self) -> None:
        """Fail with the reason."""
        pytest.fail(self._line, pytrace=False)
