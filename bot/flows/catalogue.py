"""The registered flows, and the choice of the opening and closing flow."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType

from bot.control.policy import Policy
from bot.control.state import Purpose
from bot.flows.authoring import Began, Flow, Router
from bot.flows.functions import Functions, defined_in
from bot.flows.handlers import Handlers, TwoHandlers, handlers_in


class UnknownFlow(ValueError):
    """A flow is not registered (the text lists the known ones), or an import failed."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The flows by name, and the choice of opening and closing flow.

    The choice is made by name (empty for none), or by the team's router.

    Attributes:
        flows: the newest version of each flow, by name.
        opening, closing: names of flows; empty for none.
        router: replaces both names.
        modules: the modules of FLOWS. The modules that define the flows and the router
            are included implicitly.
        older: older versions, in which runs may still wait. No new run begins in one by
            name.
    """

    flows: Mapping[str, Flow] = field(default_factory=dict)
    opening: str = ""
    closing: str = ""
    router: Router | None = None
    modules: tuple[str, ...] = ()
    older: tuple[Flow, ...] = ()
    handlers: Handlers = field(default_factory=Handlers)

    def __post_init__(self) -> None:
        for setting, name in (
            ("OPENING_FLOW", self.opening),
            ("CLOSING_FLOW", self.closing),
        ):
            if name:
                self._named(name, setting)

    @property
    def all(self) -> list[Flow]:
        """Every version of every flow."""
        return [*self.flows.values(), *self.older]

    def find(self, name: str, version: int) -> Flow | None:
        """The given version of a flow, if it is registered."""
        newest = self.flows.get(name)
        if newest is None or newest.version == version:
            return newest
        return next(
            (flow for flow in self.older if (flow.name, flow.version) == (name, version)),
            None,
        )

    @property
    def functions(self) -> Functions:
        """The functions that may be called after a run has ended."""
        authored = [flow.function for flow in self.all] + ([self.router.function] if self.router else [])
        return Functions([*self.modules, *filter(None, map(defined_in, authored))])

    @property
    def opens(self) -> bool:
        """Whether a flow may serve users."""
        return bool(self.router or self.opening)

    @property
    def closes(self) -> bool:
        """Whether a flow may run after a handback."""
        return bool(self.router or self.closing)

    @property
    def greets(self) -> bool:
        """Whether a flow may begin when the widget was opened and nobody has written."""
        return self.router is not None and self.router.greets

    def applied_to(self, policy: Policy) -> Policy:
        """The policy of the rules, adjusted to the abilities of these flows."""
        return replace(policy, opens=self.opens, closes=self.closes, greets=self.greets)

    def route(self, purpose: Purpose, began: Began) -> Flow | None:
        """The flow for a purpose, if there is one.

        Raises:
            UnknownFlow: the router chose a flow that is not registered.
            Exception: anything the router raises.
        """
        if self.router is None:
            return self.flows.get(self.opening if purpose is Purpose.OPENING else self.closing)
        chosen = self.router.function(began, purpose)
        if chosen is None:
            return None
        if isinstance(chosen, Flow):
            self._named(chosen.name, "the router")
            found = self.find(chosen.name, chosen.version)
            if found is None or chosen is not found:
                raise UnknownFlow(f"the router: FLOWS holds a different flow named {chosen.name!r}")
            return found
        if chosen not in self.flows:  # not quoted: the name may be the user's words
            raise UnknownFlow(
                f"the router: no flow has the name that it returned; known flows: {self._known}",
            )
        return self.flows[chosen]

    def named(self, name: str) -> Flow:
        """The newest version of a flow. Raises `UnknownFlow`."""
        return self._named(name, "FLOWS")

    def _named(self, name: str, where: str) -> Flow:
        if name not in self.flows:
            raise UnknownFlow(f"{where}: there is no flow {name!r}; known flows: {self._known}")
        return self.flows[name]

    @property
    def _known(self) -> str:
        return ", ".join(sorted(self.flows)) or "none"


def load_catalogue(modules: Iterable[str], opening: str = "", closing: str = "") -> Catalogue:
    """Load the flows and the router of the named modules.

    Raises:
        UnknownFlow: a module can't be imported, two flows share a name and version,
            there are two routers, or the opening or closing flow is missing.
    """
    names = list(modules)
    router, handlers = load_router(names), load_handlers(names)
    newest = load_flows(names)
    older = tuple(flow for flow in load_versions(names) if newest[flow.name] is not flow)
    return Catalogue(newest, opening, closing, router, tuple(names), older, handlers)


def load_flows(modules: Iterable[str]) -> dict[str, Flow]:
    """Load the newest version of each flow, by name. Raises `UnknownFlow`."""
    return {flow.name: flow for flow in sorted(load_versions(modules), key=lambda flow: flow.version)}


def load_versions(modules: Iterable[str]) -> list[Flow]:
    """Load all flows of the named modules, in all versions.

    Raises:
        UnknownFlow: a module can't be imported, or two flows share a name and version.
    """
    flows: dict[tuple[str, int], Flow] = {}
    for name in modules:
        for found in vars(import_module(name)).values():
            if isinstance(found, Flow):
                known = flows.setdefault((found.name, found.version), found)
                if known is not found:
                    says = f"two flows are named {found.name!r}; the second is in {name!r}"
                    raise UnknownFlow(
                        f"FLOWS: {says}. A newer version needs its number: version={found.version + 1}",
                    )
    return [*flows.values()]


def load_router(modules: Iterable[str]) -> Router | None:
    """Load the router of the named modules, if any.

    Raises:
        UnknownFlow: a module can't be imported, or there are two routers.
    """
    routers: dict[int, tuple[Router, str]] = {}
    for name in modules:
        for value in vars(import_module(name)).values():
            if isinstance(value, Router):
                routers[id(value)] = (value, name)
    if len(routers) > 1:
        places = " and ".join(sorted(repr(name) for _, name in routers.values()))
        raise UnknownFlow(f"FLOWS: there is more than one router, in {places}")
    return next((found for found, _ in routers.values()), None)


def load_handlers(modules: Iterable[str]) -> Handlers:
    """Load the handlers of the named modules.

    Raises:
        UnknownFlow: a module can't be imported, or two handlers conflict.
    """
    try:
        return handlers_in(import_module(name) for name in modules)
    except TwoHandlers as error:
        raise UnknownFlow(f"FLOWS: {error}") from None


def import_module(name: str) -> ModuleType:
    """Import a module of FLOWS.

    Raises:
        UnknownFlow: it is not a module's name, or the import failed.
    """
    if name.endswith(".py") or "/" in name:
        module = name.removesuffix(".py").strip("./").replace("/", ".")
        raise UnknownFlow(
            f"FLOWS: {name!r} is a file: write the module's name, {module}, and start the bot beside it",
        )
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        says = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UnknownFlow(
            f"FLOWS: module {name!r} can't be imported: {says}{_place(error)}",
        ) from error


def _place(error: BaseException) -> str:
    """Where an import failed: the last file and line outside Python's own code."""
    if isinstance(error, SyntaxError):
        return f" at {error.filename}:{error.lineno}" if error.filename else ""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames and frames[-1].filename != __file__ else ""
