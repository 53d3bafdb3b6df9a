"""`simulate --exhaustive`: every small story, setup by setup. `simulate --story`: one of them again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from bot import terminal
from bot.simulation.exhaustive import stories
from bot.simulation.exhaustive.search import Found, search
from bot.simulation.exhaustive.setup import Setup, all_setups
from bot.simulation.exhaustive.stories import NoSuchStoryError, Story, story_of


def search_all(depth: int, jobs: int, *, only: str = "", seconds: float | None = None, only_first: bool = False) -> int:
    """Search every setup and print what was found. Returns the exit code: 1 if the guarantee breaks, 2 for no setup.

    Args:
        depth: how many acts a story has at most.
        jobs: how many setups are searched at the same time.
        only: only setups whose words hold this.
        seconds: for at most so long each.
        only_first: stop each at its first breach.
    """
    chosen = [setup for setup in all_setups() if only in str(setup)]
    if not chosen:
        terminal.say(f"no setup holds {only!r}; one of them is: {all_setups()[0]}", err=True)
        return 2
    began, found = time.monotonic(), []
    for each in _searched(chosen, depth, jobs, seconds or float("inf"), only_first=only_first):
        found.append(each)
        rate = each.states / each.seconds if each.seconds else 0.0
        short = "" if each.depth == depth else f", stopped after all stories of {each.depth} acts"
        terminal.say(f"{each.setup}: {each.states} distinct moments, {len(each.stories)} breaches{short}")
        terminal.say(f"  in {each.seconds:.1f} s, {each.moves} acts tried, {rate:.0f} moments a second", err=True)
    broken = sorted((story for each in found for story in each.stories), key=lambda story: len(story.acts))
    states = sum(each.states for each in found)
    terminal.say(f"{states} distinct moments of stories with up to {depth} acts: {len(broken)} breaches")
    terminal.say(f"in {time.monotonic() - began:.1f} s", err=True)
    shown: set[str] = set()
    for story in broken:
        if story.breach not in shown:
            shown.add(story.breach)
            _show(story)
    return 1 if broken else 0


def retell(text: str) -> int:
    """Play a story again and print how it ends. Returns the exit code: 1 if the guarantee breaks, 2 for no story."""
    try:
        story = story_of(text)
        _, breach = stories.retell(story)
    except NoSuchStoryError as error:
        terminal.say(str(error), err=True)
        return 2
    _show(Story(story.setup, story.acts, breach))
    return 1 if breach else 0


def _show(story: Story) -> None:
    terminal.say()
    terminal.say((story.breach, "red") if story.breach else "the guarantee holds", f" ({story.setup})")
    for number, act in enumerate(story.acts, 1):
        terminal.say(f"  {number}. {act}")
    if story.breach:
        terminal.say(f'play it again: switchboard-bot simulate --story "{story}"')


def _searched(setups: list[Setup], depth: int, jobs: int, seconds: float, *, only_first: bool) -> Iterator[Found]:
    if jobs == 1 or len(setups) == 1:
        yield from (search(setup, depth, seconds=seconds, only_first=only_first) for setup in setups)
        return
    with ProcessPoolExecutor(min(jobs, len(setups))) as pool:
        # The largest first, so that no core is left with one of them at the end.
        largest_first = sorted(setups, key=lambda setup: setup.mode)
        tasks = [pool.submit(search, setup, depth, seconds=seconds, only_first=only_first) for setup in largest_first]
        yield from (task.result() for task in as_completed(tasks))
