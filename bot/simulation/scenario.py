"""A run's scenario, drawn from a seed: plain data, to be printed, replayed and shrunk."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from bot.sandbox.switches import Switches
from bot.simulation.flows import LATER
from bot.simulation.outside import Outside

OPENINGS = (
    "finish",
    "echo",
    "raise",
    "hang",
    "mute",
    "handover",
    "release",
    "slow",
    "nap",
    "chatty",
)
SPOKEN = ("one", "two", "three", "four")

DELIVERY_FAULTS = ("duplicate", "delay", "drop", "answer_lost", "lost_for_good")
API_FAULTS = (
    "429",
    "429_retry_after",
    "503_before",
    "503_after",
    "403_before",
    "404_before",
    "reset_before",
    "reset_after",
    "timeout_before",
    "timeout_after",
    "refuse",
    "ignored",
    "slow_before",
    "slow_after",
)
STORE_FAULTS = ("unavailable", "kill_before", "kill_after", "kill_inside", "pause")
CONTROL_FAULTS = (
    "ignored",
    "ignored",
    "403_before",
    "403_before",
    "503_after",
    "slow_before",
)
WORLD_FAULTS = ("jump", "restart", "second_process", "store_outage", "api_outage")


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody's action, `at` seconds after the start; skipped if not possible then."""

    at: float
    who: str
    what: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Incident:
    """A fault.

    Attributes:
        where: what `nth` counts: "delivery" (attempts), "api" (calls), "control" (calls
            that move control), "store" (operations) or "world" (seconds).
        kind: the kind of fault.
        seconds: length of a delay, an outage or a jump; for jitter, the longest delay.
    """

    where: str
    kind: str
    nth: float
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run of the simulation.

    Attributes:
        other_bot: zd-answerBot passes control back to the bot whenever it gets it.
        outside: distortions of what the bot hears.
    """

    seed: int
    switches: Switches
    keep_mode: bool
    mode: str
    integration_key: bool
    app_key: bool
    closing: str
    batch: int
    latency: float
    talks: tuple[tuple[Act, ...], ...]
    incidents: tuple[Incident, ...] = field(default=())
    other_bot: bool = False
    outside: Outside = field(default_factory=Outside)

    def to_json(self) -> dict[str, Any]:
        """The scenario as JSON, without switches in their default position."""
        defaults = Switches()
        moved = {
            name: getattr(self.switches, name)
            for name in Switches.positions()
            if getattr(self.switches, name) != getattr(defaults, name)
        }
        return {
            "seed": self.seed,
            "mode": self.mode,
            "switches": moved,
            "keys": [name for name, there in (("int", self.integration_key), ("app", self.app_key)) if there],
            "closing": self.closing,
            "other_bot": self.other_bot,
            "outside": {field.name: getattr(self.outside, field.name) for field in fields(self.outside)},
            "batch": self.batch,
            "latency": self.latency,
            "talks": [[f"{act.at:g}s {act.who} {act.what} {act.text}".strip() for act in talk] for talk in self.talks],
            "incidents": [f"{i.where} {i.kind} {i.nth:g} {i.seconds:g}" for i in self.incidents],
        }


def draw(seed: int) -> Scenario:
    """Return the scenario of a seed; always the same one."""
    scenario = plain(seed)
    for enriched in (
        _with_return,
        _with_late_words,
        _with_other_bot,
        _with_trigger,
        _with_faulty_control,
        _with_standstill,
        _with_uninvited,
    ):
        scenario = enriched(scenario)
    return replace(scenario, outside=Outside.draw(seed))


def plain(seed: int) -> Scenario:
    """Return a seed's scenario without later additions; old failing seeds rely on it."""
    rng = random.Random(seed)  # noqa: S311 - must be repeatable
    switches = Switches.draw(rng)
    keep_mode = rng.random() < 0.1
    other = "pass" if switches.mode == "release" else "release"
    keys = rng.choice(("both", "both", "int", "app"))
    talks = tuple(_talk(rng, number) for number in range(rng.randint(1, 4)))
    return Scenario(
        seed=seed,
        switches=switches,
        keep_mode=keep_mode,
        mode=other if keep_mode else switches.mode,
        integration_key=keys != "app",
        app_key=keys != "int",
        closing=rng.choice(("", "closing", "closing", "endless")),
        batch=rng.choice((1, 1, 2, 5)),
        latency=rng.choice((0.0, 0.02, 0.3)),
        talks=_with_operator(seed, talks),
        incidents=tuple(_incidents(rng)) if rng.random() < 0.9 else (),
    )


def _talk(rng: random.Random, number: int) -> tuple[Act, ...]:
    """Draw a conversation: a user, maybe an agent, and nearly always an end."""
    at = round(number * rng.choice((0.0, 0.5, 7.0)), 3)
    acts = [Act(at, "user", "says", f"{rng.choice(OPENINGS)}")]
    if rng.random() < 0.1:
        acts.insert(0, Act(at, "user", "opens"))
    for _ in range(rng.randint(0, 5)):
        at = round(
            at + rng.choice((0.001, 0.05, 0.4, 1.5, 6.0, 40.0, 700.0)) * rng.uniform(0.5, 1.5),
            3,
        )
        acts.append(_act(rng, at))
    if rng.random() < 0.9:
        at = round(
            at + rng.choice((0.001, 0.05, 0.5, 3.0, 30.0, 1000.0)) * rng.uniform(0.5, 1.5),
            3,
        )
        acts.append(Act(at, "user", "ends"))
    if rng.random() < 0.2:
        at = round(at + rng.choice((0.01, 2.0, 100.0)), 3)
        acts.append(_act(rng, at))
    return tuple(acts)


def _with_operator(seed: int, talks: tuple[tuple[Act, ...], ...]) -> tuple[tuple[Act, ...], ...]:
    """In 10 % of runs, an operator releases by hand right after another action.

    Uses a generator of its own, so that older seeds keep their meaning.
    """
    rng = random.Random(f"operator {seed}")  # noqa: S311 - must be repeatable
    if rng.random() > 0.1:
        return talks
    number = rng.randrange(len(talks))
    talk = list(talks[number])
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(talk))
        began = talk[place].at
        at = round(began + rng.choice((0.0, 0.01, 0.3, 2.0, 20.0)), 3)
        if rng.random() < 0.3:
            talk.insert(place + 1, Act(at, "operator", "releases"))
        else:
            talk[place + 1 : place + 1] = [
                Act(began, "platform", "takes"),
                Act(at, "operator", "takes"),
            ]
    return (*talks[:number], tuple(talk), *talks[number + 1 :])


def _with_return(scenario: Scenario) -> Scenario:
    """In 10 % of runs, a user comes back after the end; the platform allows it then.

    Like the functions below, it uses a generator of its own, so that older seeds keep
    their meaning.
    """
    rng = random.Random(f"return {scenario.seed}")  # noqa: S311 - must be repeatable
    if rng.random() > 0.1:
        return scenario
    at = max(act.at for act in scenario.talks[0])
    ends = Act(round(at + rng.choice((1.0, 40.0)), 3), "user", "ends")
    back = Act(
        round(ends.at + rng.choice((0.01, 0.5, 5.0, 60.0)), 3),
        "user",
        "says",
        rng.choice(("echo", "finish")),
    )
    switches = replace(scenario.switches, reopen_allowed=True)
    return replace(
        scenario,
        switches=switches,
        talks=((*scenario.talks[0], ends, back), *scenario.talks[1:]),
    )


def _with_late_words(scenario: Scenario) -> Scenario:
    """In 1 of 12 runs, an agent is thanked and gives control back.

    A read tells the bot before the events do.
    """
    rng = random.Random(f"late words {scenario.seed}")  # noqa: S311 - must be repeatable
    if rng.random() > 1 / 12:
        return scenario
    thanked = round(rng.uniform(30, 40), 3)
    given_back = round(thanked + rng.choice((0.001, 0.05, 0.4)), 3)
    looked = round(given_back + rng.choice((0.01, 0.3, 1.5)), 3)
    talk = (
        Act(0.0, "user", "says", "handover"),
        Act(20.0, "agent", "says"),
        Act(thanked, "user", "says", "thank you, Ada"),
        Act(given_back, "agent", rng.choice(("emails", "emails", "closes", "ends"))),
        Act(looked, "operator", "releases"),
    )
    jitter = Incident("world", "jitter", thanked - 0.1, rng.choice((4.0, 15.0)))
    return replace(
        scenario,
        talks=(talk, *scenario.talks[1:]),
        incidents=(*scenario.incidents, jitter),
    )


def _with_other_bot(scenario: Scenario) -> Scenario:
    """In 1 of 12 runs, a second bot returns control, or a pass target is missing."""
    rng = random.Random(f"other bot {scenario.seed}")  # noqa: S311 - must be repeatable
    if rng.random() > 1 / 12:
        return scenario
    first, *others = scenario.talks[-1]
    says = Act(first.at, "user", "says", rng.choice(("around", "around", "nowhere")))
    return replace(scenario, other_bot=True, talks=(*scenario.talks[:-1], (says, *others)))


def _with_trigger(scenario: Scenario) -> Scenario:
    """In 1 of 12 runs, a business rule writes while a flow waits for the user."""
    rng = random.Random(f"trigger {scenario.seed}")  # noqa: S311 - must be repeatable
    if rng.random() > 1 / 12:
        return scenario
    wrote = round(rng.uniform(1, 40), 3)
    talk = (
        Act(0.0, "user", "says", rng.choice(("echo", "mute"))),
        Act(wrote, "trigger", "says"),
        Act(round(wrote + rng.choice((0.01, 5.0, 60.0)), 3), "user", "says", "one"),
    )
    ends = (Act(round(wrote + 80, 3), "user", "ends"),) if rng.random() < 0.5 else ()
    return replace(scenario, talks=(*scenario.talks[:-1], talk + ends))


def _with_faulty_control(scenario: Scenario) -> Scenario:
    """In 10 % of runs, the first attempts to give up control fail."""
    rng = random.Random(f"control {scenario.seed}")  # noqa: S311 - must be repeatable
    if rng.random() > 0.1:
        return scenario
    faults = [
        Incident("control", rng.choice(CONTROL_FAULTS), nth, rng.choice((0.2, 1.5, 8.0)))
        for nth in range(1, rng.randint(1, 2) + 1)
    ]
    return replace(scenario, incidents=(*scenario.incidents, *faults))


def _with_standstill(scenario: Scenario) -> Scenario:
    """In 1 of 15 runs, the bot pauses between a read and its action; control moves."""
    rng = random.Random(f"standstill {scenario.seed}")  # noqa: S311 - must be repeatable
    if rng.random() > 1 / 15:
        return scenario
    talk = (
        Act(0.0, "user", "says", rng.choice(("around", "finish", "release"))),
        Act(round(rng.uniform(0.5, 6), 3), "platform", "takes"),
        Act(60.0, "user", "ends"),
    )
    pause = Incident("store", "pause", rng.randint(3, 14), 5.0)
    return replace(scenario, integration_key=False, app_key=True, talks=(talk,), incidents=(pause,))


def _with_uninvited(scenario: Scenario) -> Scenario:
    """In 1 of 8 runs, flows begin without the user, by the API or by a reminder.

    The reminder has a conversation of its own, so that the others stay unchanged.
    """
    rng = random.Random(f"uninvited {scenario.seed}")  # noqa: S311 - must be repeatable
    if rng.random() > 1 / 8:
        return scenario
    reminded = [Act(round(rng.uniform(0, 5), 3), "user", "says", "remind")]
    if rng.random() < 0.5:
        reminded.append(_about(rng, reminded[0].at + LATER))  # around the time of the reminder
    if rng.random() < 0.5:
        reminded.append(
            Act(
                round(reminded[-1].at + rng.choice((0.5, 8.0, 90.0)), 3),
                "user",
                "says",
                "one",
            )
        )
    if rng.random() < 0.5:
        reminded.append(
            Act(round(reminded[-1].at + rng.choice((0.05, 3.0, 50.0)), 3), "user", "ends"),
        )
    talks = [*scenario.talks, tuple(reminded)]
    for _ in range(rng.randint(0, 3)):
        number = rng.randrange(len(talks))
        talk = list(talks[number])
        place = rng.randrange(len(talk))
        wanted = Act(
            round(talk[place].at + rng.choice((0.0, 0.01, 0.3, 2.0, 20.0, 60.0)), 3),
            "system",
            "begins",
        )
        both = [wanted, _about(rng, wanted.at)] if rng.random() < 0.3 else [wanted]
        talks[number] = (*talk[: place + 1], *both, *talk[place + 1 :])
    return replace(scenario, talks=tuple(talks))


def _about(rng: random.Random, moment: float) -> Act:
    """Draw an action around a moment, close to a read and an action of the bot."""
    who, what = rng.choice(
        (("platform", "takes"), ("agent", "says"), ("user", "says"), ("user", "ends")),
    )
    at = max(0.0, round(moment + rng.choice((-2.0, -0.01, 0.01, 0.05, 0.1, 0.3, 0.7, 2.0)), 3))
    return Act(at, who, what, "echo" if (who, what) == ("user", "says") else "")


def _act(rng: random.Random, at: float) -> Act:
    who, what = rng.choices(
        (
            ("user", "says"),
            ("user", "answers"),
            ("agent", "says"),
            ("agent", "closes"),
            ("agent", "emails"),
            ("agent", "ends"),
            ("platform", "takes"),
            ("platform", "gives"),
            ("platform", "merges"),
            ("platform", "removes_user"),
            ("platform", "removes_conversation"),
        ),
        weights=(30, 10, 12, 10, 3, 4, 3, 3, 2, 1, 1),
    )[0]
    text = rng.choice((*OPENINGS, *SPOKEN)) if (who, what) == ("user", "says") else ""
    return Act(at, who, what, text)


def _incidents(rng: random.Random) -> Iterator[Incident]:
    for _ in range(rng.choice((0, 1, 2, 4, 8))):
        kind = rng.choice(DELIVERY_FAULTS)
        yield Incident(
            "delivery",
            kind,
            rng.randint(1, 40),
            rng.choice((0.1, 2.0, 17.0, 120.0, 1000.0)),
        )
    for _ in range(rng.choice((0, 1, 2, 4, 8))):
        yield Incident(
            "api",
            rng.choice(API_FAULTS),
            rng.randint(1, 30),
            rng.choice((0.2, 1.5, 8.0, 25.0)),
        )
    for _ in range(rng.choice((0, 0, 1, 2, 4))):
        yield Incident(
            "store",
            rng.choice(STORE_FAULTS),
            rng.randint(1, 120),
            rng.choice((5.0, 45.0)),
        )
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        kind = rng.choice(WORLD_FAULTS)
        yield Incident(
            "world",
            kind,
            round(rng.uniform(0, 120), 2),
            rng.choice((3.0, 40.0, 400.0, 2000.0)),
        )
