"""The report in a real browser: lanes, bands, duties and proof; nothing from a tape is taken for HTML."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bot.control.policy import Policy
from bot.replay.report import report
from bot.replay.run import Setup, replay
from bot.sandbox.faults import Fault, Moment
from bot.sandbox.switchboard import BOT

TAPES = Path(__file__).parent.parent / "tapes"
EVIL = '<img src=x onerror="document.title=1"><script>document.title="broken"</script>'


def setup(**more: Any) -> Setup:
    return Setup(("bot.sandbox.demo_flows", "bot.flows.survey"), "demo", "survey", Policy(me=BOT, app_key=True), **more)


def write_report(path: Path, tapes: list[Path], given: Setup) -> None:
    """In a thread: Playwright runs a loop in this one, and virtual time has its own."""
    with ThreadPoolExecutor(1) as pool:
        results = pool.submit(replay, tapes, given, ["pass"]).result()
    path.write_text(report(results), encoding="utf-8")


def shown(new_page: Any, page_file: Path, scheme: str = "light") -> Any:
    page = new_page(scheme)
    page.goto(page_file.as_uri())
    return page


def test_the_lanes_are_shown(new_page: Any, screenshot: Any, tmp_path: Path) -> None:
    """A lane a conversation, with bands for all who were active, what was said, the duty and its proof."""
    tapes = [TAPES / "ticket_closed_pass.jsonl", TAPES / "ended_mid_flow.jsonl"]
    page_file = tmp_path / "report.html"
    write_report(page_file, tapes, setup())

    page = shown(new_page, page_file)

    assert page.locator("article.lane").count() == 2
    lane = page.locator("article.lane").first
    for holder in ("bot", "other", "nobody"):
        assert lane.locator(f"td.band.{holder}").count() > 0
    assert "Hello, this is Ada." in lane.inner_text()
    assert "duty: release" in lane.inner_text()
    assert "Proof: nobody is active" in lane.inner_text()
    assert page.locator(".verdict").inner_text() == "All closed"
    colours = {
        scheme: shown(new_page, page_file, scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert colours["light"] != colours["dark"]
    screenshot(page, "report")


def test_it_is_accessible(new_page: Any, no_violations: Any, tmp_path: Path) -> None:
    """Axe-core finds nothing wrong, in light and in dark."""
    page_file = tmp_path / "report.html"
    write_report(page_file, [TAPES / "ticket_closed_pass.jsonl", TAPES / "ended_mid_flow.jsonl"], setup())

    for scheme in ("light", "dark"):
        no_violations(shown(new_page, page_file, scheme))


def test_what_stays_open_is_seen_at_once(new_page: Any, tmp_path: Path) -> None:
    """With the release broken: the verdict, and the lane with what is owed."""
    broken = setup(
        api=lambda request, moment: (
            Fault(status=200) if moment is Moment.BEFORE and request.path.endswith("/releaseControl") else None
        )
    )
    page_file = tmp_path / "report.html"
    write_report(page_file, [TAPES / "ended_mid_flow.jsonl"], broken)

    page = shown(new_page, page_file)

    assert "1 of 1 conversations" in page.locator(".verdict").inner_text()
    assert page.locator("article.lane.bad").count() == 1
    assert "still owed" in page.locator("article.lane").inner_text()
    page.locator(".contents a").click()
    assert page.evaluate("document.querySelector(location.hash).className") == "lane bad"


def test_nothing_on_a_tape_is_taken_for_html(new_page: Any, tmp_path: Path) -> None:
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

    page = shown(new_page, page_file)

    assert page.title() == "Replay: All closed"
    assert page.locator("img, script, main b b, i:not(.legend i)").count() == 0
    assert EVIL in page.locator("article.lane").inner_text()
