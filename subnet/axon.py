"""The miner's side of the wire: one HTTP server that answers signed synapses.

A request passes, cheapest check first::

    limit by address ─► path, size, encoding ─► claim: fresh? for us? permitted? ─► body ─► signature ─► replay
      ─► limit by hotkey ─► decode ─► queue ─► handler ─► reply + receipt

Whoever fails a step gets that step's WireError as a small body ``{code, message, remedy}`` under its HTTP
status. Nothing of a hotkey changes before its signature has verified, because anyone can claim one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from subnet import auth, codec, frames
from subnet.admission import Buckets, Limits
from subnet.connections import BACKLOG, FrontDoor
from subnet.errors import (
    BodyTooLarge,
    Busy,
    ConfigError,
    HandlerFailed,
    RateLimited,
    ReplayedRequest,
    UnknownEncoding,
    UnknownSynapse,
    WireError,
    WrongMethod,
)
from subnet.http_messages import Request, Response
from subnet.http_server import SLICE
from subnet.intake import Intake
from subnet.keys import canonical_ss58, scheme_of
from subnet.nonces import NonceTable
from subnet.receipts import HEADER_RECEIPT, NO_ARTIFACT, Receipt, signed
from subnet.routes import Route, RouteTable
from subnet.synapse import Message, Synapse
from subnet.types import Hotkey, Netuid, Neuron
from subnet.workers import Workers

if TYPE_CHECKING:
    from ssl import SSLContext

    from substrateinterface import Keypair

log = logging.getLogger(__name__)

Admit: TypeAlias = Callable[[Hotkey, type[Synapse[Any]]], "Neuron | None"]
"""Looks a *claimed* hotkey up, before its body is read; raises NotPermitted. Must change nothing."""

PARTING: Final = 2.0
"""Seconds, after a stream's own time, that its last frames have to be taken."""
UNSIGNED: Final = auth.Caller(Hotkey(""), 0, "none")
_ENCODINGS: Final = frozenset(
    # The last two are what HTTP clients put on bytes of which they were told nothing.
    (codec.JSON, codec.MSGPACK, "application/x-msgpack", "application/octet-stream", "")
)


@dataclass
class AxonStats:
    """What an axon has done since it started."""

    served: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By error code."""
    bytes_in: int = 0
    bytes_out: int = 0
    in_flight: int = 0
    """Requests being received or answered right now."""


@dataclass(slots=True)
class _Exchange:
    """One request on its way through; filled in step by step."""

    request: Request
    path: str
    address: str
    routes: RouteTable
    json: bool = False
    caller: auth.Caller = UNSIGNED
    digest: str = ""
    proved: bool = False
    """Signature and replay checked: from here on, replies are signed too."""

    @property
    def priority(self) -> float:
        """What decides who is served first where not all can be: the caller's stake, in RAO."""
        return 0.0 if self.caller.neuron is None else float(self.caller.neuron.stake)


class Axon:
    """Serves handlers over HTTP, each request authenticated by btauth/1, each reply signed (a receipt).

    ``key`` is the miner's hotkey; ``netuid`` and ``genesis_hash`` go into receipts. ``port`` 0 takes any free one
    (read it back from :attr:`port`); ``reuse_port`` lets other processes of this user serve it too (SO_REUSEPORT:
    the kernel deals the connections out). ``proxies`` are the addresses of reverse proxies whose X-Forwarded-For
    is believed; with ``tls`` it serves https. ``admit`` decides who is served (default: any signed caller).
    ``nonces`` remembers accepted requests (default: private memory). ``insecure`` serves unsigned requests too, for
    people with curl, and only on loopback. Raises ConfigError for a combination that can't be.
    """

    def __init__(
        self,
        key: Keypair,
        *,
        netuid: Netuid = Netuid(0),  # noqa: B008 (an int)
        genesis_hash: str = "0x" + "00" * 32,
        host: str = "127.0.0.1",
        port: int = 0,
        reuse_port: bool = False,
        proxies: Collection[str] = (),
        tls: SSLContext | None = None,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        admit: Admit | None = None,
        nonces: NonceTable | None = None,
        receipts: bool = True,
        insecure: bool = False,
    ) -> None:
        if insecure and not _is_loopback(host):
            raise ConfigError(f"insecure serves strangers unsigned, so only on loopback, not on {host}")
        self.hotkey = canonical_ss58(key.ss58_address)
        self.host, self.port = host, port
        self._reuse_port, self._proxies, self._tls = reuse_port, tuple(proxies), tls
        self.limits = limits
        self.stats = AxonStats()
        self._key, self._scheme = key, scheme_of(key)
        self._netuid, self._genesis_hash = netuid, genesis_hash
        self._admit, self._insecure, self._receipts = admit, insecure, receipts
        self._owns_nonces = nonces is None
        self._nonces = NonceTable() if nonces is None else nonces
        self._routes = RouteTable()
        self._by_address = Buckets(limits.address_rate, limits.address_burst)
        self._by_hotkey = Buckets(limits.hotkey_rate, limits.hotkey_burst)
        self._intake = Intake(limits.unverified_bytes, limits.body_timeout)
        self._unsent = 0
        self._workers = Workers(limits)
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._http: FrontDoor | None = None
        self._listener: asyncio.Server | None = None

    def serve(self, handler: Callable[..., Any]) -> type[Synapse[Any]]:
        """Answer a synapse with ``handler(request: Classify, caller: Caller) -> Labels``; returns ``Classify``.

        ``async def`` handlers run on the loop, plain ones in threads. The caller may be left out. Raises
        DeclarationError for a handler without a request type, or a second one for the same path.
        """
        return self._routes.add(handler).synapse

    async def replace(self, handlers: Iterable[Callable[..., Any]]) -> None:
        """Answer with these handlers alone, from now on; returns when the last request of the former ones is over.

        A request is answered by what was served when it came, so none is dropped and none meets both.
        Raises DeclarationError, before anything changes, as :meth:`serve` does.
        """
        former, self._routes = self._routes, RouteTable(handlers)
        await former.idle()

    async def start(self) -> None:
        """Bind and serve. Raises ConfigError if the address can't be bound.

        Waits up to 2 s where the memory of nonces was lost, so that nobody meets a server that refuses all.
        """
        await asyncio.sleep(self._nonces.ready_in())
        self._http = FrontDoor(self._answer, limits=self.limits, proxies=self._proxies, tls=self._tls)
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                self._http,
                self.host,
                self.port,
                backlog=BACKLOG,
                reuse_port=self._reuse_port or None,
            )
        except OSError as error:
            raise ConfigError(
                f"can't listen on {self.host}:{self.port}: {error.strerror}",
                remedy="Choose another --port (0 takes any free one) or stop what holds it.",
            ) from None
        self._workers.start()
        self.port = self._listener.sockets[0].getsockname()[1]
        log.info("serving %s on %s:%d", self._routes, self.host, self.port)

    async def stop(self, drain: float = 5.0) -> None:
        """Stop accepting, let what runs finish for up to ``drain`` seconds, close."""
        if self._listener is None or self._http is None:
            return
        self._stopping = True
        self._listener.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), drain)
        await self._http.shutdown(timeout=0.05)  # what is left are idle connections and handlers past the drain
        self._workers.stop()
        if self._owns_nonces:
            self._nonces.close()
        self._listener = self._http = None

    async def __aenter__(self) -> Axon:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    # One request, top to bottom.

    async def _answer(self, request: Request) -> Response | None:
        assert self._http is not None  # noqa: S101 - the request came through it
        routes = self._routes
        exchange = _Exchange(request, request.path, self._http.source(request), routes)
        routes.enter()
        self.stats.in_flight += 1
        self._idle.clear()
        try:
            found, message = await self._receive(exchange)
            arguments = (message, exchange.caller) if found.takes_caller else (message,)
            if found.declared.stream:
                await self._stream(exchange, found, message, arguments)
                return None
            reply = await self._workers.run(found, message, arguments, exchange.priority)
            response = self._response(exchange, 200, self._encoded(exchange, found, reply))
            self.stats.served += 1
            return response
        except WireError as error:
            return self._refusal(exchange, error)
        finally:
            routes.leave()
            self.stats.in_flight -= 1
            if not self.stats.in_flight:
                self._idle.set()

    async def _receive(self, exchange: _Exchange) -> tuple[Route, Synapse[Any]]:
        """Everything up to the decoded request; raises the WireError of the first check that fails."""
        if self._stopping:  # a kept connection outlives the listener
            raise Busy("this miner is stopping", retry_after=5.0)
        wait = self._by_address.take(exchange.address)
        if wait:
            raise RateLimited("too many requests from this address", retry_after=wait)
        found = self._look_up(exchange)
        claim = self._check_claim(exchange, found)
        body = await self._intake.read(exchange.request, found.declared.max_request, exchange.address)
        try:
            exchange.digest = hashlib.sha256(body).hexdigest()
            if claim is not None:
                self._prove(exchange, claim)
        finally:
            self._intake.give_back(body)
        self._by_address.give_back(exchange.address)
        self.stats.bytes_in += len(body)
        return found, codec.decode(found.synapse, body, json=exchange.json)

    def _look_up(self, exchange: _Exchange) -> Route:
        request = exchange.request
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        exchange.json = content_type == codec.JSON
        if request.method != "POST":
            raise WrongMethod(f"{request.method} is not served; synapses are POSTed")
        found = exchange.routes.get(exchange.path.partition("?")[0].removeprefix("/"))
        if found is None:
            raise UnknownSynapse(f"this miner serves {exchange.routes}")
        if content_type not in _ENCODINGS or "content-encoding" in request.headers:
            raise UnknownEncoding("bodies are plain msgpack or JSON")
        if request.content_length > found.declared.max_request:
            raise BodyTooLarge(f"{request.content_length} bytes; {found.declared.max_request} are accepted")
        return found

    def _check_claim(self, exchange: _Exchange, found: Route) -> auth.Claim | None:
        """The caller's claim, as far as it can be checked without the body; None for an unsigned request."""
        headers = exchange.request.headers
        if self._insecure and auth.HEADER_HOTKEY.lower() not in headers:
            return None
        claim = auth.read_claim(headers)
        auth.check_freshness(claim)
        auth.check_receiver(claim, self.hotkey)
        neuron = None if self._admit is None else self._admit(claim.hotkey, found.synapse)
        exchange.caller = auth.Caller(claim.hotkey, claim.nonce_ns, claim.scheme, neuron)
        return claim

    def _prove(self, exchange: _Exchange, claim: auth.Claim) -> None:
        """Signature, replay, rate of the hotkey; only now may anything be counted for it."""
        auth.check_signature(claim, method=exchange.request.method, path=exchange.path, digest=exchange.digest)
        if not self._nonces.check_and_store(claim.hotkey, claim.nonce_ns):
            raise ReplayedRequest("this nonce was already accepted from this hotkey")
        exchange.proved = True
        wait = self._by_hotkey.take(claim.hotkey)
        if wait:
            raise RateLimited("too many requests from this hotkey", retry_after=wait)

    async def _stream(
        self, exchange: _Exchange, found: Route, message: Synapse[Any], arguments: tuple[Any, ...]
    ) -> None:
        """Frames as the handler yields them, each taken by the caller before the next is computed.

        What goes wrong before the first is an ordinary refusal, with its status.
        """
        connection = exchange.request.connection
        connection.cancel_when_lost = True
        if connection.transport is None:
            raise asyncio.CancelledError
        async with contextlib.aclosing(self._workers.stream(found, message, arguments, exchange.priority)) as messages:
            first = await anext(messages, None)
            kind = frames.LINES if exchange.json else frames.CONTENT_TYPE
            send = connection.stream(exchange.request, {"Content-Type": kind})
            end = asyncio.get_running_loop().time() + found.declared.timeout + PARTING

            async def write(data: bytes) -> None:
                try:
                    async with asyncio.timeout_at(end):
                        await send(data)
                except TimeoutError:
                    raise ConnectionAbortedError("the caller does not take the stream") from None

            out = frames.FrameWriter(write, found.declared, json=exchange.json)
            error: WireError | None = None
            try:
                while first is not None:
                    await out.message(first)
                    first = await anext(messages, None)
            except WireError as failed:
                error = failed
                self.stats.refused[failed.code] += 1
                await out.error(failed)
            await out.end(self._receipt(exchange, 200, out.digest).header() if self._signs(exchange) else "")
            await write(b"")
        self.stats.bytes_out += out.sent
        self.stats.served += error is None

    # Replies.

    def _encoded(self, exchange: _Exchange, found: Route, reply: Message) -> bytes:
        try:
            body = codec.encode(reply, json=exchange.json)
        except WireError as error:  # the miner's own mistake, so not the caller's to hear in detail
            log.error("the reply to %s can't be encoded: %s", exchange.path, error)
            raise HandlerFailed("the handler's reply can't be encoded") from None
        cap = found.declared.max_reply
        if len(body) > cap:
            log.error("the reply to %s has %d bytes; %d are allowed", exchange.path, len(body), cap)
            raise HandlerFailed("the handler's reply is larger than its synapse allows")
        if len(body) > SLICE and self._unsent + len(body) > self.limits.unsent_bytes:
            raise Busy("too many replies are waiting to be taken", retry_after=1.0)
        return body

    def _refusal(self, exchange: _Exchange, error: WireError) -> Response:
        self.stats.refused[error.code] += 1
        log.debug("refused %s from %s: %s", error.code, exchange.address, error)
        response = self._response(exchange, error.status, codec.encode_data(error.as_dict(), json=exchange.json))
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(max(1, round(error.retry_after)))
        response.close = self._stopping  # one whose body was not read closes anyway
        return response

    def _response(self, exchange: _Exchange, status: int, body: bytes) -> Response:
        headers = {"Content-Type": codec.JSON if exchange.json else codec.MSGPACK}
        if self._signs(exchange):
            headers[HEADER_RECEIPT] = self._receipt(exchange, status, hashlib.sha256(body).hexdigest()).header()
        self.stats.bytes_out += len(body)
        if len(body) <= SLICE:
            return Response(status, body, headers)
        self._unsent += len(body)
        return Response(status, body, headers, done=partial(self._sent, len(body)))

    def _sent(self, size: int) -> None:
        self._unsent -= size

    def _signs(self, exchange: _Exchange) -> bool:
        return self._receipts and exchange.proved

    def _receipt(self, exchange: _Exchange, status: int, digest: str) -> Receipt:
        return signed(
            self._key,
            Receipt(
                genesis_hash=self._genesis_hash,
                netuid=self._netuid,
                path=exchange.path,
                request_digest=exchange.digest,
                nonce_ns=exchange.caller.nonce_ns,
                sender=exchange.caller.hotkey,
                receiver=self.hotkey,
                status=status,
                response_digest=digest,
                artifact=NO_ARTIFACT,
                time_ns=time.time_ns(),
                scheme=self._scheme,
            ),
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
