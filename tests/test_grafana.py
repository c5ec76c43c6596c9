"""The Grafana dashboard file: a dashboard that Grafana loads, of metrics and labels that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from subnet.telemetry import METRICS

BOARD: dict[str, Any] = json.loads((Path(__file__).parents[1] / "deploy" / "grafana.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
OURS = ("netuid", "role", "hotkey")
"""Labels that every metric has."""
QUERIES = [v["query"]["query"] for v in BOARD["templating"]["list"] if v["type"] == "query"]


def names(text: str) -> set[str]:
    return set(re.findall(r"\bsubnet_\w+", text))


def test_it_has_what_grafana_loads_by() -> None:
    assert BOARD["schemaVersion"] >= 36
    assert BOARD["title"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", BOARD["uid"])
    assert "id" not in BOARD  # one that was exported would overwrite another
    assert {v["name"] for v in BOARD["templating"]["list"]} == {"datasource", "netuid", "role", "hotkey"}
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        assert panel["type"] in ("timeseries", "stat")
        assert panel["datasource"]["uid"] == "${datasource}"
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert 0 <= at["x"] <= at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_metric_is_one_that_is_served_and_each_is_shown() -> None:
    used = names(" ".join(EXPRESSIONS + QUERIES))
    assert used - set(METRICS) == set()
    assert set(METRICS) - used == set()


def parsed(text: str) -> Any:
    """The expression as Prometheus reads it, with Grafana's variables filled in. Raises ValueError for what is none."""
    promql = pytest.importorskip("promql_parser", reason="it comes with the extra dev")
    for variable, value in (("$__rate_interval", "5m"), ("$__range", "1h"), ("$__interval", "1m")):
        text = text.replace(variable, value)
    return promql.parse(re.sub(r"\$\w+|\$\{\w+\}", "x", text))


def parts(expression: Any) -> list[Any]:
    """An expression and all that it is made of."""
    promql = pytest.importorskip("promql_parser")
    found: list[Any] = []
    promql.walk(expression, lambda part: bool(found.append(part)) or True)
    return found


def kinds(expression: Any, kind: str) -> list[Any]:
    return [part for part in parts(expression) if type(part).__name__ == kind]


def selectors(expression: Any) -> list[Any]:
    """All series that it selects, whether as they are or over a time."""
    return kinds(expression, "VectorSelector") + [one.vector_selector for one in kinds(expression, "MatrixSelector")]


def labels(expression: Any) -> set[str]:
    """The labels that what an expression gives may have, as far as its metrics and aggregations say."""
    within = {*OURS, *(label for one in selectors(expression) for label in METRICS[one.name].labels)}
    for one in kinds(expression, "AggregateExpr"):
        if str(one.op) in ("topk", "bottomk"):
            continue
        within &= set() if one.modifier is None else set(one.modifier.labels)
    return within


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_prometheus_reads_every_expression(text: str) -> None:
    expression = parsed(text)
    assert selectors(expression)
    for one in selectors(expression):
        matched = {matcher.name: matcher.value for matcher in one.matchers.matchers}
        assert one.name in METRICS
        assert set(matched) <= {*OURS, *METRICS[one.name].labels}
        assert {label: matched[label] for label in OURS} == dict.fromkeys(OURS, "x")  # the board's choice
    for one in kinds(expression, "AggregateExpr"):
        if one.modifier is not None:
            assert all({*one.modifier.labels} <= {*OURS, *METRICS[s.name].labels} for s in selectors(one.expr))


@pytest.mark.parametrize(
    "text", ["sum(", "rate(subnet_rounds_total[x])", "subnet_rounds_total{a=b}", "su m(x)", "sum(x) by"]
)
def test_what_prometheus_does_not_read_is_found(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the parser's only error
        parsed(text)


def test_every_legend_names_labels_that_there_are() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat") or ""))
            assert named <= labels(parsed(target["expr"])), target


def test_counters_are_shown_by_their_rate_and_gauges_as_they_stand() -> None:
    for text in EXPRESSIONS:
        expression = parsed(text)
        over_time = [one for one in kinds(expression, "Call") if one.func.name in ("rate", "increase")]
        rated = [one.vector_selector.name for call in over_time for one in kinds(call, "MatrixSelector")]
        for one in selectors(expression):
            assert (METRICS[one.name].kind == "counter") == (one.name in rated), text


def test_the_choices_are_labels_of_a_metric_that_every_neuron_has() -> None:
    for query in QUERIES:
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
        assert found, query
        assert found[1] in METRICS
        assert found[2] in {*OURS, *METRICS[found[1]].labels}
