"""What a neuron says of its health, and how the page answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from subnet.health import Health
from subnet.telemetry import Metrics


def fetch(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as page:
            return page.status, page.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_trouble_is_told_until_it_is_over() -> None:
    health = Health()
    assert health.answer("/health") == (200, b'{"ok": true, "ready": false, "troubles": []}\n')
    health.trouble("weights", "refused", "Wait.")
    health.trouble("chain", "away", "Look at it.")
    first = health.troubles[0]
    health.trouble("weights", "refused again", "Wait longer.")
    assert [(one.name, one.reason) for one in health.troubles] == [("weights", "refused again"), ("chain", "away")]
    assert health.troubles[0].since == first.since
    health.well("weights")
    health.well("what never ailed")
    assert [one.name for one in health.troubles] == ["chain"]


def test_the_page_answers_by_status() -> None:
    health, metrics = Health(), Metrics(netuid=1, hotkey="5A", role="miner")
    metrics.gauge("subnet_metagraph_block", 42)
    port = metrics.serve(0, health=health)
    assert fetch(port, "/ready")[0] == 503
    health.ready = True
    assert fetch(port, "/ready")[0] == 200
    health.trouble("weights", "refused", "Wait.")
    status, body = fetch(port, "/health")
    (told,) = json.loads(body)["troubles"]
    assert (status, told["name"], told["remedy"]) == (503, "weights", "Wait.")
    assert fetch(port, "/ready")[0] == 200
    health.trouble("network", "another one", "Start anew.", unready=True)
    assert fetch(port, "/ready")[0] == 503
    health.well("network")
    assert fetch(port, "/ready")[0] == 200
    assert b"subnet_metagraph_block" in fetch(port, "/metrics")[1]
