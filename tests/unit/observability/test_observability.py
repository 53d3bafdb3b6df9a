"""Metrics, dashboard, alert rules, log names and docs/reference.md tell of the same things, and all of it exists."""

from __future__ import annotations

import ast
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from bot.control.facts import Answer
from bot.control.state import Outcome
from bot.observability import Metrics
from bot.observability.names import EVENTS
from bot.signals import Signal
from bot.store.interface import Counts
from bot.store.migrations import empty_database
from bot.store.questions import COUNTS, FLOWS
from webhooks.inbox import NewEvent

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
FOLDER = files("bot.observability")
DASHBOARD: dict[str, Any] = json.loads(FOLDER.joinpath("dashboard.json").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load(FOLDER.joinpath("alerts.yml").read_text())["groups"][0]["rules"]
LEVELS = {"debug", "info", "warning", "warn", "error", "exception", "critical", "log"}
SOURCES = [*(ROOT / "bot").rglob("*.py"), *(ROOT / "webhooks").rglob("*.py")]


def dashboard_queries() -> list[str]:
    """Every query of the dashboard, as Grafana would fill it in."""
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [query.replace("$__rate_interval", "5m").replace("$job", ".*") for query in queries]


ALERTS = {rule["alert"]: rule["expr"] for rule in RULES}
QUERIES = [*dashboard_queries(), *ALERTS.values()]


def families(metrics: Metrics) -> dict[str, Any]:
    """The metrics of a page by name."""
    page = metrics.show(Counts(1, 2, 3, 4.5, 5, 6, 7, 8)).decode()
    return {family.name: family for family in text_string_to_metric_families(page)}


def sample_names(metrics: Metrics) -> set[str]:
    """The names by which a query may ask."""
    metrics.on_signal(Signal("duty_closed", fields={"action": "release", "seconds": 1.0}))
    described = [family for family in metrics.registry.collect() if family.name.startswith("switchboard_")]
    ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"], "gauge": [""]}
    return {family.name + end for family in described for end in ends[family.type]}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_one(query: str) -> None:
    """It parses, and asks for what there is."""
    promql_parser.parse(query)
    asked = set(re.findall(r"\bswitchboard_\w+", query))
    assert asked or "process_" in query
    assert asked <= sample_names(Metrics())


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_known_values(query: str) -> None:
    """Of events, outcomes and answers."""
    known = {
        "event": set(EVENTS),
        "outcome": {answer.value for answer in Answer} | {outcome.value for outcome in Outcome},
        "code": {"200", "400", "401", "403", "413", "415", "503"},
    }
    for label, values in known.items():
        for pattern in re.findall(rf'\b{label}[!=]=?~?"([^"]*)"', query):
            for value in pattern.split("|") if ".*" not in pattern else []:
                assert value in values
            assert any(re.fullmatch(pattern, value) for value in values)


def test_gauges_of_the_database_are_not_summed() -> None:
    """Each process shows the same."""
    shared = [name for name in sample_names(Metrics()) if name.startswith(("switchboard_conv", "switchboard_duties_"))]
    for query in QUERIES:
        for name in shared:
            assert f"sum({name}" not in query


def test_the_dashboard_is_whole() -> None:
    """Every panel has a title, an id of its own, and a place that no other one takes."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 10
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"]
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_alert_says_what_to_do() -> None:
    """A severity, a summary, a description; and it has a name of its own."""
    assert len(ALERTS) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_reference_names_every_metric() -> None:
    """And none that is not there, each with its type and its labels."""
    page = (ROOT / "docs" / "reference.md").read_text()
    told = re.findall(r"^\| `(switchboard_\w+)(?:\{([\w, ]*)\})?` \| (\w+) \|", page, re.MULTILINE)
    metrics = Metrics()
    metrics.on_signal(Signal("duty_closed", fields={"action": "release", "seconds": 1.0}))
    kinds = {}
    for collector, names in metrics.registry._collector_to_names.items():
        for name in names:
            labels = ", ".join(getattr(collector, "_labelnames", ()))
            kinds[name] = (labels, getattr(collector, "_type", ""))
    for name, labels, kind in told:
        assert kinds[name] == (labels, kind), name
    ends = ("_bucket", "_sum", "_count", "_created")
    real = {name for name in sample_names(metrics) if not name.endswith(ends)}
    real |= {name.removesuffix("_bucket") for name in sample_names(metrics) if name.endswith("_bucket")}
    assert {name for name, _, _ in told} == real


def test_what_is_unknown_makes_no_series() -> None:
    """A thousand new event types and names count as one."""
    metrics = Metrics()
    metrics.on_stored([NewEvent(f"{n}", None, f"new:{n}", b"{}", NOW) for n in range(1000)])
    for number in range(1000):
        metrics.on_signal(Signal(f"name_{number}"))
    found = families(metrics)
    others = [s.value for s in found["switchboard_events_received"].samples if s.labels.get("type") == "other"]
    assert others == [1000]
    assert [s.labels["event"] for s in found["switchboard_signals"].samples if s.name.endswith("_total")] == ["other"]


def run_over(metrics: Metrics, outcome: str, times: int = 1, **flow: str) -> None:
    """Runs of a flow are over."""
    for _ in range(times):
        metrics.on_signal(Signal("flow_over", fields={"outcome": outcome, "seconds": 2.0, **flow}))


def test_flows_in_sight() -> None:
    """Runs by flow and outcome, there with 0 from the start; a name that is not registered is no label."""
    metrics = Metrics()
    metrics.know_flows(["order", "survey"])
    run_over(metrics, "complete", 2, flow="order")
    run_over(metrics, "failed", flow="a word of a user")
    run_over(metrics, "complete")
    run_over(metrics, "an outcome of tomorrow", flow="order")
    runs = [s for s in families(metrics)["switchboard_flow_runs"].samples if s.name.endswith("_total")]
    assert len(runs) == 2 * len(Outcome) + 2
    assert {(s.labels["flow"], s.labels["outcome"]): s.value for s in runs if s.value} == {
        ("order", "complete"): 2,
        ("order", "unknown"): 1,
        ("other", "failed"): 1,
        ("none", "complete"): 1,
    }


def test_who_waits_in_which_flow() -> None:
    """All versions together; not a number where the database is away."""
    metrics = Metrics()
    metrics.know_flows(["order", "survey"])
    at_work = {("order", 1): 3, ("order", 2): 4, ("gone", 1): 1, ("", 1): 1}
    for _ in range(2):
        page = metrics.show(Counts(1, 2, 3, 4.5, 5, 6, 7, 8, at_work)).decode()
        found = re.findall(r'switchboard_flow_waiting{flow="(\w+)"} (\S+)', page)
        assert found == [("order", "7.0"), ("other", "2.0"), ("survey", "0.0")]
    assert 'switchboard_flow_waiting{flow="order"} NaN' in metrics.show(None).decode()


def test_calls_of_flows() -> None:
    """By function and outcome; beyond two hundred functions all count as one."""
    metrics = Metrics()
    for number in range(250):
        for outcome in ("done", "failed"):
            fields = {"function": f"f{number}", "outcome": outcome, "seconds": 0.2}
            metrics.on_signal(Signal("call_over", fields=fields))
    calls = [s for s in families(metrics)["switchboard_calls"].samples if s.name.endswith("_total")]
    assert len(calls) == 2 * 201
    assert [s.value for s in calls if s.labels == {"function": "f7", "outcome": "failed"}] == [1]
    assert [s.value for s in calls if s.labels == {"function": "other", "outcome": "done"}] == [50]


@pytest.mark.parametrize(
    ("failed", "timed_out", "well", "fires"),
    [(3, 0, 7, True), (1, 1, 8, True), (1, 0, 0, False), (2, 0, 98, False), (0, 0, 10, False), (50, 0, 50, True)],
)
def test_failing_flows_are_noticed_by_their_share(failed: int, timed_out: int, well: int, fires: bool) -> None:
    """Three of ten in an hour are; one alone is not, and neither are two of a hundred."""
    metrics = Metrics()
    metrics.know_flows(["order", "survey"])
    for outcome, times in (("failed", failed), ("timed_out", timed_out), ("complete", well)):
        run_over(metrics, outcome, times, flow="order")
    run_over(metrics, "complete", 5, flow="survey")
    samples = families(metrics)["switchboard_flow_runs"].samples
    found = evaluated(promql_parser.parse(ALERTS["SwitchboardFlowsFail"]), samples)
    assert found == ({"order"} if fires else set())


def evaluated(node: Any, samples: Sequence[Any]) -> Any:
    """The flows for which a rule holds, one hour after all counters were 0.

    Knows the little of PromQL that the rule has: sums by flow of increases, divisions, comparisons, and `and`.
    """
    if isinstance(node, promql_parser.NumberLiteral):
        return node.val
    if isinstance(node, promql_parser.Call):
        selector = node.args[0].vector_selector
        matchers = selector.matchers.matchers
        return [
            s
            for s in samples
            if s.name == selector.name and all(re.fullmatch(one.value, s.labels[one.name]) for one in matchers)
        ]
    if isinstance(node, promql_parser.AggregateExpr):
        sums: dict[str, float] = {}
        for sample in evaluated(node.expr, samples):
            flow = sample.labels["flow"]
            sums[flow] = sums.get(flow, 0) + sample.value
        return sums
    left, right = evaluated(node.lhs, samples), evaluated(node.rhs, samples)
    operator = str(node.op)
    if operator == "/":
        return {flow: left[flow] / right[flow] for flow in left if right.get(flow)}
    if operator == ">":
        return {flow for flow, value in left.items() if value > right}
    assert operator == "and", "the rule has become more than this understands"
    return left & right


def test_a_database_that_is_away_hides_nothing_else() -> None:
    """Its own numbers are not known; what the process counts is still shown."""
    page = Metrics().show(None).decode()
    assert "switchboard_database_up 0.0" in page
    assert "switchboard_duties_owed NaN" in page
    assert "switchboard_mode_mismatches_total 0.0" in page
    assert "switchboard_build_info{" in page


async def test_commits_are_measured() -> None:
    """How long, and how many events; a failure passes through and is none."""
    metrics, failing = Metrics(), [False, True]

    async def store(events: Sequence[NewEvent]) -> int:
        if failing.pop(0):
            raise OSError
        return len(events)

    timed = metrics.timed(store)
    events = [NewEvent(str(number), None, "t", b"{}", NOW) for number in range(3)]
    assert await timed(events) == 3
    with pytest.raises(OSError):  # noqa: PT011 - as it was raised
        await timed(events)
    sums = {s.name: s.value for family in families(metrics).values() for s in family.samples if not s.labels}
    assert sums["switchboard_inbox_commit_events_sum"] == 3
    assert sums["switchboard_inbox_commit_seconds_count"] == 1


def test_counting_scans_no_table() -> None:
    """Every number of `/metrics` goes along an index that holds nothing but what is counted."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(empty_database())
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + COUNTS, {"overdue": 0})]
        plan += [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + FLOWS)]
        partial = {
            name for name, sql in connection.execute("SELECT name, sql FROM sqlite_master") if " WHERE " in (sql or "")
        }
    reads = [step for step in plan if step.startswith(("SCAN", "SEARCH")) and step != "SCAN CONSTANT ROW"]
    assert len(reads) == 9
    for step in reads:
        assert re.search(r"INDEX (\w+)", step), step
        assert re.findall(r"INDEX (\w+)", step)[0] in partial, step


def told_names() -> Iterator[str]:
    """The first words of every signal and report in the code."""
    for path in SOURCES:
        if path.is_relative_to(ROOT / "bot" / "sandbox"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = ast.unparse(node.func)
                owner, _, method = called.rpartition(".")
                is_report = called == "self._report" or (method == "report" and "draft" in owner)
                if called in ("Signal", "chat.log") or is_report:
                    yield str(node.args[0].value)


def test_every_name_is_explained() -> None:
    """Each name of the code is in the table, and each name of the table in the code."""
    assert set(told_names()) == set(EVENTS)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in EVENTS)


def test_every_name_counts() -> None:
    """In the metrics, under its name."""
    metrics = Metrics()
    for name in EVENTS:
        metrics.on_signal(Signal(name))
    counted = {
        sample.labels["event"]: sample.value
        for sample in families(metrics)["switchboard_signals"].samples
        if sample.name == "switchboard_signals_total"
    }
    assert counted == dict.fromkeys(EVENTS, 1)


def test_names_in_the_docs() -> None:
    """What docs/troubles.md gives the name of a log line is one."""
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", (ROOT / "docs" / "troubles.md").read_text()))
    assert len(words & set(EVENTS)) > 5
    assert words - set(EVENTS) == {"rate_limit", "switchboard_signals_total"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_log_hook_logs(path: Path) -> None:
    """Everything else sends signals: a line that is logged beside them is in no metric and no trace."""
    if path == ROOT / "bot" / "observability" / "logs.py":
        return
    tree = ast.parse(path.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in imported if name.split(".")[0] == "structlog"}
    loggers = {
        ast.unparse(target)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "getLogger" in ast.unparse(node.value)
        for target in node.targets
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
            owner = ast.unparse(node.func.value)
            assert owner not in {"logging", *loggers}, f"line {node.lineno} logs by itself"
            assert "getLogger" not in owner, f"line {node.lineno} logs by itself"
