"""Simulated miners behind the dendrite's transport: everything above the socket is the real client.

:class:`SimulatedDendrite` is a :class:`subnet.Dendrite` whose pool of connections reaches objects in this process.
Requests are signed and encoded, replies encoded, decoded and checked as on the wire, so that a reply of 63 digits to 64
images is the BAD_REPLY that it would be; deadlines, caps, circuit breakers, streams, ``as_completed`` and receipts are
the client's own, on whatever clock its loop has. The miners' side does not verify signatures: nobody here forges one.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from subnet import auth, codec, frames
from subnet.dendrite import Dendrite
from subnet.errors import BodyTooLarge, HandlerFailed, UnknownSynapse, WireError
from subnet.http_client import Reply, Target
from subnet.keys import scheme_of
from subnet.receipts import HEADER_RECEIPT, NO_ARTIFACT, Receipt, signed
from subnet.synapse import Declaration, Message, Synapse, declaration
from subnet.types import Hotkey, Netuid

if TYPE_CHECKING:
    from substrateinterface import Keypair


class Peer(Protocol):
    """A simulated miner, as the wire needs it. What it raises as a WireError is a refusal; an OSError no connection."""

    key: Keypair

    async def arrive(self) -> None:
        """The time until a request has come to it."""

    def synapse(self, name: str) -> type[Synapse[Any]] | None:
        """The synapse that it answers under this path."""

    async def answer(self, request: Synapse[Any], caller: auth.Caller) -> Message | bytes:
        """The reply, or bytes that go out as they are."""

    def stream(self, request: Synapse[Any], caller: auth.Caller) -> AsyncGenerator[Message, None]:
        """The messages of a streamed reply."""


class SimulatedDendrite(Dendrite):
    """Asks ``peers``, by hotkey; the rest is as in :class:`subnet.Dendrite`."""

    def __init__(
        self, key: Keypair, peers: Mapping[Hotkey, Peer], *, netuid: Netuid, genesis_hash: str, receipts: bool = False
    ) -> None:
        super().__init__(key, netuid=netuid, genesis_hash=genesis_hash, receipts=receipts)
        self._pool = _Pool(peers, netuid, genesis_hash, receipts=receipts)  # type: ignore[assignment]


@dataclass
class _Pool:
    """What :class:`subnet.http_client.Pool` is to a dendrite, without connections."""

    peers: Mapping[Hotkey, Peer]
    netuid: Netuid
    genesis_hash: str
    receipts: bool

    async def post(
        self, target: Target, head: bytes, body: bytes, *, cap: int, refusal_cap: int, deadline: float
    ) -> Reply:
        async with asyncio.timeout_at(deadline):
            peer, request, caller, sign = await self._arrived(head, body)
            try:
                found = _found(peer, request)
                reply = await peer.answer(codec.decode(found, body), caller)
                answer = _reply(200, reply if isinstance(reply, bytes) else _encoded(reply, declaration(found)), sign)
            except WireError as error:
                answer = _refusal(error, sign)
        limit = cap if answer.status == 200 else refusal_cap
        if len(answer.body) > limit:
            raise BodyTooLarge(f"the reply is larger than {limit} bytes")
        return answer

    async def open(self, target: Target, head: bytes, body: bytes, *, refusal_cap: int, deadline: float) -> _Source:
        async with asyncio.timeout_at(deadline):
            peer, request, caller, sign = await self._arrived(head, body)
            try:
                found = _found(peer, request)
                messages = peer.stream(codec.decode(found, body), caller)
                first = await anext(messages, None)
            except WireError as error:
                return _Source(_refusal(error, sign))
        return _Frames(first, messages, declaration(found), sign)

    async def close(self) -> None:
        """There is nothing to close."""

    async def _arrived(self, head: bytes, body: bytes) -> tuple[Peer, str, auth.Caller, _Signer | None]:
        """Who is asked for which path by whom, once the request has got there."""
        first, *lines = head.decode("latin-1").split("\r\n")
        said = dict(line.split(": ", 1) for line in lines if line)
        path = first.split(" ")[1]
        peer = self.peers.get(Hotkey(said[auth.HEADER_RECEIVER]))
        if peer is None:
            raise ConnectionRefusedError("nobody serves there")
        await peer.arrive()
        nonce, sender = int(said[auth.HEADER_NONCE]), Hotkey(said[auth.HEADER_HOTKEY])
        caller = auth.Caller(sender, nonce, said.get(auth.HEADER_CRYPTO, "sr25519"))
        digest = hashlib.sha256(body).hexdigest() if self.receipts else ""
        sign = _Signer(self, peer.key, path, digest, nonce, sender) if self.receipts else None
        return peer, path.removeprefix("/"), caller, sign


@dataclass
class _Signer:
    """Signs a reply as an axon does: called with its status and its sha256, the value of its receipt's header."""

    pool: _Pool
    key: Keypair
    path: str
    request_digest: str
    nonce: int
    sender: Hotkey

    def __call__(self, status: int, digest: str) -> str:
        unsigned = Receipt(
            genesis_hash=self.pool.genesis_hash,
            netuid=self.pool.netuid,
            path=self.path,
            request_digest=self.request_digest,
            nonce_ns=self.nonce,
            sender=self.sender,
            receiver=Hotkey(self.key.ss58_address),
            status=status,
            response_digest=digest,
            artifact=NO_ARTIFACT,
            time_ns=time.time_ns(),
            scheme=scheme_of(self.key),
        )
        return signed(self.key, unsigned).header()


def _found(peer: Peer, name: str) -> type[Synapse[Any]]:
    found = peer.synapse(name)
    if found is None:
        raise UnknownSynapse(f"this miner does not serve {name}")
    return found


def _encoded(reply: Message, declared: Declaration) -> bytes:
    try:
        body = codec.encode(reply)
    except WireError:
        raise HandlerFailed("the handler's reply can't be encoded") from None
    if len(body) > declared.max_reply:
        raise HandlerFailed("the handler's reply is larger than its synapse allows")
    return body


def _reply(status: int, body: bytes, sign: _Signer | None) -> Reply:
    headers = {"content-type": codec.MSGPACK}
    if sign is not None:
        headers[HEADER_RECEIPT.lower()] = sign(status, hashlib.sha256(body).hexdigest())
    return Reply(status, headers, body)


def _refusal(error: WireError, sign: _Signer | None) -> Reply:
    reply = _reply(error.status, codec.encode_data(error.as_dict()), sign)
    more = {} if error.retry_after is None else {"retry-after": str(max(1, round(error.retry_after)))}
    return Reply(reply.status, {**reply.headers, **more}, reply.body)


class _Source:
    """A connection whose reply is there: the part of :class:`subnet.http_client.Connection` that a stream uses."""

    def __init__(self, reply: Reply) -> None:
        self.status, self.headers, self._reply = reply.status, reply.headers, reply

    async def reply(self) -> Reply:
        return self._reply

    async def piece(self) -> bytes:
        return b""

    def close(self) -> None:
        """Nothing to give back."""


class _Frames(_Source):
    """A streamed reply that is made as it is read, a message at a time: a slow reader holds the miner."""

    def __init__(
        self,
        first: Message | None,
        messages: AsyncGenerator[Message, None],
        declared: Declaration,
        sign: _Signer | None,
    ) -> None:
        super().__init__(Reply(200, {"content-type": frames.CONTENT_TYPE}, b""))
        self._next, self._messages, self._sign = first, messages, sign
        self._made: list[bytes] = []
        self._out = frames.FrameWriter(self._take, declared)
        self._over = False
        self._closing: asyncio.Task[None] | None = None

    async def _take(self, data: bytes) -> None:
        self._made.append(data)

    async def piece(self) -> bytes:
        if not self._over:
            await self._go_on()
        data, self._made = b"".join(self._made), []
        return data

    async def _go_on(self) -> None:
        try:
            if self._next is not None:
                await self._out.message(self._next)
                self._next = await anext(self._messages, None)
                return
        except WireError as error:
            await self._out.error(error)
        self._over = True
        await self._out.end(self._sign(200, self._out.digest) if self._sign is not None else "")

    def close(self) -> None:
        """Who stops reading stops the miner."""
        if not self._over:
            self._over = True
            self._closing = asyncio.get_running_loop().create_task(self._messages.aclose())
