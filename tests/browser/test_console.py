"""The console in a real browser: signing in, a conversation that ends and closes, odd names, keyboard, screen readers.

The bot and the sandbox run in a thread of their own: Playwright's loop has this one.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pytest

from bot.app import WEBHOOK_PATH, running
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.scripted_people import Visitor
from bot.sandbox.switches import Switches
from bot.settings import load_settings
from bot.store import migrate

T = TypeVar("T")
TOKEN = "a long token of the console"
SCRIPT = "<script>document.title = 'broken'</script>"
PATIENCE = 20.0

pytestmark = pytest.mark.long


class Place:
    """A bot on the sandbox, in a thread."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._down = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sandbox: Sandbox
        self.url = ""

    def __enter__(self) -> Place:
        self._thread.start()
        assert self._up.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._down.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def visitor(self, name: str, says: str) -> Visitor:
        """Somebody who has written, and whom the bot has answered."""

        async def come() -> Visitor:
            visitor = self.sandbox.visitor(name)
            await visitor.says(says)
            await self.sandbox.until(lambda: True if len(visitor.messages) > 1 else None, PATIENCE, "the bot answers")
            return visitor

        return self._do(come())

    def ends(self, visitor: Visitor) -> None:
        """They end their conversation."""
        self._do(visitor.ends())

    @contextmanager
    def no_release(self) -> Iterator[None]:
        """Let the platform answer 503 to releases, so that what has ended stays open for as long as a test looks."""
        self.sandbox.server.faults = lambda request, moment: (
            Fault(status=503) if request.operation == "ReleaseControl" and moment is Moment.BEFORE else None
        )
        yield
        self.sandbox.server.faults = None

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * PATIENCE)

    def _run(self) -> None:
        with suppress(KeyboardInterrupt):
            self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with Sandbox(
                switches=Switches(mode="pass" if self.mode == "pass" else "release"), time_scale=0.05
            ) as self.sandbox:
                url = f"sqlite:///{folder}/bot.db"
                migrate(url)
                told = {name.lower(): value for name, value in self.sandbox.settings_for_bot().items()}
                settings = load_settings(
                    _env_file=None,
                    **told,
                    database_url=url,
                    host="127.0.0.1",
                    port=0,
                    console_token=TOKEN,
                    release_grace="2s",
                    closing_timeout="8s",
                    flows="bot.flows.triage,bot.sandbox.tour_flows",
                    opening_flow="triage",
                    closing_flow="farewell",
                )
                async with running(settings, hooks=()) as bot:
                    self.sandbox.connect(f"http://127.0.0.1:{bot.port}{WEBHOOK_PATH}")
                    self.url = f"http://127.0.0.1:{bot.port}/console"
                    self._up.set()
                    await self._down.wait()


@pytest.fixture(params=["release", "pass"])
def place(request: pytest.FixtureRequest, browser: Any) -> Iterator[Place]:
    """Both modes. (It asks for the browser, so that nothing is started where there is none.)"""
    with Place(str(request.param)) as made:
        yield made


@pytest.fixture
def one_place(browser: Any) -> Iterator[Place]:
    """Where the mode makes no difference."""
    with Place("pass") as made:
        yield made


def _sign_in(page: Any, place: Place, token: str = TOKEN) -> None:
    """By the keyboard: the field has the focus already."""
    page.goto(place.url)
    page.locator("input:focus").wait_for()
    page.keyboard.type(token)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_held_ended_released(place: Place, new_page: Callable[..., Any]) -> None:
    """An open page shows by itself how a conversation is held, ended and released."""
    visitor = place.visitor("Ada", "Hello")
    page = new_page()
    _sign_in(page, place)
    row = page.locator("tr", has=page.locator(f"#c-{visitor.conversation_id}"))
    row.locator(".badge.held").wait_for()
    assert "Hello" not in page.content()
    page.evaluate("window.sameDocument = true")
    with place.no_release():
        place.ends(visitor)
        if place.mode == "pass":  # in the other mode the platform releases at once
            row.locator(".badge.ended").wait_for()
    row.locator(".badge.released").wait_for(timeout=60_000)
    assert page.evaluate("window.sameDocument"), "it was not loaded anew"
    page.click(f"#c-{visitor.conversation_id}")
    page.locator("li.good", has_text="proven: nobody is active").wait_for()
    assert page.locator(".stretch.bot h3").first.inner_text().startswith("the bot")
    assert page.locator(".stretch.nobody h3").last.inner_text().startswith("nobody")


def test_refused(one_place: Place, new_page: Callable[..., Any]) -> None:
    """A wrong token is refused; the right one passes afterwards."""
    page = new_page()
    for _ in range(4):
        _sign_in(page, one_place, "a wrong token")
        assert page.locator("[role=alert]").inner_text() == "This token is wrong."
    _sign_in(page, one_place)
    assert page.locator(".numbers").count() == 1


def test_forged_form(one_place: Place, new_page: Callable[..., Any]) -> None:
    """A form without the session's token does nothing, even in the operator's own browser."""
    visitor = one_place.visitor("Ada", "Hello")
    page = new_page()
    _sign_in(page, one_place)
    page.goto(f"{one_place.url}/conversations/{visitor.conversation_id}/release")
    page.evaluate("document.querySelector('main input[name=csrf]').value = 'guessed'")
    page.get_by_role("button", name="Release", exact=True).click()
    page.get_by_text("This form is not from your session").wait_for()
    assert one_place.sandbox.switchboard.holder(visitor.conversation_id) is not None


def test_script_as_text(one_place: Place, new_page: Callable[..., Any]) -> None:
    """A script in a user's name or message shows as text, also in what comes live."""
    visitor = one_place.visitor(f"Ada {SCRIPT}", f"Hello {SCRIPT} <img src=x onerror=alert(1)>")
    page = new_page()
    _sign_in(page, one_place)
    page.goto(f"{one_place.url}/conversations/{visitor.conversation_id}")
    page.locator("q", has_text="onerror=alert(1)").wait_for()
    one_place.ends(visitor)
    page.locator(".badge.ended, .badge.released").first.wait_for()
    assert page.locator("bdi").first.inner_text() == f"Ada {SCRIPT}"
    assert page.locator("main script, main img").count() == 0
    assert page.title().startswith(visitor.conversation_id)


def test_release_by_keyboard(one_place: Place, new_page: Callable[..., Any]) -> None:
    """From the list to a release by hand, and its proof, without a mouse."""
    visitor = one_place.visitor("Ada", "Hello")
    page = new_page()
    _sign_in(page, one_place)
    link = page.locator(f"#c-{visitor.conversation_id}")
    link.wait_for()
    page.locator("body").press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    for _ in range(60):
        if page.evaluate("document.activeElement.id") == f"c-{visitor.conversation_id}":
            break
        page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is visible"
    place_before = page.evaluate("document.activeElement.id")
    one_place.visitor("Bob", "Hello too")
    page.locator("tbody tr").nth(1).wait_for()
    assert page.evaluate("document.activeElement.id") == place_before, "an update does not take the focus away"
    page.keyboard.press("Enter")
    page.locator("#release").focus()
    page.keyboard.press("Enter")
    page.get_by_text("The bot holds control.").wait_for()
    page.get_by_role("button", name="Release", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_text("Release in progress").wait_for()
    page.locator("li.good", has_text="done (release)").wait_for()
    assert one_place.sandbox.switchboard.holder(visitor.conversation_id) is None


@pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 1100), ("light", 390), ("dark", 390)])
def test_accessible(
    one_place: Place, new_page: Callable[..., Any], no_violations: Callable[[Any], None], scheme: str, width: int
) -> None:
    """Nothing that axe-core knows is wrong with any page, in light and dark, on a desk and on a phone."""
    visitor = one_place.visitor("Ada", "Hello")
    page = new_page(scheme, width, 900)
    page.goto(one_place.url)
    no_violations(page)
    _sign_in(page, one_place)
    page.locator(".numbers").wait_for()
    address = f"/conversations/{visitor.conversation_id}"
    for path in ("", "?filter=overdue", address, f"{address}/release", "/set-aside", "/audit", "/none"):
        page.goto(f"{one_place.url}{path}")
        no_violations(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is too wide"


def test_screenshot(one_place: Place, new_page: Callable[..., Any], screenshot: Callable[[Any, str], None]) -> None:
    """The first page, with something of everything."""
    visitors = [one_place.visitor(name, "Hello") for name in ("Ada", "Bob", "Cleo", "Dan", "Eve")]
    page = new_page("light", 1100, 780)
    _sign_in(page, one_place)
    for visitor in (visitors[1], visitors[3]):
        one_place.ends(visitor)
        page.goto(f"{one_place.url}/conversations/{visitor.conversation_id}/release")
        with page.expect_navigation():
            page.get_by_role("button", name="Release", exact=True).click()
    page.goto(one_place.url)
    page.locator(".badge.released").nth(1).wait_for(timeout=60_000)
    with one_place.no_release():
        one_place.ends(visitors[2])
        page.locator(".badge.ended").wait_for()
        screenshot(page, "console")
