"""`simulate --exhaustive` searches every small story; `simulate --story` replays one."""

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
    """Search every setup, and print the results.

    Args:
        depth: maximum number of acts per story.
        jobs: number of processes.
        only: search only setups whose name contains this.
        seconds: maximum time per setup.
        only_first: stop each setup at its first breach.

    Returns:
        The exit code: 1 if the guarantee breaks, 2 if no setup matches.
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
    """Replay a story, and print its outcome.

    Returns:
        The exit code: 1 if the guarantee breaks, 2 if the story is invalid.
    """
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
        # Start the largest first, so that none runs alone at the end.
        largest_first = sorted(setups, key=lambda setup: setup.mode)
        tasks = [pool.submit(search, setup, depth, seconds=seconds, only_first=only_first) for setup in largest_first]
        yield from (task.result() for task in as_completed(tasks))
