"""Figures: what was measured, as a ratio to what was measured beside it in the same rounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

Sample = Mapping[str, float]
"""What one round of one contestant gave, by name."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a ratio should be: at least, or at most."""

    bound: float
    at_least: bool

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"

    def is_met(self, ratio: float) -> bool:
        """Is it reached?"""
        return ratio >= self.bound if self.at_least else ratio <= self.bound


def at_least(bound: float) -> Goal:
    """The more the better."""
    return Goal(bound, at_least=True)


def at_most(bound: float) -> Goal:
    """The less the better."""
    return Goal(bound, at_least=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        benchmark: which.
        what: what was measured.
        unit: of `value` and `reference`.
        value: the median of the rounds.
        against: what it is compared with.
        reference: the median of that.
        ratio: the median of the rounds' own ratios.
        lowest, highest: the rounds' ratios.
        goal: what the ratio should be; None where the figure is only told.
    """

    benchmark: str
    what: str
    unit: str
    value: float
    against: str
    reference: float
    ratio: float
    lowest: float
    highest: float
    goal: Goal | None = None

    @property
    def verdict(self) -> str:
        """For the table."""
        if self.goal is None:
            return ""
        return "reached" if self.goal.is_met(self.ratio) else "missed"

    def as_json(self) -> dict[str, object]:
        """For the file."""
        return {**asdict(self), "goal": str(self.goal) if self.goal else None, "verdict": self.verdict}


def figure(
    benchmark: str,
    what: str,
    unit: str,
    ours: Sequence[Sample],
    against: str,
    theirs: Sequence[Sample],
    name: str,
    goal: Goal | None = None,
) -> Figure:
    """Compare a value of two contestants, round by round."""
    mine, other = [sample[name] for sample in ours], [sample[name] for sample in theirs]
    ratios = sorted(a / b for a, b in zip(mine, other, strict=True))
    middle = median(ratios)
    return Figure(benchmark, what, unit, median(mine), against, median(other), middle, ratios[0], ratios[-1], goal)


async def rounds(number: int, contestants: Mapping[str, Callable[[], Awaitable[Sample]]]) -> dict[str, list[Sample]]:
    """Let the contestants take turns: A B C, A B C, … so that a busy moment of the machine hits them alike."""
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    for _ in range(number):
        for name, play in contestants.items():
            samples[name].append(await play())
    return samples


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share of the ordered values lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
