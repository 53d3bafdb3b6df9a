"""Hot reload for the sandbox: restarts the bot when a file of the flows changes; the platform keeps running."""

from __future__ import annotations

import asyncio
import importlib
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from bot import terminal
from bot.app import catalogue_of
from bot.cli.sandbox_bot import SandboxBot
from bot.settings import Settings, SettingsProblem
from bot.store import StoreError

EVERY = 0.3  # seconds between two looks at the files
_INSTALLED = ("site-packages", "dist-packages")
_NEVER = sys.stdlib_module_names | {"bot", "webhooks", "__main__"}  # Python itself may live in the same folder


class FlowFiles:
    """Watches the files of the modules in FLOWS, and of modules imported from the same folders.

    Args:
        modules: as in FLOWS; they are imported already.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = modules
        self._folders = {folder for name in modules if (folder := _folder_of(name))}
        self._failed: set[Path] = set()  # files of the last attempt, if that failed
        self._seen = self._now()

    def changed(self) -> list[str]:
        """Return the names of the files that have changed since the last look, or that are new or gone."""
        now = self._now()
        before, self._seen = self._seen, now
        return sorted(path.name for path in before.keys() | now.keys() if before.get(path) != now.get(path))

    def import_anew(self) -> dict[str, ModuleType]:
        """Import the modules once more, and return the old ones, for `put_back`.

        Raises:
            BaseException: what a module raises; the old ones are in their places then.
        """
        old = self._take_out()
        importlib.invalidate_caches()
        self._failed = set()
        try:
            for name in self._modules:
                importlib.import_module(name)
        except BaseException as error:
            self._failed = {path for path in _files_of(error) if self._is_ours(path)}
            self.put_back(old)
            raise
        finally:
            self._seen = self._now()
        return old

    def put_back(self, old: dict[str, ModuleType]) -> None:
        """Restore the old modules."""
        self._failed |= set(self._ours().values())
        self._take_out()
        sys.modules.update(old)
        self._seen = self._now()

    def _take_out(self) -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in self._ours()}

    def _ours(self) -> dict[str, Path]:
        """The team's modules that are imported, with their files."""
        found = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and name.partition(".")[0] not in _NEVER and self._is_ours(Path(file)):
                found[name] = Path(file)
        return found

    def _is_ours(self, path: Path) -> bool:
        return any(path.is_relative_to(folder) for folder in self._folders) and not any(
            part in _INSTALLED for part in path.parts
        )

    def _now(self) -> dict[Path, tuple[int, int]]:
        """When each file was written, and its size."""
        found = {}
        for path in {*self._ours().values(), *self._failed}:
            try:
                stat = path.stat()
            except OSError:  # an editor is about to replace it
                continue
            found[path] = (stat.st_mtime_ns, stat.st_size)
        return found


class Reloader:
    """Restarts the bot with the new code when a file of the flows changes.

    If the new code can't be used, the bot goes on with the old one, and the traceback or the problem is shown.
    Conversations, ports and the database stay; a flow that waits goes on in the new code, from its journal, or
    begins anew where that does not fit any more.
    """

    def __init__(self, bot: SandboxBot, settings: Settings) -> None:
        self._bot = bot
        self._settings = settings
        self._files = FlowFiles(settings.flows)
        self._is_down = False  # the bot could not be started any more

    async def run(self) -> None:
        """Look for changes, and take them up, until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            if names := self._files.changed():
                await asyncio.sleep(EVERY / 3)  # more files of the same save
                self._files.changed()
                await self._take_up(", ".join(names))

    async def _take_up(self, names: str) -> None:
        try:
            old = self._files.import_anew()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever an author's module raises is shown
            _tell_problem(names, _traceback(error))
            return
        try:
            catalogue_of(self._settings)
            await self._restart()
        except SettingsProblem as error:
            self._files.put_back(old)
            _tell_problem(names, error.problems)
            await self._start_again()
        except (StoreError, OSError) as error:
            self._is_down = True
            _tell_problem(names, [str(error)])
        else:
            terminal.say((f"{names} changed: ", "dim"), "the bot runs with the new code")

    async def _restart(self) -> None:
        """Restart the bot, unless somebody has stopped it on the page."""
        if self._bot.is_running or self._is_down:
            await self._bot.stop()
            self._is_down = True
            await self._bot.start()
            self._is_down = False

    async def _start_again(self) -> None:
        if self._is_down:
            try:
                await self._bot.start()
            except (SettingsProblem, StoreError, OSError) as error:
                terminal.say((f"the bot is stopped until a file changes: {error}", "bold red"))
            else:
                self._is_down = False


def _tell_problem(names: str, lines: Iterable[str]) -> None:
    terminal.say((f"{names} changed, but can't be used; the bot runs with the code of before:", "bold red"))
    for text in lines:
        terminal.say(f"  {text}")


def _traceback(error: BaseException) -> list[str]:
    """The traceback as Python shows it, from the team's own code on."""
    whole = traceback.TracebackException.from_exception(error)
    kept = [frame for frame in whole.stack if "importlib" not in frame.filename and frame.filename != __file__]
    whole.stack = traceback.StackSummary.from_list(kept)
    return "".join(whole.format(chain=True)).splitlines()


def _files_of(error: BaseException) -> list[Path]:
    named = [error.filename] if isinstance(error, SyntaxError) and error.filename else []
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return [Path(name) for name in (*named, *frames)]


def _folder_of(name: str) -> Path | None:
    """The folder from which a module of FLOWS is imported; None for one of the bot's own."""
    root = name.partition(".")[0]
    module = sys.modules.get(root)
    file = getattr(module, "__file__", None)
    if root in _NEVER or not isinstance(file, str):
        return None
    path = Path(file)
    return path.parent.parent if path.name == "__init__.py" else path.parent
