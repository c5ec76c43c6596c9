"""``subnet run module:Class``: one miner or validator as a process of its own, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import math
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.common import (
    ENDPOINT,
    Endpoint,
    GenesisHash,
    HotkeyName,
    Key,
    LogJson,
    Netuid,
    PasswordFile,
    Verbose,
    Wallet,
    print_json,
)
from subnet.cli.onchain import signing_key
from subnet.errors import ConfigError, DeclarationError
from subnet.loading import import_module, meant

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain import Chain
    from subnet.health import Health
    from subnet.miners import Address, Miner
    from subnet.prefork import Worker
    from subnet.sinks import WandbSink
    from subnet.telemetry import Metrics
    from subnet.tls import ServerCertificate
    from subnet.validators import Validator
    from subnet.validators.gateway import Gate

log = logging.getLogger(__name__)

MANY_FILES = 65_536

Target = Annotated[str, typer.Argument(metavar="MODULE:CLASS", help="A subclass of Miner or Validator.")]
Option = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the class; may be repeated."),
]
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="Where it remembers [default: ~/.local/state/subnet]."),
]
Host = Annotated[str, typer.Option("--host", metavar="IP", help="Miner: the address to listen on.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Miner: the port; 0 takes any free one.")]
ExternalIp = Annotated[
    str | None,
    typer.Option(
        "--external-ip", metavar="IP", help="Miner: address to announce, or auto[:IFACE|:URL] [default: --host]."
    ),
]
ExternalPort = Annotated[
    int | None,
    typer.Option("--external-port", min=1, max=65535, help="Miner: the port to announce [default: --port]."),
]
MetricsPort = Annotated[
    int | None,
    typer.Option("--metrics-port", min=0, max=65535, help="Serve /metrics, /health, /ready on this port of loopback."),
]
Wandb = Annotated[
    str | None,
    typer.Option(
        "--wandb", metavar="PROJECT", help="Send the metrics to this Weights & Biases project too (extra wandb)."
    ),
]
Workers = Annotated[
    int, typer.Option("--workers", min=1, max=256, help="Miner: processes that serve the port together.")
]
TlsCert = Annotated[
    Path | None, typer.Option("--tls-cert", metavar="PEM", help="Miner: serve https under this certificate.")
]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="Miner: the certificate's key.")]
TrustedProxy = Annotated[
    list[str] | None,
    typer.Option("--trusted-proxy", metavar="IP", help="A reverse proxy whose X-Forwarded-For is believed."),
]
ShareModel = Annotated[
    bool, typer.Option("--share-model", help="Miner: load() once, before the workers are forked, not in each.")
]
OrganicPort = Annotated[
    int | None,
    typer.Option("--organic-port", min=0, max=65535, help="Validator: let users ask its miners on this port."),
]
OrganicHost = Annotated[
    str, typer.Option("--organic-host", metavar="IP", help="Validator: the address that users ask at.")
]
OrganicTokens = Annotated[
    Path | None,
    typer.Option("--organic-tokens", metavar="FILE", help="Validator: only who has one of these tokens may ask."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what was started, and errors, as JSON; log JSON lines.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Miner: serve unsigned requests too; on loopback only.")]


def command(
    target: Target,
    netuid: Netuid,
    endpoint: Endpoint = ENDPOINT,
    genesis_hash: GenesisHash = None,
    key: Key = None,
    wallet: Wallet = None,
    hotkey: HotkeyName = None,
    password_file: PasswordFile = None,
    option: Option = None,
    state: State = None,
    host: Host = "127.0.0.1",
    port: Port = 0,
    external_ip: ExternalIp = None,
    external_port: ExternalPort = None,
    insecure: Insecure = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    trusted_proxy: TrustedProxy = None,
    workers: Workers = 1,
    share_model: ShareModel = False,
    organic_port: OrganicPort = None,
    organic_host: OrganicHost = "127.0.0.1",
    organic_tokens: OrganicTokens = None,
    metrics_port: MetricsPort = None,
    as_json: AsJson = False,
    wandb: Wandb = None,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Run a miner or validator: MODULE:CLASS, found in the current folder or installed.

    It ends with exit code 0 on SIGINT (Ctrl-C) or SIGTERM, after the requests under way. SIGHUP has a miner load its
    model anew, and swap it without dropping a request.
    """
    from subnet.health import Health
    from subnet.miners import Address, Miner
    from subnet.telemetry import Metrics

    neuron = find(target)(parse_options(option or []))
    if isinstance(neuron, Miner):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    signer = signing_key(key, wallet, hotkey, password_file)
    folder = (state or default_state()).expanduser()
    role = "miner" if isinstance(neuron, Miner) else "validator"
    if (workers > 1 or share_model) and not (isinstance(neuron, Miner) and workers > 1):
        raise ConfigError(
            "--workers and --share-model are for miners of several processes",
            remedy="Leave them out for a validator; give --workers N with --share-model.",
        )
    proxies = tuple(trusted_proxy or ())
    gate = _gate(role, organic_host, organic_port, organic_tokens, proxies)
    if external_ip is not None:
        from subnet.miners.public_address import public_address

        external_ip = public_address(external_ip)
    worker, certificate = None, _certificate(tls_cert, tls_key)
    if isinstance(neuron, Miner) and workers > 1:
        Address(host, port, external_ip, external_port, insecure, proxies)  # what can't work is said once
        worker, port = _multiply(neuron, host, port, workers, share_model=share_model)
    health = Health()
    first = worker is None or worker.number == 0
    about = {"role": role, "netuid": netuid, "hotkey": signer.ss58_address}
    sink = _sink(wandb, about) if first else None
    metrics = Metrics(netuid=netuid, hotkey=signer.ss58_address, role=role, sink=None if sink is None else sink.record)
    told: dict[str, Any] = about | {"metrics_url": None}
    if metrics_port is not None and first:
        told["metrics_url"] = f"http://127.0.0.1:{metrics.serve(metrics_port, health=health)}/metrics"
        log.info("metrics", extra={"url": told["metrics_url"]})
    if as_json and first:
        print_json(told)
    if isinstance(neuron, Miner):
        address = Address(host, port, external_ip, external_port, insecure, proxies, certificate)
        live = _mine(neuron, signer, netuid, address, folder, metrics, health, worker, share_model)
    else:
        live = _validate(neuron, signer, netuid, folder, metrics, health, gate)
    try:
        _run(lambda: _connected(endpoint, genesis_hash, live))
    finally:
        if sink is not None:
            sink.close()


Life = Callable[["Chain", asyncio.Event], Coroutine[Any, Any, None]]


def _sink(project: str | None, about: dict[str, Any]) -> WandbSink | None:
    """Where metrics go beside /metrics. Raises MissingExtra where wandb is not installed."""
    if project is None:
        return None
    from subnet.sinks import WandbSink

    return WandbSink(project, about)


def _certificate(certificate: Path | None, key: Path | None) -> ServerCertificate | None:
    from subnet.tls import load_certificate

    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("--tls-cert and --tls-key go together", remedy="Give both, or neither.")
    return load_certificate(certificate, key)


def _multiply(miner: Miner, host: str, port: int, workers: int, *, share_model: bool) -> tuple[Worker, int]:
    """Become one of ``workers`` processes; returns in each of them, with the port that they share."""
    from subnet.prefork import PATIENCE, fork_workers, reserve_port
    from subnet.service import load
    from subnet.telemetry import SHARED_FOLDER

    held = reserve_port(host, port)
    if share_model:
        asyncio.run(load(miner))
    folder = tempfile.mkdtemp(prefix="subnet-metrics-")
    os.environ[SHARED_FOLDER] = folder  # before prometheus-client is imported, which reads it then

    def gone(pid: int) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]

    try:
        worker = fork_workers(workers, gone, max(PATIENCE, math.ceil(miner.drain) + 10))
    except BaseException:  # SystemExit: only the parent comes here
        shutil.rmtree(folder, ignore_errors=True)
        raise
    port = held.getsockname()[1]
    held.close()  # the parent keeps it
    return worker, port


def _mine(
    miner: Miner,
    key: Keypair,
    netuid: int,
    address: Address,
    folder: Path,
    metrics: Metrics,
    health: Health,
    worker: Worker | None,
    loaded: bool,
) -> Life:
    async def live(chain: Chain, stop: asyncio.Event) -> None:
        from subnet.miners import MinerService
        from subnet.types import Netuid as NetuidType

        nonces = folder / f"miner-{netuid}-{key.ss58_address}.nonces"
        service = MinerService(
            miner,
            chain,
            key,
            NetuidType(netuid),
            address=address,
            nonces=nonces,
            metrics=metrics,
            health=health,
            worker=worker,
            loaded=loaded,
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, service.reload_soon)
        try:
            await service.run(stop)
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    return live


def _gate(role: str, host: str, port: int | None, tokens: Path | None, proxies: tuple[str, ...]) -> Gate | None:
    """Where users may ask, if they may. Raises ConfigError for what can't be."""
    if role == "miner" and (port is not None or tokens is not None):
        raise ConfigError("--organic-port is for validators", remedy="Users of a miner ask it by its own address.")
    if role == "miner":
        return None
    if port is None:
        for option, given in (("--organic-tokens", tokens is not None), ("--trusted-proxy", bool(proxies))):
            if given:
                raise ConfigError(f"{option} without --organic-port opens nothing", remedy="Add --organic-port.")
        return None
    from subnet.validators.gateway import Gate, read_tokens

    return Gate(host, port, read_tokens(tokens) if tokens is not None else (), proxies=proxies)


def _validate(
    validator: Validator,
    key: Keypair,
    netuid: int,
    folder: Path,
    metrics: Metrics,
    health: Health,
    gate: Gate | None,
) -> Life:
    async def live(chain: Chain, stop: asyncio.Event) -> None:
        from subnet.store import ledger_path
        from subnet.types import Netuid as NetuidType
        from subnet.validators import ValidatorService

        path = ledger_path(folder, netuid, key.ss58_address)
        service = ValidatorService(
            validator, chain, key, NetuidType(netuid), path=path, metrics=metrics, health=health, gate=gate
        )
        await service.run(stop)

    return live


async def _connected(endpoint: str, genesis_hash: str | None, live: Life) -> None:
    from subnet.chain import Chain
    from subnet.service import unless, until_signalled

    async with until_signalled() as stop:
        connecting = asyncio.ensure_future(Chain.connect(endpoint, genesis_hash=genesis_hash))
        if await unless(stop, connecting):
            async with connecting.result() as chain:
                await live(chain, stop)


def _allow_files() -> None:
    """Open as many files as the system permits us: each connection is one, and 1,024 is a common default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Like asyncio.run, on uvloop where that is installed."""
    _allow_files()
    try:
        factory = importlib.import_module("uvloop").new_event_loop
    except ModuleNotFoundError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def find(target: str) -> type[Miner] | type[Validator]:
    """The class that ``module:Class`` names, with the current folder on the path.

    Raises ConfigError for a module or class that is not there (with the name that may have been
    meant) and DeclarationError for one that is neither Miner nor Validator, or can't be imported.
    """
    from subnet.miners import Miner
    from subnet.validators import Validator

    name, colon, attribute = target.partition(":")
    if not (name and colon and attribute):
        raise ConfigError(f"{target!r} is not MODULE:CLASS", remedy="Write for instance miner:DigitsMiner.")
    module = import_module(name)
    found = getattr(module, attribute, None)
    neurons = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, (Miner, Validator))
        and value is not Miner
        and not inspect.isabstract(value)
    }
    if found is None:
        raise ConfigError(f"{name} has no class {attribute}", remedy=meant(attribute, neurons, f"{name}:"))
    if not isinstance(found, type) or not issubclass(found, (Miner, Validator)):
        raise DeclarationError(
            f"{target} is neither a Miner nor a Validator", remedy=meant(attribute, neurons, f"{name}:")
        )
    if inspect.isabstract(found):
        raise DeclarationError(
            f"{target} has no round", remedy="Add: async def round(self, peers) -> Mapping[Uid, float]."
        )
    return found


def parse_options(pairs: Sequence[str]) -> dict[str, str]:
    """``["a=1", "b=x=y"]`` as ``{"a": "1", "b": "x=y"}``; ConfigError for what has no name or is given twice."""
    options: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise ConfigError(f"-o {pair!r} is not NAME=VALUE", remedy="Write for instance -o interval=5.")
        if name in options:
            raise ConfigError(f"-o {name} is given twice", remedy="Keep one of them.")
        options[name] = value
    return options


def default_state() -> Path:
    """``$XDG_STATE_HOME/subnet``, by default ``~/.local/state/subnet``."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "subnet"
