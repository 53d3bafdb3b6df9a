"""The demo's conversations over real HTTP, recorded by the bot itself: replayed, it makes the same calls in order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.app import WEBHOOK_PATH, running
from bot.replay.run import Setup, replay
from bot.sandbox.api import ApiRequest
from bot.sandbox.faults import Fault, Faults, Moment
from bot.sandbox.sandbox import Sandbox
from bot.sandbox.stories import STORIES, Story
from bot.sandbox.switches import Switches
from bot.settings import Settings, load_settings
from bot.store import Store, migrate

FLOWS = ("bot.sandbox.demo_flows", "bot.flows.survey")
NOT_COMPARED = "PostActivity"


async def live(mode: str, tape: Path, folder: Path) -> tuple[Settings, dict[str, list[str]], dict[str, str]]:
    """Play all stories; returns settings, calls by conversation, and the story of each conversation."""
    switches = Switches(mode="pass" if mode == "pass" else "release")
    async with Sandbox(switches=switches, time_scale=0.05) as sandbox:
        url = f"sqlite:///{folder}/live.db"
        migrate(url)
        settings = load_settings(
            _env_file=None,
            **{name.lower(): value for name, value in sandbox.settings_for_bot().items()},
            database_url=url,
            host="127.0.0.1",
            port=0,
            flows=list(FLOWS),
            opening_flow="demo",
            closing_flow="survey",
            flow_idle_timeout="3s",
            closing_timeout="2s",
            release_grace="1s",
            record_tape=str(tape),
        )
        async with running(settings, hooks=()) as bot:
            sandbox.connect(f"http://127.0.0.1:{bot.port}{WEBHOOK_PATH}")
            stories = await asyncio.gather(*(_play(story, sandbox, bot.store) for story in STORIES))
            await asyncio.sleep(0.3)
        calls: dict[str, list[str]] = {}
        for request in sandbox.server.requests:
            if request.operation != NOT_COMPARED:
                calls.setdefault(request.conversation_id or "", []).append(request.operation)
        return settings, calls, dict(stories)


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


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["release", "pass"])
def test_a_replay_makes_the_calls_of_the_live_run(mode: str, tmp_path: Path) -> None:
    """For every conversation of the demo, in the same order."""
    tape = tmp_path / "live.jsonl"
    settings, calls, stories = asyncio.run(live(mode, tape, tmp_path))

    setup = Setup(FLOWS, "demo", "survey", settings.policy, api=the_same_faults(stories))
    (result,) = replay([tape], setup, [mode])

    assert result.closed, [lane.why_not for lane in result.lanes]
    assert {lane.id for lane in result.lanes} == set(stories)
    now = {stories[lane.id]: [action.call for action in lane.actions] for lane in result.lanes}
    assert now == {stories[conversation_id]: made for conversation_id, made in calls.items()}
    assert result.diverged == []
