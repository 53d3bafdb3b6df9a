"""What the browser tests share: Debian's Chromium, pages that must be free of errors, axe-core, screenshots.

A plugin of the tests (see `tests/conftest.py`) and no conftest of its own: the type checker takes no second module of
that name. Nothing here is imported before a test asks for it, so that tests run without Playwright too.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",  # Chromium refuses to start as root without it
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LARGEST_SCREENSHOT = 200_000
"""Bytes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Screenshots are part of the repository: a run of the tests must not change them by itself."""
    parser.addoption("--screenshots", action="store_true", help="write the screenshots in tests/browser anew")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium without a window, as a `playwright.sync_api.Browser`; skips where there is none.

    For a module at most: while it is open, Playwright's own event loop runs in this thread, and no other can.
    """
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """`new_page(scheme="light", width=900, height=1100)` gives a page with cookies of its own.

    A test fails that leaves an error in a page's console: an exception, or what the content security policy refused.
    """
    pages, errors = [], []

    def note(message: Any) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            errors.append(message.text)

    def page(scheme: str = "light", width: int = 900, height: int = 1100) -> Any:
        made = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": height})
        made.on("console", note)
        made.on("pageerror", lambda error: errors.append(str(error)))
        pages.append(made)
        return made

    yield page
    for made in pages:
        made.close()
    assert errors == []


@pytest.fixture(scope="session")
def axe_source() -> str:
    """The accessibility checker axe-core, fetched with npm once (the version and its hash are in the lock file)."""
    import fcntl

    npm = shutil.which("npm")
    with (HERE / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other test processes want it too
        if not AXE.exists():
            if npm is None:
                pytest.skip("there is no npm on this machine to fetch axe-core with: apt-get install npm")
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False, timeout=100)  # noqa: S603
            if done.returncode:
                pytest.skip(f"npm could not fetch axe-core: {done.stderr.strip().splitlines()[-1:]}")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture
def no_violations(axe_source: str) -> Callable[[Any], None]:
    """`no_violations(page)` asserts that axe-core finds nothing wrong with the page as it is shown now."""

    def check(page: Any) -> None:
        page.evaluate(axe_source)
        result = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
        assert [f"{v['id']}: {v['help']} at {[n['target'] for n in v['nodes']]}" for v in result["violations"]] == []
        assert result["passes"]

    return check


@pytest.fixture
def screenshot(request: pytest.FixtureRequest) -> Callable[[Any, str], None]:
    """`screenshot(page, "chat")` keeps what the page shows as `chat.png`, where the run asks for `--screenshots`."""

    def keep(page: Any, name: str) -> None:
        taken = page.screenshot()
        assert len(taken) <= LARGEST_SCREENSHOT
        if request.config.getoption("screenshots"):
            (HERE / f"{name}.png").write_bytes(taken)

    return keep
