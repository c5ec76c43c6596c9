"""What asking a peer ends as: an :class:`Ok` with its checked reply, or a :class:`Failure` that says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeAlias, TypeVar

import aiohttp

from subnet import codec
from subnet.errors import BadReceipt, Busy, HandlerTimeout, RateLimited, WireError
from subnet.http_client import BadHttp
from subnet.receipts import Receipt
from subnet.synapse import Message
from subnet.types import Hotkey, Neuron, Uid

R = TypeVar("R", bound=Message)

_BUSY: Final = frozenset((429, 503))
_BUSY_CODES: Final = frozenset((Busy.code, RateLimited.code))


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
    partial: bool = False
    """Of a user's stream: it was left before its end, so that ``value`` is what had come, and there is no receipt."""


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


class Refusal(Exception):
    """Inside the client: how one exchange ended, if not well."""

    def __init__(self, reason: Reason, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason, self.code, self.retry_after = reason, code, retry_after


def failure(peer: Neuron, error: Exception, elapsed: float) -> Failure:
    """The Failure that an exchange's exception means. Raises the exception if it means none: it is our own mistake."""
    match error:
        case Refusal():
            why = error
        case TimeoutError():
            why = Refusal(Reason.TIMEOUT, "dendrite.timeout", "no reply before the deadline")
        case WireError() | BadReceipt():
            why = Refusal(Reason.BAD_REPLY, error.code, str(error))
        case BadHttp() | aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            why = Refusal(Reason.BAD_REPLY, "dendrite.bad-http", str(error)[:200])
        case aiohttp.ClientError() | OSError() | ValueError():
            why = Refusal(Reason.UNREACHABLE, "dendrite.unreachable", str(error)[:200] or type(error).__name__)
        case _:
            raise error
    return Failure(peer.uid, peer.hotkey, why.reason, why.code, str(why), elapsed, why.retry_after)


def refusal_of(
    body: bytes | bytearray, status: int = 0, headers: Mapping[str, str] | None = None, *, json: bool = False
) -> Refusal:
    """What a peer that answered with an error said, as far as it makes sense.

    ``status`` 0 is an error inside a stream, which its code tells; the caller bounds the body's size.
    """
    said: dict[str, Any] = {}
    try:
        data = codec.decode_data(body, json=json)
        said = data if isinstance(data, dict) else {}
    except WireError:
        pass  # an error page of something else: its status says enough
    code = _text(said.get("code", f"http.{status}"), 80)
    message = _text(said.get("message", f"status {status}"), 500)
    if status in _BUSY or (not status and code in _BUSY_CODES):
        return Refusal(Reason.BUSY, code, message, _seconds((headers or {}).get("retry-after")))
    if status == 504 or (not status and code == HandlerTimeout.code):
        return Refusal(Reason.TIMEOUT, code, message)
    if 0 < status < 400:
        return Refusal(Reason.BAD_REPLY, code, f"status {status} is no reply")
    return Refusal(Reason.REFUSED, code, message)


def _text(said: Any, length: int) -> str:
    """A peer's word as text that can be stored and encoded: short, and without lone surrogates."""
    return str(said)[:length].encode("utf-8", "replace").decode()


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else None
