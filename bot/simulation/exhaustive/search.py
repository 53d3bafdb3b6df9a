"""The search: breadth first over all moments of stories with up to so many acts, each moment once.

So the first breach that is found is told by the shortest story there is. What is kept of a moment is its digest; of the
moments that are still to go on from, also the canonical form, in a temporary file.
"""

from __future__ import annotations

import struct
import tempfile
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from bot.simulation.exhaustive.acts import successors
from bot.simulation.exhaustive.canonical import bytes_of, digest_of, form_in, form_of, world_of
from bot.simulation.exhaustive.closing import check_end
from bot.simulation.exhaustive.promises import Breach
from bot.simulation.exhaustive.seen import Digests
from bot.simulation.exhaustive.setup import Setup
from bot.simulation.exhaustive.stories import AND_THEN, Story
from bot.simulation.exhaustive.world import World

_HEAD = struct.Struct("<qI")
_IN_MEMORY = 1 << 26  # bytes of the forms of a level; more go to the disk


@dataclass
class Found:
    """What a search has found.

    Attributes:
        setup: where.
        stories: the shortest story of each kind of breach.
        depth: how many acts all stories have been tried with.
        states: how many distinct moments there were.
        moves: how many acts were tried.
        seconds: how long it took.
        levels: new moments by the number of acts.
        bytes_used: what the digests of the moments take.
    """

    setup: Setup
    stories: list[Story] = field(default_factory=list)
    depth: int = 0
    states: int = 0
    moves: int = 0
    seconds: float = 0.0
    levels: list[int] = field(default_factory=list)
    bytes_used: int = 0


def search(setup: Setup, depth: int, *, seconds: float = float("inf"), only_first: bool = False) -> Found:
    """Search all stories of a setup.

    Args:
        setup: mode, keys, time.
        depth: how many acts at most.
        seconds: how long at most.
        only_first: stop at the first breach.
    """
    return _Search(setup, depth, seconds, only_first=only_first).run()


class _Search:
    def __init__(self, setup: Setup, depth: int, seconds: float, *, only_first: bool) -> None:
        self._setup = setup
        self._depth = depth
        self._began = time.monotonic()
        self._until = self._began + seconds
        self._only_first = only_first
        self._digests = Digests()
        self._parents = array("q", [-1])  # of each moment that is gone on from, by number
        self._choices = array("i", [0])  # which of its parent's successors it is
        self._levels = [_Forms() for _ in range(depth)]  # by what the acts up to there count
        self._kinds: set[str] = set()
        self._found = Found(setup)

    def run(self) -> Found:
        """Search level by level."""
        found, digests = self._found, self._digests
        form = bytes_of(form_of(World(self._setup)))
        digests.add(digest_of(form), 0)
        self._levels[0].add(0, form)
        try:
            for depth, level in enumerate(self._levels):
                before = digests.visited
                is_through = self._expand(level, depth)
                found.levels.append(digests.visited - before)
                if not is_through:
                    break
                found.depth = depth + 1
        finally:
            for level in self._levels:
                level.close()
        found.states, found.seconds = digests.visited, time.monotonic() - self._began
        found.bytes_used = digests.size
        return found

    def _expand(self, level: _Forms, depth: int) -> bool:
        """Go on from every moment of a level. False: stopped."""
        found = self._found
        for number, form in level:
            if time.monotonic() > self._until:
                return False
            if self._digests.number_of(digest_of(form)) != depth:
                continue  # there is a shorter way to it
            world = world_of(form_in(form), self._setup)
            for choice, (words, cost, new) in enumerate(successors(world, self._depth - depth)):
                found.moves += 1
                breach = new if isinstance(new, Breach) else self._visited(new, number, choice, depth + cost)
                if breach and self._is_new(breach, words, new, number) and self._only_first:
                    return False
        return True

    def _visited(self, world: World, parent: int, choice: int, depth: int) -> Breach | None:
        form = bytes_of(form_of(world))
        before = self._digests.add(digest := digest_of(form), depth)
        if before is not None and before <= depth:
            return None
        if depth < self._depth:
            self._levels[depth].add(len(self._parents), form)
            self._parents.append(parent)
            self._choices.append(choice)
        if before is not None:
            return None  # how it ends is known already
        try:
            check_end(world, self._digests, digest)
        except Breach as breach:
            return breach
        return None

    def _is_new(self, breach: Breach, words: str, new: World | Breach, parent: int) -> bool:
        """Keep the story of a breach of a kind that is not known yet."""
        kind = str(breach)
        if kind in self._kinds:
            return False
        self._kinds.add(kind)
        more = () if isinstance(new, Breach) else (AND_THEN,)
        acts = (*self._story_of(parent), words, *more)
        self._found.stories.append(Story(self._setup, acts, kind))
        return True

    def _story_of(self, number: int) -> tuple[str, ...]:
        """The acts that led to a moment, in words: the story is told once more from its beginning."""
        choices: list[int] = []
        while number:
            choices.append(self._choices[number])
            number = self._parents[number]
        world, acts, left = World(self._setup), [], self._depth
        for choice in reversed(choices):
            words, cost, new = next(one for place, one in enumerate(successors(world, left)) if place == choice)
            acts.append(words)
            if not isinstance(new, Breach):  # as it was when the story was first told
                world, left = new, left - cost
        return tuple(acts)


class _Forms:
    """Numbered canonical forms in the order in which they were added; read once, from the first."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed once it was read

    def add(self, number: int, form: bytes) -> None:
        """Add a form."""
        self._file.write(_HEAD.pack(number, len(form)) + form)

    def close(self) -> None:
        """Forget them all."""
        self._file.close()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        file = self._file
        file.seek(0)
        while head := file.read(_HEAD.size):
            number, size = _HEAD.unpack(head)
            yield number, file.read(size)
        self.close()
