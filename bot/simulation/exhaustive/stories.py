"""Stories as people read them and as they are told again: the setup, then one act after the other, in words.

`pass, both, plain > the user writes > the user's word comes; the flow asks` is a whole story. JSON will do as well:
`{"mode": "pass", "keys": "both", "time": "plain", "acts": ["the user writes", …]}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches

from bot.simulation.exhaustive.acts import successors
from bot.simulation.exhaustive.closing import check_end
from bot.simulation.exhaustive.promises import Breach
from bot.simulation.exhaustive.setup import Setup
from bot.simulation.exhaustive.world import World

AND_THEN = "and then nothing goes wrong any more"
"""The last act of a story that is brought to rest before it is judged."""
_THEN = " > "


class NoSuchStoryError(ValueError):
    """It can't be read, or an act is not possible where it stands. The message says which, and what to do."""


@dataclass(frozen=True)
class Story:
    """What happened, act by act; `breach` says what is wrong in the end, and is empty where nothing is known to be."""

    setup: Setup
    acts: tuple[str, ...]
    breach: str = ""

    def __str__(self) -> str:
        setup = self.setup
        return _THEN.join((f"{setup.mode}, {setup.keys}, {setup.time}", *self.acts))


def story_of(text: str) -> Story:
    """The story that a text or JSON tells. Raises `NoSuchStoryError`."""
    try:
        if text.lstrip().startswith("{"):
            told = json.loads(text)
            return Story(Setup.of_json(told), tuple(str(act) for act in told["acts"]))
        first, *acts = (part.strip() for part in text.split(_THEN.strip()))
        return Story(Setup(*(word.strip() for word in first.split(","))), tuple(acts))
    except (ValueError, TypeError, KeyError) as error:
        words = f"{type(error).__name__}: {error}"
        raise NoSuchStoryError(f"this is no story ({words}); give one as the search has printed it") from None


def retell(story: Story) -> tuple[World, str]:
    """Play a story. Returns the last moment before the breach, and the breach; it is empty if there is none.

    Raises:
        NoSuchStoryError: an act is not possible where it stands.
    """
    world = World(story.setup)
    for number, act in enumerate(story.acts, 1):
        if act == AND_THEN:
            try:
                check_end(world)
            except Breach as breach:
                return world, str(breach)
            continue
        possible = {words: new for words, _, new in successors(world)}
        if act not in possible:
            near = "; ".join(get_close_matches(act, possible, 3, 0.3)) or next(iter(possible))
            raise NoSuchStoryError(f"act {number} is not possible there: {act}. Possible is, say: {near}")
        new = possible[act]
        if isinstance(new, Breach):
            return world, str(new)
        world = new
    return world, ""
