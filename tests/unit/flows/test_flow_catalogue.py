"""Which flows there are: found in modules, named by the settings."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bot import Began, Chat, Flow, FlowMisuse, flow
from bot.control.state import Purpose
from bot.flows.catalogue import Catalogue, UnknownFlowError, load_flows
from bot.flows.survey import survey
from bot.flows.triage import triage

MESSAGE = Began("message", "hi")
OWN = ["bot.flows.triage", "bot.flows.survey"]


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """A module of the team."""
    made = ModuleType("flows_of_a_test")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


async def _function(chat: Chat) -> None:
    """Do nothing."""


def test_flows_are_found_by_their_names() -> None:
    """Those that come with the bot."""
    assert load_flows(OWN) == {"triage": triage, "survey": survey}


def test_an_opening_and_a_closing_flow_are_routed() -> None:
    """By what they are for."""
    catalogue = Catalogue(load_flows(OWN), "triage", "survey")
    assert (catalogue.route(Purpose.OPENING, MESSAGE), catalogue.route(Purpose.CLOSING, MESSAGE)) == (triage, survey)


def test_an_empty_name_means_none() -> None:
    """No flow, and no error."""
    catalogue = Catalogue(load_flows(OWN), "", "")
    assert (catalogue.route(Purpose.OPENING, MESSAGE), catalogue.route(Purpose.CLOSING, MESSAGE)) == (None, None)


@pytest.mark.parametrize(
    ("opening", "closing", "setting"), [("nope", "", "OPENING_FLOW"), ("", "nope", "CLOSING_FLOW")]
)
def test_an_unknown_name_lists_the_known_ones(opening: str, closing: str, setting: str) -> None:
    """So that a slip of the pen is seen."""
    with pytest.raises(UnknownFlowError, match=f"^{setting}: there is no flow 'nope'; known flows: survey, triage$"):
        Catalogue(load_flows(OWN), opening, closing)


def test_an_unknown_name_without_any_flow_says_so() -> None:
    """There is nothing to list."""
    with pytest.raises(UnknownFlowError, match="known flows: none"):
        Catalogue({}, "nope")


def test_two_flows_with_one_name_are_refused(module: ModuleType) -> None:
    """It could be either."""
    module.survey = Flow("survey", _function)  # type: ignore[attr-defined]
    with pytest.raises(UnknownFlowError, match="two flows are named 'survey'; the second is in 'flows_of_a_test'"):
        load_flows([*OWN, module.__name__])


def test_the_same_flow_in_two_modules_is_one(module: ModuleType) -> None:
    """A module may import another's flow."""
    module.imported = survey  # type: ignore[attr-defined]
    assert load_flows([*OWN, module.__name__]) == load_flows(OWN)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("x = ", "SyntaxError"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("import sys; sys.exit(0)", "SystemExit"),
    ],
)
def test_a_module_that_cant_be_imported_is_one_line(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason, and never the end of the process."""
    (tmp_path / "broken_flows.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_flows", raising=False)
    with pytest.raises(UnknownFlowError) as caught:
        load_flows(["broken_flows"])
    assert str(caught.value).startswith("FLOWS: module 'broken_flows' can't be imported: ")
    assert re.search(r" at .*broken_flows\.py:\d+$", str(caught.value))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no.such.module", "", "..relative"])
def test_a_name_that_is_no_module_is_refused(name: str) -> None:
    """Whatever was written."""
    with pytest.raises(UnknownFlowError, match="can't be imported"):
        load_flows([name])


def test_a_flow_needs_a_name() -> None:
    """Settings could not name it."""
    with pytest.raises(FlowMisuse, match="a flow needs a name"):
        flow("")
