"""The JSON wire of bittensor 10's Axon and Dendrite, for one declared synapse: a subnet can move miner by miner.

:class:`V10Axon` lets a miner of ours answer validators that still run bittensor 10; :class:`V10Dendrite` lets a
validator of ours ask miners that do. Both take a :class:`~subnet.synapse.Synapse` whose class has the name, and
whose request and reply together have the fields, of the ``bt.Synapse`` that it stands for; its values must be plain
JSON (v10 has an encoding of tensors of its own, which is not bridged).

What this wire lacks, and no bridge can give it:

- **The body is not signed.** The signature covers nonce, both hotkeys, the sender's uuid and a hash that the sender
  states, of the fields in ``required_hash_fields`` only: by default of none. Whoever stands between can change the
  rest. We recompute the hash and refuse one that does not fit.
- **Replies are not signed**: there are no receipts.
- v10 itself refuses requests whose nonces do not arrive in growing order. This axon takes any order, each nonce once.

Source: bittensor 10.5.0 (axon.py, dendrite.py, synapse.py), and what its two ends say to each other.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

import aiohttp

from subnet import codec
from subnet.admission import Limits
from subnet.auth import Caller
from subnet.connections import FrontDoor
from subnet.errors import (
    BadSignature,
    BodyTooLarge,
    ConfigError,
    Malformed,
    MalformedAuth,
    ReplayedRequest,
    StaleRequest,
    UnknownSynapse,
    WireError,
    WrongReceiver,
)
from subnet.http_messages import Request, Response
from subnet.intake import Intake
from subnet.keys import canonical_ss58, public_key_of, sign_bytes, verify_bytes
from subnet.nonces import NonceTable
from subnet.results import Failure, Ok, Reason, Refusal, failure, refusal_of
from subnet.routes import route
from subnet.synapse import Declaration, Message, Synapse, check_reply, declaration
from subnet.types import Hotkey, Neuron
from subnet.workers import Workers

if TYPE_CHECKING:
    from substrateinterface import Keypair

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Message)

VERSION: Final = 10_005_000
"""10.5.0, as v10 writes versions: 1,000,000 x major + 1,000 x minor + patch."""
AGE: Final = 4.0
"""Seconds, beside the request's own timeout, that a nonce may be old."""
SKEW: Final = 2.0
MAX_TIMEOUT: Final = 60.0
"""Seconds of a request's timeout that we remember nonces for."""
_MAX_UUID: Final = 64


def body_hash(fields: Mapping[str, Any], hashed: Sequence[str] = ()) -> str:
    """The hash that v10 signs: of the Python texts of the fields named in ``required_hash_fields``, in that order."""
    return _sha3("".join(_sha3(str(fields[name])) for name in hashed))


def signed_message(nonce_ns: int, sender: str, receiver: str, session: str, digest: str) -> bytes:
    """What a v10 dendrite signs: five values joined by dots."""
    return f"{nonce_ns}.{sender}.{receiver}.{session}.{digest}".encode()


class V10Axon:
    """Serves ``handler`` to v10 dendrites, beside or instead of an :class:`subnet.Axon`.

    ``admit`` is asked with the claimed hotkey before the body is read, as the axon's. ``hashed`` are the v10 synapse's
    ``required_hash_fields``. Limits are those of :class:`~subnet.admission.Limits` for connections, bodies and
    handlers. Raises ConfigError if the address can't be bound.
    """

    def __init__(
        self,
        key: Keypair,
        handler: Callable[..., Any],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        hashed: Sequence[str] = (),
        admit: Callable[[Hotkey, type[Synapse[Any]]], Neuron | None] | None = None,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
    ) -> None:
        self.hotkey = canonical_ss58(key.ss58_address)
        self.host, self.port, self.limits = host, port, limits
        self._route, self._hashed, self._admit = route(handler), tuple(hashed), admit
        if self._route.declared.stream:
            raise ConfigError(f"{self._route.declared.name} is a stream, which this wire does not bridge")
        self._nonces = NonceTable(retention=AGE + SKEW + MAX_TIMEOUT)
        self._intake = Intake(limits.unverified_bytes, limits.body_timeout)
        self._workers = Workers(limits)
        self._http: FrontDoor | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Bind and serve."""
        self._http = FrontDoor(self._answer, limits=self.limits)
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._http, self.host, self.port)
        except OSError as error:
            raise ConfigError(
                f"can't listen on {self.host}:{self.port}: {error.strerror}", remedy="Choose another port."
            ) from None
        self._workers.start()
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop serving; idempotent."""
        listener, http, self._listener, self._http = self._listener, self._http, None, None
        if listener is not None and http is not None:
            listener.close()
            await http.shutdown(timeout=self._route.declared.timeout)
            self._workers.stop()
            self._nonces.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def _answer(self, request: Request) -> Response:
        declared = self._route.declared
        try:
            if request.method != "POST" or request.path != f"/{declared.name}":
                raise UnknownSynapse(f"this bridge serves POST /{declared.name}")
            claim = _Claim(request.headers)
            neuron = None if self._admit is None else self._admit(claim.sender, self._route.synapse)
            fields = await self._fields(request)
            self._prove(claim, fields)
            names = [name for name in self._route.synapse.__struct_fields__ if name in fields]
            asked = codec.decode(
                self._route.synapse, codec.encode_data({n: fields[n] for n in names}, json=True), json=True
            )
            caller = Caller(claim.sender, claim.nonce_ns, "sr25519", neuron)
            arguments = (asked, caller) if self._route.takes_caller else (asked,)
            reply = await self._workers.run(self._route, asked, arguments)
            return self._response(200, "Success", fields | json.loads(codec.encode(reply, json=True)))
        except WireError as error:
            log.debug("refused %s: %s", error.code, error)
            status = 401 if isinstance(error, (WrongReceiver, ReplayedRequest)) else error.status
            return self._response(status, str(error), {"message": str(error)})

    async def _fields(self, request: Request) -> dict[str, Any]:
        body = await self._intake.read(request, self._route.declared.max_request, request.connection.address)
        try:
            return _fields(body)
        finally:
            self._intake.give_back(body)

    def _prove(self, claim: _Claim, fields: dict[str, Any]) -> None:
        """Receiver, age, hash, signature, replay; BadSignature and its like say which failed."""
        if claim.receiver != self.hotkey:
            raise WrongReceiver("this request is for another miner")
        age = (time.time_ns() - claim.nonce_ns) / 1e9
        if not -SKEW <= age <= AGE + min(claim.timeout, MAX_TIMEOUT):
            raise StaleRequest(f"this nonce is {age:.1f} s old")
        if missing := [name for name in self._hashed if name not in fields]:
            raise Malformed(f"{', '.join(missing)} must be there to be hashed")
        if claim.digest != body_hash(fields, self._hashed):
            raise BadSignature("the stated hash is not that of this body")
        message = signed_message(claim.nonce_ns, claim.said_sender, claim.said_receiver, claim.session, claim.digest)
        if not verify_bytes("sr25519", public_key_of(claim.sender), message, claim.signature):
            raise BadSignature("the signature is not the sender's")
        if not self._nonces.check_and_store(claim.sender, claim.nonce_ns):
            raise ReplayedRequest("this nonce was already accepted from this hotkey")

    def _response(self, status: int, message: str, content: dict[str, Any]) -> Response:
        headers = {
            "Content-Type": codec.JSON,
            "name": self._route.declared.name,
            "bt_header_axon_status_code": str(status),
            "bt_header_axon_status_message": "".join(c for c in message if c.isprintable() and c.isascii()),
            "bt_header_axon_hotkey": self.hotkey,
            "bt_header_axon_version": str(VERSION),
        }
        return Response(status, json.dumps(content).encode(), headers)


class _Claim:
    """The headers of a v10 request; MalformedAuth for what can't be one. Nothing of it is proved."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        try:
            self.said_sender = headers["bt_header_dendrite_hotkey"]
            self.said_receiver = headers["bt_header_axon_hotkey"]
            self.sender = Hotkey(canonical_ss58(self.said_sender))
            self.receiver = canonical_ss58(self.said_receiver)
            self.nonce_ns = int(headers["bt_header_dendrite_nonce"])
            self.session = headers["bt_header_dendrite_uuid"]
            self.digest = headers["computed_body_hash"]
            self.signature = bytes.fromhex(headers["bt_header_dendrite_signature"].removeprefix("0x"))
            self.timeout = float(headers.get("timeout", "0"))
        except KeyError as missing:
            raise MalformedAuth(f"the header {missing} is missing") from None
        except ValueError as error:
            raise MalformedAuth(f"a header can't be read: {str(error)[:100]}") from None
        if not 0 <= self.timeout < 86_400 or len(self.session) > _MAX_UUID or not 0 < self.nonce_ns < 1 << 64:
            raise MalformedAuth("a header is out of bounds")


class V10Dendrite(Generic[R]):
    """Asks v10 axons in the name of ``key``, an sr25519 hotkey. ``hashed`` as for :class:`V10Axon`.

    ``query`` gives an Ok or a Failure for each peer, in the order of uid, as :meth:`subnet.Dendrite.query` does; its
    ``receipt`` is None. Use it as an async context manager.
    """

    def __init__(self, key: Keypair, *, hashed: Sequence[str] = ()) -> None:
        self.hotkey = canonical_ss58(key.ss58_address)
        self._key, self._hashed, self._uuid = key, tuple(hashed), str(uuid.uuid4())
        self._session: aiohttp.ClientSession | None = None
        self._last_nonce = 0

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=0)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self

    async def __aexit__(self, *exc: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def query(
        self, peers: Sequence[Neuron], request: Synapse[R], *, timeout: float | None = None
    ) -> list[Ok[R] | Failure]:
        """Ask every peer at once, under one deadline (seconds; default the synapse's own)."""
        declared = declaration(request)
        seconds = declared.timeout if timeout is None else timeout
        asked = sorted(peers, key=lambda peer: peer.uid)
        return list(await asyncio.gather(*(self._ask(peer, request, declared, seconds) for peer in asked)))

    async def _ask(self, peer: Neuron, request: Synapse[R], declared: Declaration, seconds: float) -> Ok[R] | Failure:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(seconds):
                value = await self._exchange(peer, request, declared, seconds)
            return Ok(peer.uid, peer.hotkey, value, time.perf_counter() - started, None)
        except Exception as error:
            return failure(peer, error, time.perf_counter() - started)

    async def _exchange(self, peer: Neuron, request: Synapse[R], declared: Declaration, seconds: float) -> R:
        if self._session is None:
            raise RuntimeError("a V10Dendrite is used as `async with V10Dendrite(key) as dendrite`")
        if peer.axon is None or not peer.axon.port:
            raise Refusal(Reason.NO_AXON, "dendrite.no-axon", "the metagraph lists no address for it")
        fields = json.loads(codec.encode(request, json=True))
        digest = body_hash(fields, self._hashed)
        ends = self._terminals(peer, digest)
        headers = {"name": declared.name, "timeout": str(float(seconds)), "computed_body_hash": digest}
        headers |= {f"bt_header_{end}_{name}": text for end, said in ends.items() for name, text in said.items()}
        fields |= {"name": declared.name, "timeout": float(seconds), **ends}
        url = f"{peer.axon.url}/{declared.name}"
        async with self._session.post(url, json=fields, headers=headers, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > declared.max_reply:
                    raise BodyTooLarge(f"the reply is larger than {declared.max_reply} bytes")
            if response.status != 200:
                raise refusal_of(body[:16_384], response.status, response.headers, json=True)
        found = _fields(body)
        names = [name for name in declared.response.__struct_fields__ if name in found]
        plain = codec.encode_data({name: found[name] for name in names}, json=True)
        value: Any = codec.decode(declared.response, plain, json=True)
        check_reply(request, value)
        return value  # type: ignore[no-any-return]

    def _terminals(self, peer: Neuron, digest: str) -> dict[str, dict[str, str]]:
        """The two ends as v10 describes them, ours signed: for the headers and, where handlers look, the body."""
        assert peer.axon is not None  # noqa: S101 - the caller looked
        self._last_nonce = nonce = max(self._last_nonce + 1, time.time_ns())  # v10 wants them growing
        signature = sign_bytes(self._key, signed_message(nonce, self.hotkey, peer.hotkey, self._uuid, digest))
        return {
            "axon": {"ip": peer.axon.ip, "port": str(peer.axon.port), "hotkey": peer.hotkey},
            "dendrite": {
                "version": str(VERSION),
                "nonce": str(nonce),
                "uuid": self._uuid,
                "hotkey": self.hotkey,
                "signature": f"0x{signature.hex()}",
            },
        }


def _fields(body: bytes | bytearray) -> dict[str, Any]:
    fields = codec.decode_data(body, json=True)
    if not isinstance(fields, dict):
        raise Malformed("a v10 body is a JSON object")
    return fields


def _sha3(text: str) -> str:
    return hashlib.sha3_256(text.encode()).hexdigest()
