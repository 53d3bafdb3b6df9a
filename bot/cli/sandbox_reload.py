"""Hot reload for the sandbox: restarts the bot when flow files change, not the platform."""

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
from bot.settings import Settings, SettingsError
from bot.store import StoreError

POLL_SECONDS = 0.3
_INSTALLED = ("site-packages", "dist-packages")
# Never reloaded, even if Python itself lives in the same folder.
_NEVER = sys.stdlib_module_names | {"bot", "webhooks", "__main__"}


class FlowFiles:
    """Watches the modules in FLOWS, and modules imported from the same folders.

    Args:
        modules: the names in FLOWS, already imported.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = modules
        self._folders = {folder for name in modules if (folder := _folder_of(name))}
        self._failed: set[Path] = set()  # files of the last import, if it failed
        self._seen = self._now()

    def changed(self) -> list[str]:
        """Return the names of files that changed, appeared or vanished since the last call."""
        now = self._now()
        before, self._seen = self._seen, now
        paths = before.keys() | now.keys()
        return sorted(path.name for path in paths if before.get(path) != now.get(path))

    def reimport(self) -> dict[str, ModuleType]:
        """Import the modules again, and return the old ones for `restore`.

        Raises:
            BaseException: whatever a module raises, after restoring the old modules.
        """
        old = self._remove()
        importlib.invalidate_caches()
        self._failed = set()
        try:
            for name in self._modules:
                importlib.import_module(name)
        except BaseException as error:
            self._failed = {path for path in _files_of(error) if self._is_ours(path)}
            self.restore(old)
            raise
        finally:
            self._seen = self._now()
        return old

    def restore(self, old: dict[str, ModuleType]) -> None:
        """Restore the old modules."""
        self._failed |= set(self._ours().values())
        self._remove()
        sys.modules.update(old)
        self._seen = self._now()

    def _remove(self) -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in self._ours()}

    def _ours(self) -> dict[str, Path]:
        """Return the imported modules of the team, with their files."""
        found = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if not isinstance(file, str) or name.partition(".")[0] in _NEVER:
                continue
            if self._is_ours(Path(file)):
                found[name] = Path(file)
        return found

    def _is_ours(self, path: Path) -> bool:
        return any(path.is_relative_to(folder) for folder in self._folders) and not any(
            part in _INSTALLED for part in path.parts
        )

    def _now(self) -> dict[Path, tuple[int, int]]:
        """Return the modification time and size of each file."""
        found = {}
        for path in {*self._ours().values(), *self._failed}:
            try:
                stat = path.stat()
            except OSError:  # an editor is replacing it
                continue
            found[path] = (stat.st_mtime_ns, stat.st_size)
        return found


class Reloader:
    """Restarts the bot with the new code when a flow file changes.

    If the new code is broken, the bot continues with the old code, and the error is shown.
    Conversations, ports and the database are kept. A waiting flow resumes from its journal in
    the new code, or restarts if the journal no longer fits.
    """

    def __init__(self, bot: SandboxBot, settings: Settings) -> None:
        self._bot = bot
        self._settings = settings
        self._files = FlowFiles(settings.flows)
        self._is_down = False  # the last start failed

    async def run(self) -> None:
        """Watch and reload until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if names := self._files.changed():
                await asyncio.sleep(POLL_SECONDS / 3)  # for more files of the same save
                self._files.changed()
                await self._reload(", ".join(names))

    async def _reload(self, names: str) -> None:
        try:
            old = self._files.reimport()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - shown to the author
            _print_problem(names, _traceback(error))
            return
        try:
            # Check the flows first: the running bot stays up if they are invalid.
            catalogue_of(self._settings)
            await self._restart()
        except SettingsError as error:
            self._files.restore(old)
            _print_problem(names, error.problems)
            await self._start_again()
        except (StoreError, OSError) as error:
            self._is_down = True
            _print_problem(names, [str(error)])
        else:
            terminal.say((f"{names} changed: ", "dim"), "the bot runs with the new code")

    async def _restart(self) -> None:
        """Restart the bot, unless someone stopped it on the page."""
        if self._bot.is_running or self._is_down:
            await self._bot.stop()
            self._is_down = True
            await self._bot.start()
            self._is_down = False

    async def _start_again(self) -> None:
        if self._is_down:
            try:
                await self._bot.start()
            except (SettingsError, StoreError, OSError) as error:
                text = f"the bot is stopped until a file changes: {error}"
                terminal.say((text, "bold red"))
            else:
                self._is_down = False


def _print_problem(names: str, lines: Iterable[str]) -> None:
    terminal.say((f"{names} changed, but is broken; the bot runs the old code:", "bold red"))
    for text in lines:
        terminal.say(f"  {text}")


def _traceback(error: BaseException) -> list[str]:
    """Return Python's traceback, starting at the team's own code."""
    shown = traceback.TracebackException.from_exception(error)
    kept = [frame for frame in shown.stack if "importlib" not in frame.filename and frame.filename != __file__]
    shown.stack = traceback.StackSummary.from_list(kept)
    return "".join(shown.format(chain=True)).splitlines()


def _files_of(error: BaseException) -> list[Path]:
    named = [error.filename] if isinstance(error, SyntaxError) and error.filename else []
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return [Path(name) for name in (*named, *frames)]


def _folder_of(name: str) -> Path | None:
    """Return the folder that a module of FLOWS comes from; None for the bot's own modules."""
    root = name.partition(".")[0]
    module = sys.modules.get(root)
    file = getattr(module, "__file__", None)
    if root in _NEVER or not isinstance(file, str):
        return None
    path = Path(file)
    return path.parent.parent if path.name == "__init__.py" else path.parent
