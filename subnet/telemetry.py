"""What a process says about itself: log records to stderr, counters and gauges for Prometheus.

Nothing here acts at import. A program calls :func:`log_to_stderr` once; modules log through
``logging.getLogger(__name__)`` with plain events and ``extra={...}`` fields, which come out as
``event  key=value`` or as one JSON object a line. A neuron makes one :class:`Metrics` and counts
on it; ``render`` gives the text of a ``/metrics`` page. prometheus-client is imported by the
first metric.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from subnet.errors import ConfigError
from subnet.types import RAO_PER_TAO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client import CollectorRegistry, Counter, Gauge

    from subnet.health import Health
    from subnet.types import Neuron

NOISY = dict.fromkeys(
    ("aiohttp", "asyncio", "matplotlib", "PIL", "substrateinterface", "scalecodec", "urllib3", "websocket"),
    logging.WARNING,
) | {"stamina": logging.ERROR}  # it warns of every retry; what comes of them is ours to say
"""Libraries, and the level from which they are heard unless asked for."""

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# A peer's text may hold line breaks, terminal escapes, or marks that turn the direction in which what follows is
# read; a log line stays one harmless line.
_TURNS = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
HARMLESS = (
    {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
    | {code: f"\\u{code:04x}" for code in _TURNS}
    | {10: "\\n", 13: "\\r", 9: "\\t"}
)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as ``extra=``."""
    return {key: value for key, value in vars(record).items() if key not in _PLAIN}


class ConsoleFormatter(logging.Formatter):
    """``07:43:42.125 INFO    subnet.axon  serving  port=8091``; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        pairs = "".join(f" {key}={value}" for key, value in fields_of(record).items())
        event = f"{record.getMessage()} {pairs}" if pairs else record.getMessage()
        line = f"{moment} {record.levelname:7} {record.name}  {event.translate(HARMLESS)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One object a line: ``ts`` (ISO 8601, UTC), ``level``, ``logger``, ``event``, fields, ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        entry = fields_of(record) | {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def log_to_stderr(
    level: int | str = "INFO",
    *,
    as_json: bool = False,
    third_party: bool = False,
    stream: TextIO | None = None,
) -> logging.Handler:
    """Send the process's log from ``level`` up to stderr (or ``stream``); for programs, not libraries.

    A second call replaces the first one's handler and leaves everybody else's in place. Libraries
    named in :data:`NOISY` are heard from their level there up unless ``third_party``. Returns the handler.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else ConsoleFormatter())
    handler.set_name("subnet")
    root = logging.getLogger()
    for old in [h for h in root.handlers if h.get_name() == "subnet"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name, quiet in NOISY.items():
        logging.getLogger(name).setLevel(logging.NOTSET if third_party else quiet)
    return handler


class Metric(NamedTuple):
    """A counter or gauge: its help text and the labels beside netuid, hotkey and role."""

    kind: str
    help: str
    labels: tuple[str, ...] = ()


METRICS = {
    "subnet_rounds_total": Metric("counter", "Scoring rounds, by outcome (ok, failed).", ("outcome",)),
    "subnet_weights_set_total": Metric(
        "counter",
        "What became of weights: ok, committed, failed, timeout, unseen, reveal-failed; missed: an epoch without them.",
        ("outcome", "mechanism"),
    ),
    "subnet_epochs_without_weights_total": Metric(
        "counter", "Epochs that ran without this validator's weights, by reason.", ("reason", "mechanism")
    ),
    "subnet_round_asked": Metric("gauge", "Miners that the last round asked."),
    "subnet_round_answered": Metric("gauge", "Miners that answered it."),
    "subnet_round_seconds": Metric("gauge", "How long the last round took, in seconds."),
    "subnet_score": Metric(
        "gauge", "A peer's moving score: any finite number, weights go by what is above 0.", ("peer",)
    ),
    "subnet_metagraph_block": Metric("gauge", "The block of the metagraph in use."),
    "subnet_registered": Metric("gauge", "1 while the neuron has a uid, 0 while it has none."),
    "subnet_stake_alpha": Metric("gauge", "The neuron's own stake on the chain, in alpha."),
    "subnet_emission_alpha": Metric("gauge", "What it earned in the last epoch, in alpha."),
    "subnet_incentive": Metric("gauge", "Its incentive, 0 to 1."),
    "subnet_validator_trust": Metric("gauge", "Its vtrust, 0 to 1."),
    "subnet_last_update_block": Metric("gauge", "The block of its last weights, or of its registration."),
    "subnet_requests_total": Metric("counter", "Requests, by outcome (served, or the refusal's code).", ("outcome",)),
    "subnet_organic_requests_total": Metric(
        "counter", "Users' requests to a validator, by outcome (served, or the refusal's code).", ("outcome",)
    ),
    "subnet_organic_unjudged_total": Metric("counter", "Users' requests whose results were not judged."),
    "subnet_requests_in_flight": Metric("gauge", "Requests being received or answered right now."),
    "subnet_loop_failures_total": Metric("counter", "Passes of a background loop that ended in an error.", ("loop",)),
    "subnet_chain_reachable": Metric("gauge", "1 while the chain answers, 0 while it does not."),
    "subnet_chain_stale_seconds": Metric("gauge", "Since the chain's head was last seen to move."),
}
"""Every metric there is: a name outside this table is a KeyError, so that none grows by what a peer sends."""


_SUMMED = {"subnet_requests_in_flight"}
"""Gauges that several workers add up; of the others the latest value stands."""
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's own variable: the folder through which several processes count as one."""


class Metrics:
    """One neuron's counters and gauges, all labelled with its netuid, hotkey and role (miner, validator)."""

    def __init__(
        self,
        *,
        netuid: int,
        hotkey: str,
        role: str,
        registry: CollectorRegistry | None = None,
        sink: Callable[[str, float, Mapping[str, str]], None] | None = None,
    ) -> None:
        """``sink`` is told of each change as well: the metric's name, its new value or what was counted, its own
        labels. It must neither wait nor raise (:class:`subnet.sinks.WandbSink`)."""
        self._sink = sink
        self._mine = {"netuid": str(netuid), "hotkey": hotkey, "role": role}
        self._registry = registry
        self._known: dict[str, Counter | Gauge] = {}
        self._many: dict[str, dict[str, Counter | Gauge]] = {}  # of those that gauges() sets, by the label's value

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Raise counter ``name`` by ``amount``; KeyError or ValueError for what METRICS does not list."""
        self._metric(name).labels(**self._mine, **labels).inc(amount)
        if self._sink is not None:
            self._sink(name, amount, labels)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set gauge ``name`` to ``value``; errors as for :meth:`count`."""
        if METRICS[name].kind != "gauge":
            raise ValueError(f"{name} is a counter; it is counted, not set")
        child = self._metric(name).labels(**self._mine, **labels)
        child.set(value)  # type: ignore[union-attr]
        if self._sink is not None:
            self._sink(name, value, labels)

    def gauges(self, name: str, label: str, values: Mapping[Any, float]) -> None:
        """Set gauge ``name`` for each value of its one label; for hundreds at once, as :meth:`gauge` else."""
        if METRICS[name].kind != "gauge":
            raise ValueError(f"{name} is a counter; it is counted, not set")
        children = self._many.setdefault(name, {})
        for which, value in values.items():
            child = children.get(which)
            if child is None:
                child = children[which] = self._metric(name).labels(**self._mine, **{label: which})
            child.set(value)  # type: ignore[union-attr]
        if self._sink is not None:
            for which, value in values.items():
                self._sink(name, value, {label: which})

    def show_neuron(self, neuron: Neuron | None) -> None:
        """Set the gauges of what the chain says of the neuron itself; without a uid it has and earns nothing."""
        self.gauge("subnet_registered", int(neuron is not None))
        self.gauge("subnet_stake_alpha", neuron.stake / RAO_PER_TAO if neuron else 0.0)
        self.gauge("subnet_emission_alpha", neuron.emission / RAO_PER_TAO if neuron else 0.0)
        self.gauge("subnet_incentive", neuron.incentive if neuron else 0.0)
        self.gauge("subnet_validator_trust", neuron.validator_trust if neuron else 0.0)
        if neuron is not None:
            self.gauge("subnet_last_update_block", neuron.last_update)

    def forget(self, name: str, **labels: str) -> None:
        """Drop one labelled value: of a peer that has left, for instance."""
        for value in labels.values():
            self._many.get(name, {}).pop(value, None)
        self._metric(name).remove_by_labels({**self._mine, **labels})

    def render(self) -> tuple[bytes, str]:
        """The body and Content-Type of a ``/metrics`` page."""
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self._served_registry()), CONTENT_TYPE_LATEST

    def serve(self, port: int, host: str = "127.0.0.1", *, health: Health | None = None) -> int:
        """Serve ``/metrics`` on a thread of its own until the process ends; returns the port (0 takes any).

        With ``health`` also ``/health`` and ``/ready``. Raises ConfigError if the address can't be bound.
        """
        from prometheus_client import start_http_server

        try:
            server, _ = start_http_server(port, addr=host, registry=self._served_registry())
        except OSError as error:
            raise ConfigError(
                f"can't serve metrics on {host}:{port}: {error.strerror}", remedy="Choose another --metrics-port."
            ) from None
        if health is not None:
            server.set_app(_with_health(health, server.get_app()))  # type: ignore[arg-type]
        return int(server.server_port)

    def _served_registry(self) -> CollectorRegistry:
        """What is shown: this process's metrics, or those of all workers together."""
        if not os.environ.get(SHARED_FOLDER):
            return self._own_registry()
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return together

    def _own_registry(self) -> CollectorRegistry:
        if self._registry is None:
            from prometheus_client import CollectorRegistry

            self._registry = CollectorRegistry()
        return self._registry

    def _metric(self, name: str) -> Counter | Gauge:
        metric = self._known.get(name)
        if metric is None:
            from prometheus_client import Counter, Gauge

            kind, text, labels = METRICS[name]
            names, registry = (*self._mine, *labels), self._own_registry()
            if kind == "counter":
                metric = Counter(name, text, names, registry=registry)
            else:
                mode: Any = "livesum" if name in _SUMMED else "livemostrecent"
                metric = Gauge(name, text, names, registry=registry, multiprocess_mode=mode)
            self._known[name] = metric
        return metric


def _with_health(
    health: Health, metrics: WSGIApplication
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """The page of metrics with a neuron's health beside it."""

    def page(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        answer = health.answer(environ.get("PATH_INFO", "")) if environ.get("REQUEST_METHOD") == "GET" else None
        if answer is None:
            return metrics(environ, start)
        status, body = answer
        start("200 OK" if status == 200 else "503 Service Unavailable", [("Content-Type", "application/json")])
        return [body]

    return page
