"""The demo's conversations with a running `serve` that records them: replayed, it makes the same calls in order."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from bot_program import launched

from bot.app import WEBHOOK_PATH
from bot.replay.run import Setup, replay
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Faults, Moment
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.stories import STORIES, Story
from bot.sandbox.switches import Switches
from bot.settings import Settings, load_settings
from bot.store import Store, open_store

FLOWS = ("bot.sandbox.demo_flows", "bot.flows.survey")
NOT_COMPARED = "PostActivity"


Calls = dict[str, list[tuple[str, str]]]
"""By conversation: each call's operation, and what was said or whom control was passed to."""


async def live(mode: str, folder: Path) -> tuple[Settings, Calls, dict[str, str]]:
    """Play all stories with a `serve` that records; returns settings, calls, and the story of each conversation."""
    switches = Switches(mode="pass" if mode == "pass" else "release")
    async with Sandbox(switches=switches, time_scale=0.05) as sandbox:
        environment = {
            **sandbox.settings_for_bot(),
            "FLOWS": ",".join(FLOWS),
            "OPENING_FLOW": "demo",
            "CLOSING_FLOW": "survey",
            "FLOW_IDLE_TIMEOUT": "3s",
            "CLOSING_TIMEOUT": "2s",
            "RELEASE_GRACE": "1s",
            "RECORD_TAPE": "live.jsonl",
        }
        serve = await launched("serve", folder, environment, asyncio.subprocess.DEVNULL)
        store = open_store(f"sqlite:///{folder}/bot.db")
        try:
            await serve.until_ready()
            await store.start()
            sandbox.connect(f"{serve.url}{WEBHOOK_PATH}")
            stories = await asyncio.gather(*(_play(story, sandbox, store) for story in STORIES))
            await asyncio.sleep(0.3)
            assert await serve.told_to_stop() == 0
        finally:
            await store.stop()
            await serve.swept()
        calls: Calls = {}
        for request in sandbox.server.requests:
            if request.operation != NOT_COMPARED:
                calls.setdefault(request.conversation_id or "", []).append((request.operation, _what(request)))
        lowered = {name.lower(): value for name, value in environment.items()}
        return load_settings(_env_file=None, **lowered), calls, dict(stories)


def _what(request: ApiRequest) -> str:
    body = json.loads(request.body) if request.body else {}
    return str(body.get("content", {}).get("text", "") or body.get("switchboardIntegration", ""))


async def _play(story: Story, sandbox: Sandbox, store: Store) -> tuple[str, str]:
    visitor = sandbox.visitor()
    await visitor.opens()
    await story.play(sandbox, visitor)
    for _ in range(200):
        known = await store.find(visitor.conversation_id)
        if known and known.closed:
            break
        await asyncio.sleep(0.1)
    return visitor.conversation_id, story.title


def the_same_faults(stories: dict[str, str]) -> Faults:
    """A tape has no answers of the API: what went wrong with them is done again here."""
    (conversation_id,) = (key for key, title in stories.items() if title == "API answers 503")
    left = [Moment.BEFORE, Moment.AFTER]

    def fail(request: ApiRequest, moment: Moment) -> Fault | None:
        if request.path.endswith(f"/{conversation_id}/releaseControl") and left and moment is left[0]:
            left.pop(0)
            return Fault(status=503)
        return None

    return fail


@pytest.mark.long
@pytest.mark.parametrize("mode", ["release", "pass"])
def test_a_replay_makes_the_calls_of_the_live_run(mode: str, tmp_path: Path) -> None:
    """For every conversation of the demo, in the same order, with the same texts and targets."""
    for number in range(3):  # on a busy machine the live bot reads once more for what is late
        folder = tmp_path / str(number)
        folder.mkdir()
        settings, calls, stories = asyncio.run(live(mode, folder))
        setup = Setup(FLOWS, "demo", "survey", settings.policy, api=the_same_faults(stories))
        (result,) = replay([folder / "live.jsonl"], setup, [mode])
        played = {lane.id: [(action.call, action.what) for action in lane.actions] for lane in result.lanes}
        if played == {conversation_id: calls[conversation_id] for conversation_id in stories}:
            break

    assert result.closed, [lane.why_not for lane in result.lanes]
    assert played.keys() == stories.keys()
    for conversation_id, story in stories.items():
        assert played[conversation_id] == calls[conversation_id], story
    assert result.diverged == []
