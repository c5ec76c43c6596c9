"""The organic API: an HTTP server before a subnet, at which users ask its miners through a validator.

``POST /v1/<synapse name>`` takes one of ``Validator.organic`` as JSON or msgpack and answers in kind; a streamed
synapse is answered with lines of JSON, or frames (:mod:`subnet.frames`). ``GET /v1`` lists the synapses, ``GET
/health`` says whether there is a miner to ask. A request passes, cheapest check first::

    token ─► limit by token, or else by address ─► path, encoding, size ─► body ─► decode ─► queue ─► miners ─► reply

So strangers use up nothing of what holders of a token may do, though a proxy stands before both.
Whoever fails a step gets its WireError as a small body ``{code, message, remedy}`` under its HTTP status.
Log events: ``organic_serving`` (host, port, synapses).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from subnet import codec, frames
from subnet.admission import Buckets, Limits
from subnet.connections import FrontDoor
from subnet.errors import (
    AuthError,
    BodyTooLarge,
    Busy,
    ConfigError,
    NotPermitted,
    RateLimited,
    UnknownEncoding,
    UnknownSynapse,
    WireError,
    WrongMethod,
)
from subnet.http_messages import Request, Response
from subnet.intake import Intake
from subnet.results import Ok
from subnet.slots import Slots
from subnet.synapse import Declaration, Synapse, declaration
from subnet.validators.organic import Organic

if TYPE_CHECKING:
    from subnet.telemetry import Metrics

log = logging.getLogger(__name__)

LIMITS: Final = Limits(
    address_rate=10.0,
    address_burst=100,
    hotkey_rate=20.0,
    hotkey_burst=40,
    unverified_bytes=64 * 1024 * 1024,
    running=32,
    queue=64,
    connections=512,
    connections_each=256,
)
"""What users may do by default; ``hotkey_rate`` and ``hotkey_burst`` are those of one token."""
SHORTEST_TOKEN: Final = 16
MOST_TOKENS: Final = 10_000
MAX_TOKEN_FILE: Final = 1 << 20
_PREFIX: Final = "/v1/"
_ENCODINGS: Final = frozenset({codec.JSON, codec.MSGPACK, "application/x-msgpack"})


@dataclass(frozen=True)
class Gate:
    """Where the API listens, and who may ask: holders of one of ``tokens``, or on loopback, without any, everybody.

    ``proxies`` are the addresses of reverse proxies before it, whose X-Forwarded-For is believed. Raises ConfigError
    for an address beyond loopback, or a proxy, without tokens, for tokens that are too short, and for no address.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tokens: tuple[str, ...] = field(default=(), repr=False)
    limits: Limits = LIMITS
    proxies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        loopback = _ip(self.host, "--organic-host").is_loopback
        for proxy in self.proxies:
            _ip(proxy, "--trusted-proxy")
        if not self.tokens and not (loopback and not self.proxies):
            raise ConfigError(
                f"users {'behind a proxy' if loopback else f'at {self.host}'} need tokens",
                remedy="Give --organic-tokens FILE, or stay on --organic-host 127.0.0.1 without --trusted-proxy.",
            )
        if any(len(token) < SHORTEST_TOKEN or not token.isascii() for token in self.tokens):
            raise ConfigError(
                f"a token has fewer than {SHORTEST_TOKEN} letters, or others than ASCII",
                remedy="Make them with: openssl rand -hex 24",
            )


def _ip(text: str, option: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ConfigError(f"{option} {text} is no IP address", remedy="Write 127.0.0.1, or ::1.") from None


def read_tokens(path: Path) -> tuple[str, ...]:
    """The tokens of a file, one a line, but for empty lines and those that begin with #. Raises ConfigError."""
    try:
        with path.expanduser().open("rb") as file:
            text = file.read(MAX_TOKEN_FILE + 1).decode("ascii")
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", remedy="Check --organic-tokens.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} holds more than ASCII", remedy="Make tokens with: openssl rand -hex 24") from None
    tokens = tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    if not 0 < len(tokens) <= MOST_TOKENS or len(text) > MAX_TOKEN_FILE:
        raise ConfigError(f"{path} holds {len(tokens)} tokens", remedy="Write one token a line: openssl rand -hex 24")
    return tokens


class Gateway:
    """Serves users by ``organic``; start and stop it on one event loop."""

    def __init__(self, organic: Organic, gate: Gate, metrics: Metrics | None = None) -> None:
        self.port = gate.port
        self._organic, self._gate, self._metrics = organic, gate, metrics
        # Looked up by digest: that costs the same for any token, and its time tells nothing that a caller could steer.
        self._tokens = frozenset(hashlib.sha256(token.encode()).digest() for token in gate.tokens)
        limits = gate.limits
        self._by_address = Buckets(limits.address_rate, limits.address_burst)
        self._by_token = Buckets(limits.hotkey_rate, limits.hotkey_burst)
        self._intake = Intake(limits.unverified_bytes, limits.body_timeout)
        self._slots = Slots(limits.running, limits.queue)
        self._http: FrontDoor | None = None
        self._listener: asyncio.Server | None = None
        self._stopping = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """Bind and serve. Raises ConfigError if the address can't be bound."""
        self._http = FrontDoor(self._answer, limits=self._gate.limits, proxies=self._gate.proxies)
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._http, self._gate.host, self._gate.port, backlog=128)
        except OSError as error:
            raise ConfigError(
                f"can't listen on {self._gate.host}:{self._gate.port}: {error.strerror}",
                remedy="Choose another --organic-port (0 takes any free one) or stop what holds it.",
            ) from None
        self.port = self._listener.sockets[0].getsockname()[1]
        about = {"host": self._gate.host, "port": self.port, "synapses": list(self._organic.synapses)}
        log.info("organic_serving", extra=about)

    async def stop(self, drain: float = 5.0) -> None:
        """Stop accepting, let what runs finish for up to ``drain`` seconds, close; idempotent."""
        if self._listener is None or self._http is None:
            return
        self._stopping = True
        self._listener.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), drain)
        await self._http.shutdown(timeout=0.05)
        await self._organic.close()
        self._listener = self._http = None

    # One request, top to bottom.

    async def _answer(self, request: Request) -> Response | None:
        kind = _content_type(request)
        json = kind == codec.JSON or kind not in _ENCODINGS
        self._in_flight += 1
        self._idle.clear()
        outcome = "served"
        try:
            if request.method == "GET":
                return self._tell(request)
            message, size = await self._receive(request, json=json)
            await self._place(declaration(message))
            try:
                if declaration(message).stream:
                    await self._stream(request, message, size, json=json)
                    return None
                result, body = await self._organic.ask(message, size=size, json=json)
                return _reply(result, body, json=json)
            finally:
                self._slots.release()
        except WireError as error:
            outcome = error.code
            return self._refusal(error, json=json)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
            if self._metrics is not None and request.method != "GET":
                self._metrics.count("subnet_organic_requests_total", outcome=outcome)

    def _tell(self, request: Request) -> Response:
        """``GET /health``, for anybody; ``GET /v1``, for who may ask."""
        path = request.path.partition("?")[0]
        if path == "/health":
            good = self._organic.ready and not self._stopping
            told = {
                "status": "stopping" if self._stopping else "ok" if good else "no-miners",
                "in_flight": self._in_flight - 1,
                "queued": self._slots.waiting,
                "unjudged": self._organic.waiting,
            }
            return _json(200 if good else 503, told)
        self._admit(request)
        if path.rstrip("/") != _PREFIX.rstrip("/"):
            raise UnknownSynapse("GET /v1 lists the synapses, GET /health says how things are")
        return _json(200, {"synapses": [_described(cls) for cls in self._organic.synapses.values()]})

    async def _receive(self, request: Request, *, json: bool) -> tuple[Synapse[Any], int]:
        """Everything up to the decoded request, and its size; raises the WireError of the first check that fails."""
        if self._stopping:
            raise Busy("this validator is stopping", retry_after=5.0)
        caller = self._admit(request)
        synapse, declared = self._look_up(request)
        body = await self._intake.read(request, declared.max_request, caller)
        try:
            message = codec.decode(synapse, body, json=json)
        finally:
            self._intake.give_back(body)
        if not self._tokens:
            self._by_address.give_back(caller)
        return message, len(body)

    def _admit(self, request: Request) -> str:
        """What the caller's requests are counted under: its token, or its address where nobody needs one.

        Only who has no good token is limited by address. Where nobody needs one, a page in a browser of this machine
        could ask as well: it is told by its Origin.
        """
        caller = self._token_of(request)
        if not caller:
            assert self._http is not None  # noqa: S101
            caller = self._http.source(request)
            wait = self._by_address.take(caller)
            if wait:
                raise RateLimited("too many requests from this address", retry_after=wait)
            if self._tokens:
                raise AuthError("no token that is known here", remedy="Send the header Authorization: Bearer TOKEN.")
            if "origin" in request.headers:
                raise NotPermitted("web pages may not ask here", remedy="Give the validator --organic-tokens FILE.")
        wait = self._by_token.take(caller)
        if wait:
            raise RateLimited("too many requests of this user", retry_after=wait)
        return caller

    def _token_of(self, request: Request) -> str:
        """The digest of the token that a request bears, in hex; "" if it bears none that is known."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return ""
        digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        return digest.hex() if digest in self._tokens else ""

    def _look_up(self, request: Request) -> tuple[type[Synapse[Any]], Declaration]:
        if request.method != "POST":
            raise WrongMethod(f"{request.method} is not served; synapses are POSTed")
        path = request.path.partition("?")[0]
        synapse = self._organic.synapses.get(path.removeprefix(_PREFIX))
        if synapse is None or not path.startswith(_PREFIX):
            raise UnknownSynapse(
                f"users may ask {', '.join(self._organic.synapses)}",
                remedy="POST /v1/<synapse name>; GET /v1 lists them.",
            )
        if _content_type(request) not in _ENCODINGS or "content-encoding" in request.headers:
            raise UnknownEncoding("bodies are application/json or application/msgpack")
        declared = declaration(synapse)
        if request.content_length > declared.max_request:
            raise BodyTooLarge(f"{request.content_length} bytes; {declared.max_request} are accepted")
        return synapse, declared

    async def _place(self, declared: Declaration) -> None:
        try:
            async with asyncio.timeout(declared.timeout):
                await self._slots.take()
        except TimeoutError:
            raise Busy("no place came free in time", retry_after=1.0) from None

    async def _stream(self, request: Request, message: Synapse[Any], size: int, *, json: bool) -> None:
        """Messages as the miner sends them, each taken by the user before the next is asked for."""
        connection = request.connection
        connection.cancel_when_lost = True
        if connection.transport is None:
            raise asyncio.CancelledError
        async with self._organic.stream(message, size=size) as messages:
            write = connection.stream(request, {"Content-Type": frames.LINES if json else frames.CONTENT_TYPE})
            out = frames.FrameWriter(write, declaration(message), json=json)
            try:
                async for one in messages:
                    await out.message(one)
            except WireError as error:
                await out.error(error)
            await out.end("")
            await write(b"")

    def _refusal(self, error: WireError, *, json: bool) -> Response:
        log.debug("organic_refused", extra={"code": error.code, "error": error.message})
        headers = {"Content-Type": codec.JSON if json else codec.MSGPACK}
        if error.retry_after is not None:
            headers["Retry-After"] = str(max(1, round(error.retry_after)))
        if isinstance(error, AuthError):
            headers["WWW-Authenticate"] = "Bearer"
        body = codec.encode_data(error.as_dict(), json=json)
        return Response(error.status, body, headers, close=self._stopping)


def _reply(result: Ok[Any], body: bytes, *, json: bool) -> Response:
    """The miner's reply, and in headers who gave it and how long that took, in seconds."""
    headers = {
        "Content-Type": codec.JSON if json else codec.MSGPACK,
        "X-Subnet-Uid": str(result.uid),
        "X-Subnet-Hotkey": result.hotkey,
        "X-Subnet-Elapsed": f"{result.elapsed:.3f}",
    }
    return Response(200, body, headers)


def _json(status: int, data: Any) -> Response:
    return Response(status, codec.encode_data(data, json=True), {"Content-Type": codec.JSON})


def _described(synapse: type[Synapse[Any]]) -> dict[str, Any]:
    declared = declaration(synapse)
    return {
        "name": declared.name,
        "about": (synapse.__doc__ or "").strip().partition("\n")[0],
        "fields": list(synapse.__struct_fields__),
        "reply": list(declared.response.__struct_fields__),
        "stream": declared.stream,
        "timeout": declared.timeout,
        "max_request": declared.max_request,
    }


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
