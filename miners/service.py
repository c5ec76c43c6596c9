"""A miner's life: registered? → load → serve → announce → follow the metagraph → drain.

Serving never waits for the chain: admission looks at the last snapshot, which one background loop
refreshes, and another tells the chain where we serve, only when what it holds differs. While the
chain is away both loops retry with growing pauses and requests are answered as before.

Log events (their fields beside them): ``serving`` (host, port, synapses), ``served`` (ip, port,
block: the chain now lists us there), ``deregistered``, ``reloaded`` (class, seconds), ``reload_failed`` (error,
remedy), ``admit_failed`` (caller, synapse), ``close_failed`` (class), ``loop_failed`` (loop, failures, error),
``stopping``, ``stopped`` (served, refused, failures).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from subnet.errors import ConfigError, NotPermitted, SubnetError, WireError
from subnet.follower import Follower
from subnet.health import Health
from subnet.pulse import Pulse
from subnet.registration import Registration
from subnet.service import Loops, Service, load, warn_unread
from subnet.types import TLS_PROTOCOL, Hotkey, Netuid, Neuron

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.admission import Limits
    from subnet.axon import Axon
    from subnet.miners.base import Miner
    from subnet.nonces import NonceTable
    from subnet.prefork import Worker
    from subnet.service import ChainClient
    from subnet.synapse import Synapse
    from subnet.telemetry import Metrics
    from subnet.tls import ServerCertificate

log = logging.getLogger(__name__)

CLOSING: Final = 5.0
"""Seconds that a miner's ``close`` may take."""
_CHECK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a miner listens (``host``, ``port``; 0: any free one) and what it tells the chain.

    ``external_ip`` and ``external_port`` default to what it listens on; a host that means every
    interface (0.0.0.0, ::) needs an ``external_ip``. ``insecure`` also serves unsigned requests,
    on loopback only. ``proxies`` are reverse proxies whose X-Forwarded-For is believed; with a
    ``certificate`` it serves https. Raises ConfigError for what can't work.
    """

    host: str = "127.0.0.1"
    port: int = 0
    external_ip: str | None = None
    external_port: int | None = None
    insecure: bool = False
    proxies: tuple[str, ...] = ()
    certificate: ServerCertificate | None = None

    def __post_init__(self) -> None:
        listen = _ip(self.host, "--host")
        if self.insecure and not listen.is_loopback:
            raise ConfigError(
                f"--insecure on {self.host} would serve strangers unsigned",
                remedy="Use --host 127.0.0.1 with --insecure, or leave --insecure out.",
            )
        proxies = tuple(str(_ip(proxy, "--trusted-proxy")) for proxy in self.proxies)
        object.__setattr__(self, "proxies", proxies)  # addresses: by its name localhost would never be met
        if _ip(self.announced_ip, "--external-ip").is_unspecified:
            raise ConfigError(
                f"{self.host} is every interface, no address to announce",
                remedy="Add --external-ip with the address that validators can reach.",
            )

    @property
    def announced_ip(self) -> str:
        """The address that the chain is told."""
        return str(_ip(self.external_ip or self.host, "--external-ip"))


def _ip(text: str, option: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address("127.0.0.1" if text == "localhost" else text)
    except ValueError:
        raise ConfigError(
            f"{option} {text!r} is no IP address", remedy=f"Write {option} with an IPv4 or IPv6 address."
        ) from None


class MinerService(Service):
    """Runs one Miner on one subnet under one hotkey.

    ``chain`` and ``key`` stay the caller's. ``nonces`` names the file that remembers accepted
    requests across restarts (None: memory only). ``worker`` is given where this is one of several
    processes on one port (:mod:`subnet.prefork`): they share the nonces, and the first announces.
    ``loaded`` says that ``miner.load()`` was called already.
    """

    def __init__(
        self,
        miner: Miner,
        chain: ChainClient,
        key: Keypair,
        netuid: Netuid,
        *,
        address: Address | None = None,
        limits: Limits | None = None,
        nonces: Path | None = None,
        metrics: Metrics | None = None,
        health: Health | None = None,
        worker: Worker | None = None,
        loaded: bool = False,
    ) -> None:
        super().__init__()
        self.miner, self.netuid, self.hotkey = miner, netuid, Hotkey(key.ss58_address)
        self.address = address or Address()
        self.health = health or Health()
        self.loops = Loops(self.health, metrics)
        self.follower = Follower(
            chain, netuid, self.hotkey, every=miner.refresh_blocks, metrics=metrics, health=self.health
        )
        self.follower.listen(lambda snapshot: self.miner.attach(self.hotkey, snapshot))
        self.follower.listen(Registration(netuid, self.hotkey, self.health).look)
        self._chain, self._key, self._limits, self._nonces_at = chain, key, limits, nonces
        self._metrics, self._worker, self._loaded = metrics, worker, loaded
        self._counted: Counter[str] = Counter()
        self._axon: Axon | None = None
        self._nonces: NonceTable | None = None
        self._swapping, self._reloads_wanted = asyncio.Lock(), 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Serving when this returns; the announcement to the chain follows in the background.

        Raises NotRegistered, ChainError, and DeclarationError if load() fails.
        """
        await self.follower.registered()
        if not self._loaded:
            await load(self.miner)
        warn_unread(self.miner.options, type(self.miner).__name__)
        await self._serve()
        self.loops.start("metagraph", self.follower.follow)
        pulse = Pulse(
            self._chain,
            stall=self.miner.stall,
            patience=self.miner.strange,
            health=self.health,
            give_up=self.give_up,
            metrics=self._metrics,
        )
        self.loops.start("pulse", pulse.look)
        if self._metrics is not None:
            self.loops.start("metrics", self._count)
        if self._worker is None or self._worker.number == 0:
            self.loops.start("announce", self._announce)
        self.health.ready = True
        if self._worker is not None:
            self._worker.ready()

    async def reload(self) -> None:
        """Load the miner anew, beside the one that serves, and swap them: no request is dropped or waits for it.

        Requests that come from then on meet the new one; the former one is closed after its last request. It is
        another object of the same class, with the same options. Raises what :meth:`start` raises for a load() that
        fails, and then nothing has changed. One at a time: a second one waits for the first.
        """
        async with self._swapping:
            if self._serving() is None:  # not there yet, or stopping
                return
            former, began = self.miner, asyncio.get_running_loop().time()
            fresh = type(former)(dict(former.options))
            fresh.attach(self.hotkey, self.follower.snapshot)
            await load(fresh)
            axon = self._serving()
            if axon is None:
                await self._close(fresh)
                return
            fresh.attach(self.hotkey, self.follower.snapshot)  # it may be a newer one
            self.miner = fresh
            self._retire(former, axon.replace(fresh.handlers.values()))
            self.health.well("reload")
            seconds = round(asyncio.get_running_loop().time() - began, 3)
            log.info("reloaded", extra={"class": type(fresh).__name__, "seconds": seconds})

    def _serving(self) -> Axon | None:
        return self._axon

    def reload_soon(self) -> None:
        """As :meth:`reload`, in the background (SIGHUP): a failure is logged and an exit of ``/health``.

        Asked again while one is loading, it loads once more afterwards, however often it was asked.
        """
        self._reloads_wanted = min(self._reloads_wanted + 1, 2)
        if self._reloads_wanted == 1:
            self._keep(self._reload_while_wanted())

    async def _reload_while_wanted(self) -> None:
        while self._reloads_wanted:
            try:
                await self.reload()
            except Exception as error:  # user code may raise anything
                told = error if isinstance(error, SubnetError) else SubnetError(repr(error))
                log.error("reload_failed", extra={"error": told.message, "remedy": told.remedy})
                self.health.trouble("reload", told.message, told.remedy)
            finally:
                self._reloads_wanted -= 1

    def _retire(self, former: Miner, over: Coroutine[Any, Any, None]) -> None:
        """Close the miner that was replaced when its requests are over, or when we end."""
        swapped = asyncio.ensure_future(over)

        async def retire() -> None:
            try:
                await swapped
            finally:
                swapped.cancel()
                await self._close(former)

        self._keep(retire())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self, drain: float | None = None) -> None:
        """Stop the loops, refuse new requests, give running ones ``drain`` (the miner's) seconds; idempotent."""
        self.health.ready = False
        await self.loops.stop()
        drain = self.miner.drain if drain is None else drain
        axon, self._axon = self._axon, None
        if axon is not None:
            log.info("stopping", extra={"drain_s": drain})
            await axon.stop(drain)
            refused, failures = dict(axon.stats.refused), dict(self.loops.failures)
            log.info("stopped", extra={"served": axon.stats.served, "refused": refused, "failures": failures})
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._close(self.miner)
        if self._nonces is not None:
            self._nonces.close()
            self._nonces = None

    async def _close(self, miner: Miner) -> None:
        """Whatever the miner's ``close`` raises is logged; it keeps nothing from ending."""
        try:
            async with asyncio.timeout(CLOSING):
                await miner.close()
        except Exception:  # user code may raise anything
            log.exception("close_failed", extra={"class": type(miner).__name__})

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before :meth:`start`."""
        return self._axon.port if self._axon is not None else 0

    async def _serve(self) -> None:
        from subnet.admission import Limits
        from subnet.axon import Axon
        from subnet.nonces import NonceTable

        self._nonces = NonceTable(self._nonces_at, shared=self._worker is not None)
        axon = Axon(
            self._key,
            netuid=self.netuid,
            genesis_hash=self._chain.genesis_hash,
            host=self.address.host,
            port=self.address.port,
            reuse_port=self._worker is not None,
            proxies=self.address.proxies,
            tls=self.address.certificate.context if self.address.certificate else None,
            limits=self._limits or Limits(),
            admit=self._admit,
            nonces=self._nonces,
            insecure=self.address.insecure,
        )
        for handler in self.miner.handlers.values():
            axon.serve(handler)
        await axon.start()
        self._axon = axon
        synapses = [synapse.__name__ for synapse in self.miner.handlers]
        log.info("serving", extra={"host": self.address.host, "port": axon.port, "synapses": synapses})

    def _admit(self, caller: Hotkey, synapse: type[Synapse[Any]]) -> Neuron | None:
        """The miner's own admission; a bug in it refuses the caller, it does not break the server."""
        try:
            return self.miner.admit(caller, synapse)
        except WireError:
            raise
        except Exception:  # user code may raise anything
            log.exception("admit_failed", extra={"caller": caller, "synapse": synapse.__name__})
            raise NotPermitted("this miner's admission failed") from None

    async def _count(self) -> float:
        """One pass: what the axon has done since the last one, as metrics."""
        if self._axon is not None and self._metrics is not None:
            stats = self._axon.stats
            now = Counter({"served": stats.served, **stats.refused})
            for outcome, times in (now - self._counted).items():
                self._metrics.count("subnet_requests_total", times, outcome=outcome)
            self._counted = now
            self._metrics.gauge("subnet_requests_in_flight", stats.in_flight)
        return _CHECK_S

    async def _announce(self) -> float:
        """One pass: tell the chain where we serve, if it says otherwise."""
        neuron = self.follower.snapshot.neuron(self.hotkey)
        ip, port = self.address.announced_ip, self.address.external_port or self.port
        certificate = self.address.certificate
        wanted = (ip, port, certificate.fingerprint if certificate else None)
        if neuron is None or _announced(neuron) == wanted:
            return _CHECK_S
        if certificate is None:
            included = await self._chain.serve_axon(self._key, self.netuid, ip, port)
        else:
            included = await self._chain.serve_axon(
                self._key, self.netuid, ip, port, protocol=TLS_PROTOCOL, certificate=certificate.published
            )
        log.info("served", extra={"ip": ip, "port": port, "block": included.block})
        await self.follower.refresh()
        return _CHECK_S


def _announced(neuron: Neuron) -> tuple[str, int, bytes | None] | None:
    axon = neuron.axon
    return (str(ipaddress.ip_address(axon.ip)), axon.port, axon.fingerprint) if axon else None
