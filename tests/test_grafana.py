"""The Grafana dashboard file: a dashboard that Grafana loads, of metrics and labels that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from subnet.telemetry import METRICS

BOARD: dict[str, Any] = json.loads((Path(__file__).parents[1] / "deploy" / "grafana.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
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


def test_every_label_is_one_that_the_metric_has() -> None:
    for text in EXPRESSIONS:
        assert text.count("(") == text.count(")")
        assert text.count("{") == text.count("}")
        for name, chosen in re.findall(r"(subnet_\w+)\{([^}]*)\}", text):
            labels = set(re.findall(r"(\w+)=~?\"", chosen))
            assert {"netuid", "role", "hotkey"} <= labels
            assert labels <= {"netuid", "role", "hotkey", *METRICS[name].labels}, text
        for by in re.findall(r"by \(([^)]*)\)", text):
            inside = names(text).pop()
            assert set(by.split(", ")) <= {"netuid", "role", "hotkey", *METRICS[inside].labels}


def test_counters_are_shown_by_their_rate() -> None:
    for text in EXPRESSIONS:
        for name in names(text):
            counter = METRICS[name].kind == "counter"
            assert counter == bool(re.search(rf"(rate|increase)\({name}\b", text)), text
