import io
import json
import logging
from collections.abc import Iterator, Mapping
from datetime import datetime

import pytest

from subnet import telemetry
from subnet.errors import ConfigError


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    noisy = {name: logging.getLogger(name).level for name in telemetry.NOISY}
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    for name, its_level in noisy.items():
        logging.getLogger(name).setLevel(its_level)


def logged(as_json: bool = False, level: str = "INFO", third_party: bool = False) -> io.StringIO:
    stream = io.StringIO()
    telemetry.log_to_stderr(level, as_json=as_json, third_party=third_party, stream=stream)
    return stream


def test_a_console_line_holds_level_logger_event_and_fields() -> None:
    stream = logged()
    logging.getLogger("subnet.axon").info("serving on %s", "127.0.0.1", extra={"port": 8091, "uid": 3})
    moment, rest = stream.getvalue().split(" ", 1)
    datetime.strptime(moment, "%H:%M:%S.%f")
    assert rest == "INFO    subnet.axon  serving on 127.0.0.1  port=8091 uid=3\n"


def test_a_json_line_is_one_object() -> None:
    stream = logged(as_json=True)
    logging.getLogger("subnet.axon").warning("refused\nforged", extra={"code": "auth.stale", "peer": object})
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["event"] == "refused\nforged"
    assert (entry["level"], entry["logger"], entry["code"]) == ("WARNING", "subnet.axon", "auth.stale")
    assert datetime.fromisoformat(entry["ts"]).tzinfo is not None
    assert "object" in entry["peer"]


def test_fields_never_overwrite_the_records_own() -> None:
    stream = logged(as_json=True)
    logging.getLogger("subnet").warning("real", extra={"event": "forged", "level": "DEBUG"})
    entry = json.loads(stream.getvalue())
    assert (entry["event"], entry["level"]) == ("real", "WARNING")


def test_text_of_a_peer_can_neither_break_the_line_nor_drive_the_terminal() -> None:
    stream = logged()
    logging.getLogger("subnet").warning(
        "said %s", "a\n00:00:00 INFO forged\x1b[2J\x9b\u202e\u2028", extra={"x": "b\r\nc"}
    )
    assert stream.getvalue().count("\n") == 1
    assert "a\\n00:00:00 INFO forged\\x1b[2J\\x9b\\u202e\\u2028  x=b\\r\\nc" in stream.getvalue()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_traceback_is_kept(as_json: bool) -> None:
    stream = logged(as_json=as_json)
    try:
        raise ValueError("deep down")
    except ValueError:
        logging.getLogger("subnet").exception("round failed")
    text = json.loads(stream.getvalue())["exception"] if as_json else stream.getvalue()
    assert "Traceback" in text
    assert "ValueError: deep down" in text


def test_a_second_call_replaces_the_first_and_leaves_others() -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    first, second = logged(), logged()
    logging.getLogger("subnet").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
    assert other in logging.getLogger().handlers


def test_other_libraries_are_heard_from_warning_up_unless_asked_for() -> None:
    stream = logged(level="DEBUG")
    logging.getLogger("aiohttp.access").info("GET /")
    logging.getLogger("aiohttp.server").warning("odd")
    assert "odd" in stream.getvalue()
    assert "GET /" not in stream.getvalue()
    stream = logged(level="DEBUG", third_party=True)
    logging.getLogger("aiohttp.access").info("GET /")
    assert "GET /" in stream.getvalue()


def metrics() -> telemetry.Metrics:
    return telemetry.Metrics(netuid=2, hotkey="5Alice", role="validator")


def test_metrics_carry_the_neurons_labels() -> None:
    m = metrics()
    m.count("subnet_rounds_total", outcome="ok")
    m.count("subnet_rounds_total", 2, outcome="ok")
    m.gauge("subnet_metagraph_block", 41)
    m.gauge("subnet_metagraph_block", 42)
    body, content_type = m.render()
    assert content_type.startswith("text/plain")
    labels = 'hotkey="5Alice",netuid="2",'
    assert f'subnet_rounds_total{{{labels}outcome="ok",role="validator"}} 3.0' in body.decode()
    assert f'subnet_metagraph_block{{{labels}role="validator"}} 42.0' in body.decode()


def test_a_value_can_be_forgotten() -> None:
    m = metrics()
    m.gauge("subnet_score", 0.5, peer="7")
    m.forget("subnet_score", peer="7")
    assert b'peer="7"' not in m.render()[0]


def test_many_values_at_once_are_as_one_by_one() -> None:
    told: list[tuple[str, float, Mapping[str, str]]] = []
    m = telemetry.Metrics(netuid=2, hotkey="5Alice", role="validator", sink=lambda *one: told.append(one))
    m.gauges("subnet_score", "peer", {"7": 0.25, "8": 0.5})
    m.gauges("subnet_score", "peer", {"7": 0.75})
    assert b'peer="7",role="validator"} 0.75' in m.render()[0]
    assert b'peer="8",role="validator"} 0.5' in m.render()[0]
    assert told[-1] == ("subnet_score", 0.75, {"peer": "7"})
    m.forget("subnet_score", peer="7")
    assert b'peer="7"' not in m.render()[0]
    m.gauges("subnet_score", "peer", {"7": 1.0})  # it is back
    assert b'peer="7",role="validator"} 1.0' in m.render()[0]
    with pytest.raises(ValueError, match="counted, not set"):
        m.gauges("subnet_rounds_total", "outcome", {"ok": 1.0})


def test_names_labels_and_kinds_outside_the_table_are_errors() -> None:
    m = metrics()
    with pytest.raises(KeyError):
        m.count("subnet_whatever_total")
    with pytest.raises(ValueError, match="label"):
        m.count("subnet_rounds_total", peer="7")
    with pytest.raises(ValueError, match="counted, not set"):
        m.gauge("subnet_rounds_total", 1.0, outcome="ok")


def test_two_neurons_in_one_process_do_not_share() -> None:
    a, b = metrics(), metrics()
    a.count("subnet_rounds_total", outcome="ok")
    assert b'outcome="ok"' not in b.render()[0]


def test_every_metric_in_the_table_can_be_made() -> None:
    m = metrics()
    for name, metric in telemetry.METRICS.items():
        use = m.count if metric.kind == "counter" else m.gauge
        use(name, 1.0, **dict.fromkeys(metric.labels, "x"))
    text = m.render()[0].decode()
    assert all(f"\n{name}{{" in text for name in telemetry.METRICS)


def test_metrics_are_served_over_http() -> None:
    import urllib.request

    m = metrics()
    m.gauge("subnet_metagraph_block", 42)
    port = m.serve(0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        assert b"subnet_metagraph_block" in page.read()
    with pytest.raises(ConfigError, match="can't serve metrics"):
        metrics().serve(port)
