"""The sandbox's pages in a real browser: be the end user and the agent, in both modes, and watch it close."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiers import some

ROOT = Path(__file__).parents[2]
PATIENCE = 20_000  # milliseconds; a machine may be busy
CHOSEN = "new URLSearchParams(location.hash.slice(1)).get('conversation')"
EVIL = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"


@dataclass(frozen=True, slots=True)
class Site:
    """The links of a running sandbox."""

    chat: str
    agent: str
    console: str
    token: str


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`switchboard-bot sandbox`, as a program of its own."""
    folder = tmp_path_factory.mktemp("sandbox")
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "sandbox", "--port", "0"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    text = ""
    while "Ctrl-C" not in text:
        line = process.stdout.readline()
        assert line, process.communicate()
        text += line
    found = re.search(r"user\s+(\S+)\n.*agent\s+(\S+)\n.*operator\s+(\S+)\s+token: (\S+)", text)
    assert found, text
    yield Site(*found.groups())
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors


def until(page: Any, function: str, arg: Any = None) -> None:
    """Wait until a JavaScript function says so; asked from here, as the page's own policy forbids what polls inside."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(function, arg):
        assert time.monotonic() < deadline, function
        page.wait_for_timeout(20)


def opened(new_page: Any, url: str, **more: Any) -> Any:
    """A page that shows what the sandbox tells."""
    page = new_page(**more)
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    until(page, "() => document.getElementById('about-mode')?.textContent")
    until(page, "() => document.getElementById('user-name')?.textContent !== '…'")
    return page


def chooses(page: Any, mode: str) -> None:
    """Switch the control mode, and wait until the bot has followed."""
    page.locator("#modes span", has_text=mode).click()
    until(
        page,
        "async mode => { const s = await (await fetch('/api/state')).json();"
        " return s.account === mode && s.bot === mode && s.running; }",
        mode.lower(),
    )


def becomes(page: Any, name: str) -> None:
    """Be another end user."""
    page.locator("#rename").click()
    page.locator("#name").fill(name)
    page.locator("dialog[open]").get_by_role("button", name="Continue").click()
    page.locator("#user-name", has_text=name).wait_for()
    page.locator("#welcome").wait_for()


def begins(page: Any, text: str = "Hello!") -> None:
    """A new conversation, up to the bot's answer."""
    before = page.evaluate(CHOSEN)
    page.locator("#start").click()
    until(
        page,
        f"before => {CHOSEN} !== before && document.getElementById('log').dataset.conversation === {CHOSEN}",
        before,
    )
    page.locator("#text").fill(text)
    page.keyboard.press("Enter")
    page.get_by_text("I am the bot of a tea shop").wait_for()


def ends(page: Any) -> None:
    """End the conversation, with its confirmation."""
    page.locator("#end").click()
    page.locator("dialog[open]").get_by_role("button", name="End conversation").click()


def holder(page: Any) -> str:
    """Who is shown as active."""
    return str(page.locator("#holders [aria-current]").get_attribute("data-holder"))


def until_state(page: Any, state: str) -> None:
    """Wait until the conversation is shown to stand like that."""
    page.locator(f"#board[data-state={state}]").wait_for(state="attached")


def test_the_end_in_pass_mode(new_page: Any, site: Site) -> None:
    """The bot is active, the user ends, control stays with the bot, and the bot releases it, with proof."""
    page = opened(new_page, site.chat)
    chooses(page, "Pass")
    begins(page)
    assert holder(page) == "bot"

    page.locator("#end").click()
    page.locator("dialog[open]").get_by_role("button", name="Keep it").click()
    assert page.locator("#composer").is_visible()
    ends(page)
    until_state(page, "closed")

    assert holder(page) == "nobody"
    timeline = page.locator("#timeline").inner_text()
    assert "You ended the conversation. In pass control mode control stays with the bot" in timeline
    assert timeline.index("The bot released control") < timeline.index("Closed, proven")
    assert not page.locator("#composer").is_visible()
    assert page.get_by_text("You have ended this conversation.").is_visible()
    page.locator("#again").click()
    page.locator("#composer").wait_for()
    assert page.locator("#conversations li").count() >= 2


def test_the_end_in_release_mode(new_page: Any, site: Site) -> None:
    """The platform releases by itself."""
    page = opened(new_page, site.chat)
    chooses(page, "Release")
    begins(page)

    ends(page)
    until_state(page, "closed")

    timeline = page.locator("#timeline").inner_text()
    assert "In release control mode the platform releases control by itself" in timeline
    assert "The bot released" not in timeline


@pytest.mark.parametrize("mode", some(["Pass", "Release"]))
def test_with_an_agent(new_page: Any, site: Site, screenshot: Any, mode: str) -> None:
    """The agent answers on the other page, and both see the end and the close, live."""
    page = opened(new_page, site.chat, width=1280, height=940)
    becomes(page, "Grace")
    chooses(page, mode)
    begins(page, f"Hello in {mode}")
    page.get_by_role("button", name="Talk to a person").click()
    page.locator("#holders .agent").wait_for()
    agent = opened(new_page, site.agent)
    agent.locator("#conversations button", has_text=f"Hello in {mode}").click()
    agent.locator("#text").fill("Hello, this is Ada.")
    agent.keyboard.press("Enter")
    page.get_by_text("Hello, this is Ada.").wait_for()

    ends(page)
    until_state(page, "closed")
    until_state(agent, "closed")

    assert "Grace ended the conversation." in agent.locator("#timeline").inner_text()
    assert agent.locator("#acts button:enabled").count() == 0
    page.wait_for_timeout(400)  # the colours move
    if mode == "Pass":
        assert "passes control to the bot" in page.locator("#timeline").inner_text()
        screenshot(page, "chat")


@pytest.mark.long
@pytest.mark.parametrize("mode", ["Pass", "Release"])
def test_the_console_follows(new_page: Any, site: Site, mode: str) -> None:
    """The operator's page, to which the sandbox signs in by itself: held, ended, released, without a reload."""
    page = opened(new_page, site.chat)
    chooses(page, mode)
    begins(page)
    console = new_page()
    console.set_default_timeout(PATIENCE)
    console.goto(page.url.partition("#")[0] + str(page.locator("#in-console").get_attribute("href"))[1:])
    assert console.url.startswith(f"{site.console}/conversations/")
    console.locator(".head .badge.held").wait_for()

    ends(page)
    if mode == "Pass":
        console.locator(".head .badge.ended").wait_for()
    console.locator(".head .badge.released").wait_for()

    assert console.locator(".head .badge.held").count() == 0
    assert console.locator(".head .who.nobody").count() == 1


def test_what_the_bot_offers(new_page: Any, site: Site) -> None:
    """Cards with buttons and links, a form, the typing sign, by mouse and by keyboard."""
    page = opened(new_page, site.chat)
    begins(page)
    page.get_by_role("button", name="Buy tea").click()
    card = page.locator("li.card").first
    assert card.get_by_role("link").get_attribute("href") == "https://example.com/green"
    card.get_by_role("button", name="Buy").click()
    page.get_by_text("Your green tea is on its way").wait_for()

    page.get_by_role("button", name="Book a tasting").click()
    page.locator("form.form").get_by_label("Your name").fill("Ada")
    page.keyboard.press("Tab")
    page.keyboard.type("ada@example.com")
    page.get_by_label("When").select_option(label="In the morning")
    page.locator("form.form button").press("Enter")
    page.get_by_text("See you in the morning, Ada!").wait_for()
    assert page.locator("form.form button").inner_text() == "Sent"

    page.get_by_role("button", name="Ask something hard").click()
    page.locator(".typing").wait_for()
    page.get_by_text("boil the water").wait_for()
    page.locator(".typing").wait_for(state="detached")


def test_nothing_said_is_taken_for_html(new_page: Any, site: Site) -> None:
    """A script as a name and as a message is shown as text, to the user and to the agent."""
    page = opened(new_page, site.chat)
    becomes(page, EVIL)
    begins(page, EVIL)
    page.get_by_role("button", name="Talk to a person").click()
    page.locator("#holders .agent").wait_for()
    agent = opened(new_page, site.agent)
    agent.locator("#conversations button", has_text="<script>").first.click()
    agent.locator("#title", has_text="<script>").wait_for()

    for shown in (page, agent):
        assert EVIL in shown.locator("#log").inner_text()
        assert EVIL in shown.locator("#conversations").inner_text()
        assert "broken" not in shown.title()
        assert shown.locator("#main script, #main img").count() == 0


def test_a_stopped_bot(new_page: Any, site: Site) -> None:
    """While the bot is stopped an ended conversation is shown as open; once it is back, as closed."""
    page = opened(new_page, site.chat)
    chooses(page, "Pass")
    begins(page)
    page.get_by_role("button", name="Stop the bot").click()
    page.get_by_text("The bot is stopped.").wait_for()

    ends(page)
    until_state(page, "stuck")
    assert "ended, still open" in page.locator("#badge").inner_text()
    page.get_by_role("button", name="Start the bot").click()

    until_state(page, "closed")


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_they_are_accessible(new_page: Any, site: Site, no_violations: Any, scheme: str) -> None:
    """Axe-core finds nothing wrong: before, during and after a conversation, with its dialogs, wide and narrow."""
    page = opened(new_page, site.chat, scheme=scheme)
    page.locator("#rename").click()
    page.locator("#name").fill(f"Somebody {scheme}")
    no_violations(page)
    page.locator("dialog[open]").get_by_role("button", name="Continue").click()
    page.locator("#welcome").wait_for()
    no_violations(page)
    begins(page)
    page.get_by_role("button", name="Buy tea").click()
    page.locator("li.card").first.get_by_role("button", name="Buy").click()
    page.get_by_role("button", name="Book a tasting").click()
    page.get_by_label("When").wait_for()
    no_violations(page)
    page.locator("#end").click()
    page.locator("dialog[open]").wait_for()
    no_violations(page)
    page.locator("dialog[open]").get_by_role("button", name="End conversation").click()
    until_state(page, "closed")
    no_violations(page)

    agent = opened(new_page, site.agent, scheme=scheme, width=390, height=844)
    agent.locator("#conversations button", has_text=f"Somebody {scheme}").click()
    agent.locator("#title", has_text=f"Somebody {scheme}").wait_for()
    no_violations(agent)
    assert agent.evaluate("document.documentElement.scrollWidth") <= 390
