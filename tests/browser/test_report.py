"""The report in a real browser: lanes, bands, duties and proof; nothing from a tape is taken for HTML."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bot.control.policy import Policy
from bot.replay.report import report
from bot.replay.run import Setup, replay
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.switchboard import BOT

CHROMIUM = Path("/usr/bin/chromium")
TAPES = Path(__file__).parent.parent / "tapes"
SCREENSHOT = Path(__file__).parent / "report.png"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]
EVIL = '<img src=x onerror="document.title=1"><script>document.title="broken"</script>'


def setup(**more: Any) -> Setup:
    return Setup(("bot.sandbox.demo_flows", "bot.flows.survey"), "demo", "survey", Policy(me=BOT, app_key=True), **more)


def write_report(path: Path, tapes: list[Path], given: Setup) -> None:
    """In a thread: Playwright runs a loop in this one, and virtual time has its own."""
    with ThreadPoolExecutor(1) as pool:
        results = pool.submit(replay, tapes, given, ["pass"]).result()
    path.write_text(report(results), encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a window."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), headless=True, args=FLAGS)
        yield found
        found.close()


def shown(browser: Any, page_file: Path, scheme: str = "light") -> Any:
    page = browser.new_page(color_scheme=scheme, viewport={"width": 900, "height": 1100})
    page.goto(page_file.as_uri())
    return page


def test_the_lanes_are_shown(browser: Any, tmp_path: Path) -> None:
    """A lane a conversation, with bands for all who were active, what was said, the duty and its proof."""
    tapes = [TAPES / "ticket_closed_pass.jsonl", TAPES / "ended_mid_flow.jsonl"]
    page_file = tmp_path / "report.html"
    write_report(page_file, tapes, setup())

    page = shown(browser, page_file)

    assert page.locator("article.lane").count() == 2
    lane = page.locator("article.lane").first
    for holder in ("bot", "other", "nobody"):
        assert lane.locator(f"td.band.{holder}").count() > 0
    assert "Hello, this is Ada." in lane.inner_text()
    assert "duty: release" in lane.inner_text()
    assert "Proof: nobody is active" in lane.inner_text()
    assert page.locator(".verdict").inner_text() == "All closed"
    colours = {
        scheme: shown(browser, page_file, scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert colours["light"] != colours["dark"]
    page.screenshot(path=tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size <= 200_000
    if not SCREENSHOT.exists():
        SCREENSHOT.write_bytes((tmp_path / "report.png").read_bytes())


def test_what_stays_open_is_seen_at_once(browser: Any, tmp_path: Path) -> None:
    """With the release broken: the verdict, and the lane with what is owed."""
    broken = setup(
        api=lambda request, moment: (
            Fault(status=200) if moment is Moment.BEFORE and request.path.endswith("/releaseControl") else None
        )
    )
    page_file = tmp_path / "report.html"
    write_report(page_file, [TAPES / "ended_mid_flow.jsonl"], broken)

    page = shown(browser, page_file)

    assert "1 of 1 conversations" in page.locator(".verdict").inner_text()
    assert page.locator("article.lane.bad").count() == 1
    assert "still owed" in page.locator("article.lane").inner_text()


def test_nothing_on_a_tape_is_taken_for_html(browser: Any, tmp_path: Path) -> None:
    """Texts, ids, notes and the name of the file are shown as they are."""
    lines = (TAPES / "ended_mid_flow.jsonl").read_text(encoding="utf-8")
    tape = tmp_path / "<b>tape.jsonl"
    first, *rest = lines.replace('"text":"Hi"', f'"text":{json.dumps(EVIL)}').splitlines()
    conversation_id = json.loads(first)["body"]["events"][0]["payload"]["conversation"]["id"]
    story = {**json.loads(first), "note": EVIL}
    lines = "\n".join([json.dumps(story), *rest]).replace(conversation_id, "<i>" + conversation_id)
    tape.write_text(lines, encoding="utf-8")
    page_file = tmp_path / "report.html"
    write_report(page_file, [tape], setup())

    page = shown(browser, page_file)

    assert page.title() == "Replay: All closed"
    assert page.locator("img, script, main b b, i:not(.legend i)").count() == 0
    assert EVIL in page.locator("article.lane").inner_text()
