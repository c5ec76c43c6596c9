"""JSON-RPC 2.0: requests checked and answered, whatever arrives. Knows no method; see :mod:`subnet.devnet.methods`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
MAX_BATCH = 64  # requests in one message
MAX_PARAMS = 16
MAX_ANSWER = 64 * 1024 * 1024  # characters of one message back


class RpcError(Exception):
    """An error answer: JSON-RPC code, message and, where there is more to say, data."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def as_dict(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return error


def bad_params(message: str) -> RpcError:
    return RpcError(INVALID_PARAMS, f"Invalid params: {message}")


@dataclass(frozen=True)
class Reply:
    """A result with something to do once it has been sent (a subscription's first notification)."""

    result: Any
    after: Callable[[], None] | None = None


Method = Callable[..., Any]
Answer = tuple[str, list[Callable[[], None]]]


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


async def answer(text: str | bytes, call: Callable[[str, list[Any]], Awaitable[Any]]) -> Answer | None:
    """The answer to one message (None if it needs none) and what to do after it was sent."""
    try:
        message = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return dumps(_failure(None, RpcError(PARSE_ERROR, "Parse error"))), []
    if isinstance(message, list):
        return await _batch(message, call)
    reply, after = await _one(message, call)
    return None if reply is None else (dumps(reply), after)


async def _batch(messages: list[Any], call: Callable[[str, list[Any]], Awaitable[Any]]) -> Answer | None:
    if not messages or len(messages) > MAX_BATCH:
        why = "an empty batch" if not messages else f"more than {MAX_BATCH} requests in a batch"
        return dumps(_failure(None, RpcError(INVALID_REQUEST, f"Invalid request: {why}"))), []
    replies: list[str] = []
    afters: list[Callable[[], None]] = []
    size = 0
    for message in messages:
        if size > MAX_ANSWER:
            full = RpcError(
                INVALID_REQUEST, f"Invalid request: the answers before came to over {MAX_ANSWER} characters"
            )
            replies.append(dumps(_failure(message.get("id") if isinstance(message, dict) else None, full)))
            continue
        reply, after = await _one(message, call)
        await asyncio.sleep(0)  # blocks and other clients need not wait for the whole of it
        afters += after
        if reply is not None:
            replies.append(dumps(reply))
            size += len(replies[-1])
    return (f"[{','.join(replies)}]", afters) if replies else None


async def _one(
    message: Any, call: Callable[[str, list[Any]], Awaitable[Any]]
) -> tuple[dict[str, Any] | None, list[Callable[[], None]]]:
    number = message.get("id") if isinstance(message, dict) else None
    try:
        method, params = _checked(message)
        result = await call(method, params)
    except RpcError as error:
        return _failure(number, error), []
    except Exception:
        # a defect of ours; the caller learns only that, the log has the rest
        logger.exception("JSON-RPC method failed")
        return _failure(number, RpcError(INTERNAL, "Internal error")), []
    if "id" not in message:
        return None, []
    after = []
    if isinstance(result, Reply):
        after = [result.after] if result.after else []
        result = result.result
    return {"jsonrpc": "2.0", "result": result, "id": number}, after


def _checked(message: Any) -> tuple[str, list[Any]]:
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        raise RpcError(INVALID_REQUEST, "Invalid request")
    if not isinstance(message.get("id"), int | str | None):
        raise RpcError(INVALID_REQUEST, "Invalid request: id")
    params = message.get("params")
    if params is None:
        params = []
    if not isinstance(params, list) or len(params) > MAX_PARAMS:
        raise bad_params(f"a list of at most {MAX_PARAMS} is expected")
    return message["method"], params


def _failure(number: Any, error: RpcError) -> dict[str, Any]:
    safe = number if isinstance(number, int | str) else None
    return {"jsonrpc": "2.0", "error": error.as_dict(), "id": safe}


def from_hex(value: Any, *, what: str = "hex") -> bytes:
    """Bytes from hex with or without 0x; RpcError otherwise."""
    if not isinstance(value, str):
        raise bad_params(f"{what} must be a hex string")
    try:
        return bytes.fromhex(value[2:] if value[:2] in ("0x", "0X") else value)
    except ValueError:
        raise bad_params(f"{what} is not hex") from None


def to_hex(value: bytes) -> str:
    return "0x" + value.hex()
