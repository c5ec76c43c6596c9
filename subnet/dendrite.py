"""The validator's side of the wire: ask many miners at once, get one typed result from each.

:meth:`Dendrite.query` encodes and hashes a request once, signs it for each peer, sends it over kept
connections and waits until one deadline for all. Each peer ends as an :class:`Ok` with its typed, checked
reply and the miner's receipt, or as a :class:`Failure` that says why; nothing a peer does raises.
:meth:`~Dendrite.as_completed` gives the same results as they come, :meth:`~Dendrite.first` races peers for one
reply, :meth:`~Dendrite.stream` reads a streamed one.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from subnet import auth, codec
from subnet.breaker import Breakers
from subnet.errors import BodyTooLarge, DeclarationError
from subnet.http_client import Disconnected, Pool, Reply, Target, request_head
from subnet.keys import canonical_ss58, scheme_of
from subnet.race import Race, cancel
from subnet.receipts import HEADER_RECEIPT, Receipt
from subnet.results import Failure, Ok, Reason, Refusal, Result, failure, refusal_of
from subnet.streams import Opened, Stream
from subnet.synapse import Declaration, Message, Synapse, check_reply, declaration
from subnet.types import AxonInfo, Netuid, Neuron

if TYPE_CHECKING:
    from substrateinterface import Keypair

__all__ = ["Dendrite", "Failure", "Ok", "Reason", "Result", "Stream"]

R = TypeVar("R", bound=Message)
T = TypeVar("T")

REFUSAL_CAP: Final = 16_384
"""Bytes of a refusal that are read."""
_RECEIPT: Final = HEADER_RECEIPT.lower()


@dataclass(frozen=True, slots=True)
class _Packed:
    """A request ready to be signed: the same for every peer that is asked it."""

    request: Synapse[Any]
    declared: Declaration
    body: bytes
    digest: str


class _Way(NamedTuple):
    """Where a synapse of a peer's axon is."""

    target: Target
    url: str
    """Of the axon; what its circuit and its slots are counted by."""
    host: str
    path: str


class _NoPlace(TimeoutError):
    """All that may be under way with one address were, until the deadline."""


class Dendrite:
    """Queries miners in the name of ``key``, a hotkey.

    ``netuid`` and ``genesis_hash`` must be the miners' (they are part of each receipt). With ``receipts`` a reply
    without a valid one is a BAD_REPLY. ``per_host`` bounds the exchanges with one address at a time; there is
    no bound over all, so that peers that hang can't hold up the others. ``breakers`` leave a peer alone that
    failed to answer several times in a row (:class:`~subnet.breaker.Breakers` has the default). Make and use it
    on one event loop; close it, or use it as an async context manager.
    """

    def __init__(
        self,
        key: Keypair,
        *,
        netuid: Netuid = Netuid(0),  # noqa: B008 (an int)
        genesis_hash: str = "0x" + "00" * 32,
        receipts: bool = True,
        per_host: int = 16,
        breakers: Breakers | None = None,
    ) -> None:
        self.hotkey = canonical_ss58(key.ss58_address)
        scheme_of(key)  # a key that can't sign is told here, not at the first query
        self._key = key
        self._netuid, self._genesis_hash, self._receipts = netuid, genesis_hash, receipts
        self._per_host = per_host
        self._hosts: dict[str, asyncio.Semaphore] = {}
        self._breakers = Breakers() if breakers is None else breakers
        self._last_nonce = 0
        self._pool: Pool | None = None

    async def query(
        self,
        peers: Sequence[Neuron],
        request: Synapse[R] | Sequence[Synapse[R]],
        *,
        timeout: float | None = None,
    ) -> list[Ok[R] | Failure]:
        """Ask every peer at once; one result a peer, in the order of uid.

        ``request`` is one synapse for all, or a sequence with ``request[i]`` for ``peers[i]``. ``timeout`` (seconds,
        default the synapse's own; the longest of a sequence) is one deadline for all of them. Raises
        WrongType, BadTensor or BodyTooLarge for a request that can't be sent, ValueError for a sequence of another
        length.
        """
        asked, deadline = self._prepare(peers, request, timeout)
        if len(asked) == 1:  # without the task that gather would make of it
            ((peer, packed),) = asked
            return [await self._ask(peer, packed, deadline)]
        results: list[Ok[R] | Failure] = await asyncio.gather(
            *(self._ask(peer, packed, deadline) for peer, packed in asked)
        )
        return results

    @asynccontextmanager
    async def as_completed(
        self,
        peers: Sequence[Neuron],
        request: Synapse[R] | Sequence[Synapse[R]],
        *,
        timeout: float | None = None,
    ) -> AsyncGenerator[AsyncGenerator[Ok[R] | Failure, None], None]:
        """As :meth:`query`, but each result as soon as it is there::

            async with dendrite.as_completed(peers, request) as results:
                async for result in results: ...

        Leaving the block cancels what is still under way.
        """
        asked, deadline = self._prepare(peers, request, timeout)
        tasks = [asyncio.ensure_future(self._ask(peer, packed, deadline)) for peer, packed in asked]

        async def results() -> AsyncGenerator[Ok[R] | Failure, None]:
            for done in asyncio.as_completed(tasks):
                yield await done

        try:
            yield results()
        finally:
            await cancel(tasks)

    async def first(
        self,
        peers: Sequence[Neuron],
        request: Synapse[R],
        *,
        hedge: float,
        timeout: float | None = None,
        others: list[Ok[R] | Failure] | None = None,
    ) -> Ok[R] | Failure:
        """One reply, from whichever of ``peers`` gives it first.

        The first peer is asked; each time ``hedge`` seconds pass without a reply, or a peer fails, the next one is
        asked as well. The first Ok is the result and the others are cancelled; if all fail, the last
        Failure is. What other peers had given by then is appended to ``others``. ``timeout`` as in :meth:`query`.
        Raises DeclarationError for a synapse that is not declared ``idempotent=True``, ValueError without peers.
        """
        if not peers:
            raise ValueError("first() needs a peer to ask")
        packed = _pack(request)
        if not packed.declared.idempotent:
            raise DeclarationError(
                f"{packed.declared.name} is not declared idempotent",
                remedy=f"Write class {packed.declared.name}(..., idempotent=True) if a second peer may be asked too.",
            )
        deadline = asyncio.get_running_loop().time() + (packed.declared.timeout if timeout is None else timeout)
        race: Race[R] = Race(lambda peer: self._ask(peer, packed, deadline), peers, hedge=hedge)
        result = await race.run()
        await cancel(race.running)
        if others is not None:
            others += race.others
        assert result is not None  # noqa: S101 - it had no end of time
        return result

    def stream(
        self,
        peer: Neuron,
        request: Synapse[R],
        *,
        timeout: float | None = None,
        chunk_timeout: float | None = None,
    ) -> Stream[R]:
        """A streamed reply: ``async with dendrite.stream(peer, request) as messages: async for ...``.

        ``timeout`` is for the whole, ``chunk_timeout`` between two messages, in seconds (defaults: the
        synapse's own); the consumer's time counts in the first. Raises DeclarationError for a synapse that is
        not declared ``stream=True``; what a peer does raises StreamFailed.
        """
        packed = _pack(request)
        declared = packed.declared
        if not declared.stream:
            raise DeclarationError(
                f"{declared.name} is answered with one reply", remedy="Ask with query, or declare it with stream=True."
            )
        return Stream(
            peer,
            request,
            declared,
            partial(self._open_stream, peer, packed),
            timeout=declared.timeout if timeout is None else timeout,
            chunk_timeout=declared.chunk_timeout if chunk_timeout is None else chunk_timeout,
        )

    async def close(self) -> None:
        """Close every connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def __aenter__(self) -> Dendrite:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _prepare(
        self, peers: Sequence[Neuron], request: Synapse[R] | Sequence[Synapse[R]], timeout: float | None
    ) -> tuple[list[tuple[Neuron, _Packed]], float]:
        """Who is asked what, in the order of uid, and until when."""
        if isinstance(request, Synapse):
            one = _pack_plain(request)
            asked, longest = [(peer, one) for peer in peers], one.declared.timeout
        else:
            if len(request) != len(peers):
                raise ValueError(f"{len(request)} requests for {len(peers)} peers")
            packed = {key: _pack_plain(each) for key, each in {id(each): each for each in request}.items()}
            asked = [(peer, packed[id(each)]) for peer, each in zip(peers, request, strict=True)]
            longest = max((each.declared.timeout for each in packed.values()), default=0.0)
        asked.sort(key=lambda pair: pair[0].uid)
        return asked, asyncio.get_running_loop().time() + (longest if timeout is None else timeout)

    async def _ask(self, peer: Neuron, packed: _Packed, deadline: float) -> Ok[Any] | Failure:
        """One peer, to its end: every way in which it can go wrong becomes a Failure."""
        started = 0.0
        try:
            way, circuit = self._way(peer, packed)
            slot = self._slot(way)
            try:
                await _take(slot, deadline)
                try:
                    started = time.perf_counter()
                    reply, nonce = await self._exchange(
                        peer, way, packed, self._open_pool().post, cap=packed.declared.max_reply, deadline=deadline
                    )
                finally:
                    slot.release()
                value, receipt = self._read(peer, way, packed, nonce, reply)
            except BaseException as error:
                self._learn(circuit, error)
                raise
            self._learn(circuit, None)
            return Ok(peer.uid, peer.hotkey, value, time.perf_counter() - started, receipt)
        except Exception as error:
            return failure(peer, error, time.perf_counter() - started if started else 0.0)

    def _way(self, peer: Neuron, packed: _Packed) -> tuple[_Way, str]:
        """Where the peer is asked, and the name of its circuit; a Refusal if it can't be, or had better not be."""
        if peer.axon is None or not peer.axon.port:
            raise Refusal(Reason.NO_AXON, "dendrite.no-axon", "the metagraph lists no address for it")
        way = _way_to(peer.axon, packed.declared.name)
        circuit = f"{peer.hotkey} {way.url}"
        wait = self._breakers.wait(circuit)
        if wait:
            raise Refusal(
                Reason.UNREACHABLE, "dendrite.circuit-open", "it failed to answer several times in a row", wait
            )
        return way, circuit

    def _learn(self, circuit: str, error: BaseException | None) -> None:
        """Tell the breakers how an exchange ended."""
        if error is None:
            self._breakers.answered(circuit)
        elif isinstance(error, _NoPlace):
            self._breakers.unknown(circuit)  # it was not asked
        elif isinstance(error, OSError):  # TimeoutError is one
            self._breakers.failed(circuit)
        elif isinstance(error, asyncio.CancelledError | KeyboardInterrupt):
            self._breakers.unknown(circuit)
        else:
            self._breakers.answered(circuit)

    async def _exchange(
        self, peer: Neuron, way: _Way, packed: _Packed, ask: Callable[..., Awaitable[T]], **bounds: Any
    ) -> tuple[T, int]:
        """Sign and send: what ``ask``, a method of the pool, gives, and the nonce."""
        for again in (True, False):
            head, nonce = self._head(peer, way, packed)
            try:
                return await ask(way.target, head, packed.body, refusal_cap=REFUSAL_CAP, **bounds), nonce
            except (Disconnected, ConnectionResetError):
                # A kept connection that the peer closed just as we wrote; work units are idempotent.
                if not again:
                    raise
        raise AssertionError("unreachable")

    def _head(self, peer: Neuron, way: _Way, packed: _Packed) -> tuple[bytes, int]:
        """A request's head, signed for this peer and this once, and its nonce."""
        nonce = self._nonce()
        headers = auth.sign_digest(
            self._key,
            sender=self.hotkey,
            method="POST",
            path=way.path,
            digest=packed.digest,
            receiver=peer.hotkey,
            nonce_ns=nonce,
        )
        headers["Content-Type"] = codec.MSGPACK
        return request_head(way.host, way.path, headers, len(packed.body)), nonce

    def _read(self, peer: Neuron, way: _Way, packed: _Packed, nonce: int, reply: Reply) -> tuple[Any, Receipt | None]:
        """What the reply says, checked, and its receipt, or an exception that ``failure`` knows."""
        _check_plain(reply.headers)
        if reply.status != 200:
            raise _refusal(reply)
        digest = hashlib.sha256(reply.body).hexdigest() if self._receipts else ""
        receipt = self._check_receipt(
            reply.headers.get(_RECEIPT, ""), digest, peer=peer, path=way.path, packed=packed, nonce=nonce
        )
        value = codec.decode(packed.declared.response, reply.body, json=_is_json(reply))
        check_reply(packed.request, value)
        return value, receipt

    async def _open_stream(self, peer: Neuron, packed: _Packed, deadline: float) -> Opened:
        """The connection of a stream, its status good; it and the slot are the caller's to give back."""
        way, circuit = self._way(peer, packed)
        slot = self._slot(way)
        try:
            await _take(slot, deadline)
            try:
                source, nonce = await self._exchange(peer, way, packed, self._open_pool().open, deadline=deadline)
                try:
                    _check_plain(source.headers)
                    if source.status != 200:
                        raise _refusal(await source.reply())
                except BaseException:
                    source.close()
                    raise
            except BaseException:
                slot.release()
                raise
        except BaseException as error:
            self._learn(circuit, error)
            raise
        self._learn(circuit, None)
        check = partial(self._check_receipt, peer=peer, path=way.path, packed=packed, nonce=nonce)
        return Opened(source, slot.release, check)

    def _check_receipt(
        self, header: str, digest: str, *, peer: Neuron, path: str, packed: _Packed, nonce: int
    ) -> Receipt | None:
        """The verified receipt of a reply with this digest; None with receipts off. Raises BadReceipt."""
        if not self._receipts:
            return None
        receipt = Receipt.from_header(
            header,
            genesis_hash=self._genesis_hash,
            netuid=self._netuid,
            path=path,
            request_digest=packed.digest,
            nonce_ns=nonce,
            sender=self.hotkey,
            receiver=peer.hotkey,
            status=200,
            response_digest=digest,
        )
        receipt.verify()
        return receipt

    def _nonce(self) -> int:
        """The clock in ns, but never the same twice."""
        self._last_nonce = max(self._last_nonce + 1, time.time_ns())
        return self._last_nonce

    def _slot(self, way: _Way) -> asyncio.Semaphore:
        found = self._hosts.get(way.host)
        if found is None:
            if len(self._hosts) >= 4096:  # addresses come from the chain, so from anyone
                self._hosts = {h: s for h, s in self._hosts.items() if s.locked()}
            found = self._hosts[way.host] = asyncio.Semaphore(self._per_host)
        return found

    def _open_pool(self) -> Pool:
        if self._pool is None:
            self._pool = Pool()
        return self._pool


def _pack(request: Synapse[Any]) -> _Packed:
    body = codec.encode(request)
    declared = declaration(request)
    if len(body) > declared.max_request:
        raise BodyTooLarge(
            f"{declared.name} has {len(body)} bytes; it declares at most {declared.max_request}",
            remedy="Ask for less at once, or raise max_request= on the synapse at both ends.",
        )
    return _Packed(request, declared, body, hashlib.sha256(body).hexdigest())


def _pack_plain(request: Synapse[Any]) -> _Packed:
    packed = _pack(request)
    if packed.declared.stream:
        raise DeclarationError(f"{packed.declared.name} is answered with a stream", remedy="Ask with stream.")
    return packed


@lru_cache(maxsize=8192)
def _way_to(axon: AxonInfo, name: str) -> _Way:
    """Raises ValueError for an axon that has no such port."""
    if not 0 < axon.port < 65536:
        raise ValueError(f"there is no port {axon.port}")
    return _Way(Target(axon.ip, axon.port, axon.fingerprint), axon.url, axon.url.partition("//")[2], f"/{name}")


async def _take(slot: asyncio.Semaphore, deadline: float) -> None:
    """A place, until the deadline. Raises _NoPlace."""
    if not slot.locked():
        await slot.acquire()  # at once: without a timer
        return
    try:
        async with asyncio.timeout_at(deadline):
            await slot.acquire()
    except TimeoutError:
        raise _NoPlace from None


def _check_plain(headers: Mapping[str, str]) -> None:
    """Raise the Refusal that a compressed reply is: "the raw body" must mean one thing."""
    if "content-encoding" in headers:
        raise Refusal(Reason.BAD_REPLY, "wire.unknown-encoding", "the reply is compressed")


def _refusal(reply: Reply) -> Refusal:
    return refusal_of(reply.body, reply.status, reply.headers, json=_is_json(reply))


def _is_json(reply: Reply) -> bool:
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower() == codec.JSON
