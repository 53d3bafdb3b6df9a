"""The exhaustive search: what it visits once, what it finds, and that a story can be played again."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.cli.simulate_exhaustive import retell as retell_by_command
from bot.control import duties
from bot.control.draft import Draft
from bot.control.facts import Answer, Answered
from bot.control.state import (
    Conversation,
    Duty,
    Ended,
    Holder,
    Input,
    Opening,
    Pending,
    Reminder,
    Run,
    Start,
    Unsent,
    What,
)
from bot.simulation.exhaustive import memory
from bot.simulation.exhaustive.acts import successors
from bot.simulation.exhaustive.canonical import bytes_of, form_in, form_of, world_of
from bot.simulation.exhaustive.closing import check_end
from bot.simulation.exhaustive.promises import Breach
from bot.simulation.exhaustive.search import search
from bot.simulation.exhaustive.seen import PASSED, Digests
from bot.simulation.exhaustive.setup import KEYS, MODES, TIMES, Setup, all_setups
from bot.simulation.exhaustive.stories import AND_THEN, NoSuchStoryError, retell, story_of
from bot.simulation.exhaustive.world import NOON, World

ACCEPTED = (
    "release, int, plain > the user writes, and the bot is told at once; the flow releases"
    " > the release is accepted and ignored"
)
"""A story in which only a bot that takes a 200 for proof breaks the guarantee."""

CAME_BACK_AND_ENDED_AGAIN = (
    "pass, int, plain > the user ends it, control goes to nobody"
    " > the user writes again after the end, and the event shows who was active before > the user ends it"
    f" > {AND_THEN}"
)
FAILED_ONCE = (CAME_BACK_AND_ENDED_AGAIN,)
"""Stories that broke the guarantee once."""


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Nothing is remembered of rules that a test has changed."""
    memory.forget()
    yield
    memory.forget()


@pytest.fixture
def gullible(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that takes a 200 for proof."""
    honest = duties.answered

    def answered(draft: Draft, duty: Duty, what: What, fact: Answered) -> None:
        if fact.answer is Answer.ACCEPTED and what is not What.READ_FOR_DUTY:
            draft.close_duty("accepted")
        else:
            honest(draft, duty, what, fact)

    monkeypatch.setattr(duties, "answered", answered)


def some_walk(setup: Setup, seed: int, acts: int = 8) -> list[tuple[str, World]]:
    """A random story, with the moment after each act."""
    rng = random.Random(seed)  # noqa: S311 - repeatable is what it must be
    world, walk = World(setup), []
    for _ in range(acts):
        words, _, new = rng.choice(list(successors(world)))
        if isinstance(new, Breach):
            break
        world = new
        walk.append((words, world))
    return walk


# -- the canonical form ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", all_setups(), ids=str)
def test_a_form_stands_for_its_moment(setup: Setup) -> None:
    """What is made of the form of a moment has the same form, and goes on in the same ways."""
    for seed in range(3):
        for _, world in some_walk(setup, seed):
            form = form_of(world)
            again = world_of(form_in(bytes_of(form)), setup)
            assert form_of(again) == form
            assert again.now == NOON
        here = [(words, _form_or_words(new)) for words, _, new in successors(world)]
        assert [(words, _form_or_words(new)) for words, _, new in successors(again)] == here


def _form_or_words(new: World | Breach) -> Any:
    return str(new) if isinstance(new, Breach) else form_of(new)


def test_a_form_does_not_depend_on_the_date() -> None:
    """The same story, a day later."""
    walk = some_walk(Setup("pass", "both"), 4)
    late = World(Setup("pass", "both"))
    late.now += timedelta(days=1)
    for words, world in walk:
        late = next(new for found, _, new in successors(late) if found == words and isinstance(new, World))
        assert form_of(late) == form_of(world)


def test_a_form_does_not_depend_on_names() -> None:
    """A message before, of which nothing is left, takes a number and a name."""
    plain, other = World(Setup()), World(Setup())
    other.made = 7
    other.state = replace(other.state, serial=40)
    for words in ("the user writes", "the user's word comes; the flow asks", "the message is answered"):
        plain, other = (
            next(new for found, _, new in successors(one) if found == words and isinstance(new, World))
            for one in (plain, other)
        )
        assert form_of(plain) == form_of(other)


def test_forms_tell_moments_apart() -> None:
    """Whatever the bot or the platform may do differently later is in the form."""
    world = some_walk(Setup("pass", "both"), 11)[-1][1]
    other = world.copy()
    other.told_of_end = not world.told_of_end
    assert form_of(other) != form_of(world)
    other = world.copy()
    other.state = replace(world.state, idle_at=world.now)
    assert form_of(other) != form_of(world)


KNOWN = {
    Conversation: 26,
    Run: 13,
    Duty: 17,
    Ended: 8,
    Pending: 11,
    Unsent: 8,
    Input: 5,
    Holder: 5,
    Opening: 6,
    Start: 4,
    Reminder: 4,
}


@pytest.mark.parametrize("kind", KNOWN, ids=lambda kind: kind.__name__)
def test_the_form_knows_every_attribute(kind: Any) -> None:
    """Whoever adds an attribute to a state must say in `canonical.py` what it means there, and count it here."""
    assert len(fields(kind)) == KNOWN[kind]


# -- the set of digests ----------------------------------------------------------------------------------------------


def test_digests() -> None:
    """What was added is there, with the smallest number, however large the set becomes."""
    rng = random.Random(1)  # noqa: S311 - repeatable is what it must be
    digests, known = Digests(slots=16), dict[int, int]()
    for _ in range(5000):
        digest, number = rng.getrandbits(128) & ~15, rng.choice((0, 3, 7, PASSED))
        assert digests.add(digest, number) is known.get(digest)
        known[digest] = number
    assert all(digests.number_of(digest) == number for digest, number in known.items())
    assert digests.visited == sum(number != PASSED for number in known.values())
    assert digests.passed == sum(number == PASSED for number in known.values())
    assert rng.getrandbits(128) not in digests
    assert digests.size <= 16 * 4 * 5000


def test_a_smaller_number_counts() -> None:
    """A moment that was only passed, or that there is a shorter way to, gets the smaller number."""
    digests = Digests()
    assert digests.add(1 << 100, PASSED) is None
    assert digests.add(1 << 100, 5) == PASSED
    assert digests.add(1 << 100, 7) == 5
    assert digests.add(1 << 100, 2) == 5
    assert digests.number_of(1 << 100) == 2
    assert (digests.visited, digests.passed) == (1, 0)


# -- the search ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", [Setup("release", "int"), Setup("pass", "both")], ids=str)
def test_no_small_story_breaks_the_guarantee(setup: Setup) -> None:
    """Stories of two acts; `tests/simulation/test_exhaustive.py` searches longer ones, in every setup."""
    found = search(setup, 2)
    assert [str(story) for story in found.stories] == []
    assert (found.depth, len(found.levels)) == (2, 2)
    assert 500 < found.states < found.moves


def test_a_search_in_bounds() -> None:
    """It stops where its time is over, and says how far it came."""
    found = search(Setup(), 5, seconds=0.3)
    assert found.depth < 5
    assert found.states


@pytest.mark.usefixtures("gullible")
def test_a_breach_is_told_by_the_shortest_story() -> None:
    """Of a bot that takes a 200 for proof."""
    found = search(Setup("release", "int"), 2, only_first=True)
    assert [str(story) for story in found.stories] == [ACCEPTED]
    assert found.stories[0].breach == "G1: a duty counts as done, and that was never so: accepted"


@pytest.mark.usefixtures("gullible")
def test_a_printed_story_breaks_again() -> None:
    """As a text, as JSON, and by the command."""
    breach = "G1: a duty counts as done, and that was never so: accepted"
    story = story_of(ACCEPTED)
    as_json = json.dumps({**story.setup.to_json(), "acts": story.acts})
    assert [retell(story_of(text))[1] for text in (str(story), as_json)] == [breach, breach]
    result = CliRunner().invoke(app, ["simulate", "--story", ACCEPTED])
    assert result.exit_code == 1
    assert breach in result.stdout


@pytest.mark.parametrize("text", [ACCEPTED, *FAILED_ONCE])
def test_a_story_that_holds(text: str) -> None:
    """With all its rules the bot keeps the guarantee."""
    assert retell(story_of(text))[1] == ""
    assert retell_by_command(text) == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "this is no story"),
        ("release, none, plain", "keys is one of int, app, both"),
        ('{"mode": "pass"}', "this is no story"),
        ("release, int, plain > the user flies", "act 1 is not possible there: the user flies"),
    ],
)
def test_no_story(text: str, problem: str) -> None:
    """What can't be played is told in a sentence, with exit code 2."""
    with pytest.raises(NoSuchStoryError, match=problem):
        retell(story_of(text))
    result = CliRunner().invoke(app, ["simulate", "--story", text])
    assert result.exit_code == 2
    assert problem in result.stderr


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_command_finds_nothing(jobs: str) -> None:
    """Exit code 0, and how many moments there were."""
    words = ["--exhaustive", "1", "--jobs", jobs, "--only", "release, keys int"]
    result = CliRunner().invoke(app, ["simulate", *words])
    assert result.exit_code == 0
    assert "0 breaches" in result.stdout.splitlines()[-1]
    assert len(result.stdout.splitlines()) == len(TIMES) + 1


@pytest.mark.usefixtures("gullible")
def test_the_command_finds_a_breach() -> None:
    """Exit code 1, the story in words, and how to play it again."""
    words = ["--exhaustive", "2", "--jobs", "1", "--only", "mode release, keys int, time plain", "--first-failure"]
    result = CliRunner().invoke(app, ["simulate", *words])
    assert result.exit_code == 1
    assert "  2. the release is accepted and ignored" in result.stdout
    assert f'simulate --story "{ACCEPTED}"' in result.stdout


def test_a_setup_that_does_not_exist() -> None:
    """Exit code 2, and one that does."""
    result = CliRunner().invoke(app, ["simulate", "--exhaustive", "1", "--only", "no such mode"])
    assert result.exit_code == 2
    assert "mode release, keys int, time plain" in result.stderr


def test_all_setups() -> None:
    """Each mode with each set of keys and each kind of time."""
    assert len(set(all_setups())) == len(MODES) * len(KEYS) * len(TIMES)


def test_rest_is_checked_at_every_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that never looks at what others hold comes to rest wrongly, and that shows at the end only."""
    monkeypatch.setattr("bot.control.obligations._watch_delay", lambda _: None)
    world, breach = retell(story_of("pass, both, plain > the user ends it, control goes to the agent workspace"))
    assert breach == ""
    world.wire = world.wire[-1:]  # only the control event comes
    with pytest.raises(Breach, match="still active"):
        check_end(world)


def test_proof_closes_a_duty() -> None:
    """The story of a release that works ends with the duty closed by its event."""
    text = "release, int, plain > the user writes, and all goes well; the flow releases"
    world, breach = retell(story_of(text))
    assert (breach, world.state.duty, world.active) == ("", None, 0)
