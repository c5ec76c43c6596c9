"""The validator's side of the wire: ask many miners at once, get one typed result from each.

:meth:`Dendrite.query` encodes and hashes a request once, signs it for each peer, sends it over kept
connections and waits until one deadline for all. Each peer ends as an :class:`Ok` with its typed, checked
reply and the miner's receipt, or as a :class:`Failure` that says why; nothing a peer does raises.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import aiohttp
from yarl import URL

from subnet import auth, codec
from subnet.errors import BadReceipt, SubnetError, WireError
from subnet.keys import canonical_ss58, scheme_of
from subnet.receipts import HEADER_RECEIPT, Receipt
from subnet.synapse import Declaration, Message, Synapse, check_reply, declaration
from subnet.types import Hotkey, Netuid, Neuron, Uid

if TYPE_CHECKING:
    from substrateinterface import Keypair

R = TypeVar("R", bound=Message)

REFUSAL_CAP: Final = 16_384
"""Bytes of a refusal that are read."""
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
_BUSY: Final = frozenset((429, 503))
_OWN_HEADERS: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


class Reason(StrEnum):
    """Why a peer gave no usable reply."""

    TIMEOUT = "timeout"
    """Not before the deadline."""
    REFUSED = "refused"
    """It answered with an error; ``code`` is what it said."""
    UNREACHABLE = "unreachable"
    """No connection, or one that broke."""
    BAD_REPLY = "bad_reply"
    """It answered with something other than the declared reply, or without a valid receipt."""
    BUSY = "busy"
    """It asks to come back after ``retry_after`` seconds."""
    NO_AXON = "no_axon"
    """The metagraph lists no address for it."""


@dataclass(frozen=True, slots=True)
class Ok(Generic[R]):
    """A peer's reply: of the declared type, tensors of the declared dtypes and shapes."""

    uid: Uid
    hotkey: Hotkey
    value: R
    elapsed: float
    """Seconds from the first byte sent to the last one received."""
    receipt: Receipt | None
    """The miner's signature over request and reply, verified; None if receipts are off."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A peer that gave no usable reply, and why."""

    uid: Uid
    hotkey: Hotkey
    reason: Reason
    code: str
    """The error's code, as in :mod:`subnet.errors`; what a REFUSED or BUSY peer said is the peer's word."""
    message: str
    elapsed: float
    """Seconds, like :attr:`Ok.elapsed`; 0 if nothing was sent."""
    retry_after: float | None = None
    """Seconds, where the peer said so."""


Result: TypeAlias = Ok[R] | Failure


@dataclass(frozen=True, slots=True)
class _Packed:
    """A request ready to be signed: the same for every peer that is asked it."""

    request: Synapse[Any]
    declared: Declaration
    body: bytes
    digest: str


class _Refusal(Exception):
    """Inside this module: how one exchange ended, if not well."""

    def __init__(self, reason: Reason, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason, self.code, self.retry_after = reason, code, retry_after


class Dendrite:
    """Queries miners in the name of ``key``, a hotkey.

    ``netuid`` and ``genesis_hash`` must be the miners' (they are part of each receipt). With ``receipts`` a reply
    without a valid one is a BAD_REPLY. ``per_host`` bounds the exchanges with one address at a time; there is
    no bound over all, so that peers that hang can't hold up the others. Make and use it on one event loop;
    close it, or use it as an async context manager.
    """

    def __init__(
        self,
        key: Keypair,
        *,
        netuid: Netuid = Netuid(0),  # noqa: B008 (an int)
        genesis_hash: str = "0x" + "00" * 32,
        receipts: bool = True,
        per_host: int = 16,
    ) -> None:
        self.hotkey = canonical_ss58(key.ss58_address)
        scheme_of(key)  # a key that can't sign is told here, not at the first query
        self._key = key
        self._netuid, self._genesis_hash, self._receipts = netuid, genesis_hash, receipts
        self._per_host = per_host
        self._hosts: dict[str, asyncio.Semaphore] = {}
        self._last_nonce = 0
        self._session: aiohttp.ClientSession | None = None

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
        WrongType or BadTensor for a request that can't be encoded, ValueError for a sequence of another length.
        """
        requests = [request] * len(peers) if isinstance(request, Synapse) else list(request)
        if len(requests) != len(peers):
            raise ValueError(f"{len(requests)} requests for {len(peers)} peers")
        packed: dict[int, _Packed] = {}
        for one in requests:
            if id(one) not in packed:
                packed[id(one)] = _pack(one)
        longest = max((p.declared.timeout for p in packed.values()), default=0.0)
        deadline = asyncio.get_running_loop().time() + (longest if timeout is None else timeout)
        asked = sorted(zip(peers, requests, strict=True), key=lambda pair: pair[0].uid)
        results: list[Ok[R] | Failure] = await asyncio.gather(
            *(self._ask(peer, packed[id(one)], deadline) for peer, one in asked)
        )
        return results

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Dendrite:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _ask(self, peer: Neuron, packed: _Packed, deadline: float) -> Ok[Any] | Failure:
        """One peer, to its end: every way in which it can go wrong becomes a Failure."""
        started = 0.0
        try:
            if peer.axon is None or not peer.axon.port:
                raise _Refusal(Reason.NO_AXON, "dendrite.no-axon", "the metagraph lists no address for it")
            url, host = _address(peer.axon.url, packed.declared.name)
            async with asyncio.timeout_at(deadline), self._slot(host):
                started = time.perf_counter()
                try:
                    value, receipt = await self._exchange(peer, url, packed)
                except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                    # A kept connection that the peer closed just as we wrote; work units are idempotent.
                    value, receipt = await self._exchange(peer, url, packed)
            return Ok(peer.uid, peer.hotkey, value, time.perf_counter() - started, receipt)
        except TimeoutError:
            why = _Refusal(Reason.TIMEOUT, "dendrite.timeout", "no reply before the deadline")
        except _Refusal as refusal:
            why = refusal
        except (WireError, BadReceipt) as error:
            why = _Refusal(Reason.BAD_REPLY, error.code, str(error))
        except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
            why = _Refusal(Reason.BAD_REPLY, "dendrite.bad-http", str(error)[:200])
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = _Refusal(Reason.UNREACHABLE, "dendrite.unreachable", str(error)[:200] or type(error).__name__)
        elapsed = time.perf_counter() - started if started else 0.0
        return Failure(peer.uid, peer.hotkey, why.reason, why.code, str(why), elapsed, why.retry_after)

    async def _exchange(self, peer: Neuron, url: URL, packed: _Packed) -> tuple[Any, Receipt | None]:
        """Sign, send, read, check: the reply and its receipt, or an exception that ``_ask`` knows."""
        path, nonce = url.raw_path_qs, self._nonce()
        headers = auth.sign_digest(
            self._key,
            sender=self.hotkey,
            method="POST",
            path=path,
            digest=packed.digest,
            receiver=peer.hotkey,
            nonce_ns=nonce,
        )
        headers["Content-Type"] = codec.MSGPACK
        async with self._open_session().post(url, data=packed.body, headers=headers, allow_redirects=False) as response:
            if "Content-Encoding" in response.headers:
                raise _Refusal(Reason.BAD_REPLY, "wire.unknown-encoding", "the reply is compressed")
            cap = packed.declared.max_reply if response.status == 200 else REFUSAL_CAP
            body = await _read(response, cap)
        if response.status != 200:
            raise _refusal(response, body)
        receipt = self._check_receipt(peer, path, packed.digest, nonce, response, body) if self._receipts else None
        value = codec.decode(packed.declared.response, body, json=_is_json(response))
        check_reply(packed.request, value)
        return value, receipt

    def _check_receipt(
        self,
        peer: Neuron,
        path: str,
        digest: str,
        nonce: int,
        response: aiohttp.ClientResponse,
        body: bytes | bytearray,
    ) -> Receipt:
        receipt = Receipt.from_header(
            response.headers.get(HEADER_RECEIPT, ""),
            genesis_hash=self._genesis_hash,
            netuid=self._netuid,
            path=path,
            request_digest=digest,
            nonce_ns=nonce,
            sender=self.hotkey,
            receiver=peer.hotkey,
            status=response.status,
            response_digest=hashlib.sha256(body).hexdigest(),
        )
        receipt.verify()
        return receipt

    def _nonce(self) -> int:
        """The clock in ns, but never the same twice."""
        self._last_nonce = max(self._last_nonce + 1, time.time_ns())
        return self._last_nonce

    def _slot(self, host: str) -> asyncio.Semaphore:
        found = self._hosts.get(host)
        if found is None:
            if len(self._hosts) >= 4096:  # addresses come from the chain, so from anyone
                self._hosts = {h: s for h, s in self._hosts.items() if s.locked()}
            found = self._hosts[host] = asyncio.Semaphore(self._per_host)
        return found

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, limit_per_host=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=_NO_TIMEOUT,
                auto_decompress=False,
                skip_auto_headers=_OWN_HEADERS,
            )
        return self._session


def _pack(request: Synapse[Any]) -> _Packed:
    body = codec.encode(request)
    declared = declaration(request)
    if len(body) > declared.max_request:
        raise SubnetError(
            f"{declared.name} has {len(body)} bytes; it declares at most {declared.max_request}",
            remedy="Ask for less at once, or raise max_request= on the synapse at both ends.",
        )
    return _Packed(request, declared, body, hashlib.sha256(body).hexdigest())


@lru_cache(maxsize=8192)
def _address(base: str, name: str) -> tuple[URL, str]:
    return URL(f"{base}/{name}", encoded=True), base


async def _read(response: aiohttp.ClientResponse, cap: int) -> bytes | bytearray:
    """The raw body, cut off as soon as it passes ``cap`` bytes."""
    declared = response.content_length or 0
    content = response.content
    if declared <= cap and content.is_eof():
        body: bytes | bytearray = content.read_nowait()
    else:
        body = bytearray()
        while declared <= cap and len(body) <= cap and (chunk := await content.readany()):
            body += chunk
    if max(declared, len(body)) > cap:
        response.close()
        raise _Refusal(Reason.BAD_REPLY, "wire.body-too-large", f"the reply is larger than {cap} bytes")
    return body


def _refusal(response: aiohttp.ClientResponse, body: bytes | bytearray) -> _Refusal:
    """What a peer that answered with an error said, as far as it makes sense."""
    said: dict[str, Any] = {}
    try:
        data = codec.decode_data(body, json=_is_json(response))
        said = data if isinstance(data, dict) else {}
    except WireError:
        pass  # an error page of something else: its status says enough
    code = _text(said.get("code", f"http.{response.status}"), 80)
    message = _text(said.get("message", response.reason), 500)
    if response.status in _BUSY:
        return _Refusal(Reason.BUSY, code, message, _seconds(response.headers.get("Retry-After")))
    if response.status == 504:
        return _Refusal(Reason.TIMEOUT, code, message)
    if response.status < 400:
        return _Refusal(Reason.BAD_REPLY, code, f"status {response.status} is no reply")
    return _Refusal(Reason.REFUSED, code, message)


def _text(said: Any, length: int) -> str:
    """A peer's word as text that can be stored and encoded: short, and without lone surrogates."""
    return str(said)[:length].encode("utf-8", "replace").decode()


def _is_json(response: aiohttp.ClientResponse) -> bool:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == codec.JSON


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else None
