"""Which flows there are, and which one opens or closes."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bot.control.state import Purpose
from bot.flows.authoring import Flow


class UnknownFlow(ValueError):
    """A flow that no module holds (the text lists the known ones), or a module that can't be imported."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The flows by name, and the names of those that open and close. Empty names mean: none."""

    flows: Mapping[str, Flow] = field(default_factory=dict)
    opening: str = ""
    closing: str = ""

    def __post_init__(self) -> None:
        for setting, name in (("OPENING_FLOW", self.opening), ("CLOSING_FLOW", self.closing)):
            if name and name not in self.flows:
                known = ", ".join(sorted(self.flows)) or "none"
                raise UnknownFlow(f"{setting}: there is no flow {name!r}; known flows: {known}")

    def route(self, purpose: Purpose) -> Flow | None:
        """The flow that serves a purpose, if there is one."""
        return self.flows.get(self.opening if purpose is Purpose.OPENING else self.closing)


def load_flows(modules: Iterable[str]) -> dict[str, Flow]:
    """All flows that the named modules hold, by name.

    Raises:
        UnknownFlow: a module can't be imported, or two flows have the same name.
    """
    flows: dict[str, Flow] = {}
    for name in modules:
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            says = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise UnknownFlow(f"FLOWS: module {name!r} can't be imported: {says}") from error
        for found in vars(module).values():
            if isinstance(found, Flow):
                if flows.get(found.name, found) is not found:
                    raise UnknownFlow(f"FLOWS: two flows are named {found.name!r}; the second is in {name!r}")
                flows[found.name] = found
    return flows
