"""JSON-RPC: one well-formed answer to whatever arrives, and no traceback for what a stranger sends."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.devnet import rpc
from subnet.devnet.rpc import Reply, RpcError, answer


async def call(method: str, params: list[Any]) -> Any:
    if method == "broken":
        raise ZeroDivisionError
    if method == "refused":
        raise RpcError(1010, "Invalid Transaction", "why")
    if method == "reply":
        return Reply("s1", lambda: None)
    return [method, params]


async def ask(message: Any) -> Any:
    answered = await answer(message if isinstance(message, str | bytes) else json.dumps(message), call)
    return None if answered is None else json.loads(answered[0])


async def test_a_request_is_answered() -> None:
    asked = {"jsonrpc": "2.0", "id": 7, "method": "m", "params": [1]}
    assert await ask(asked) == {"jsonrpc": "2.0", "id": 7, "result": ["m", [1]]}
    assert await ask({"id": "a", "method": "m", "params": None}) == {"jsonrpc": "2.0", "id": "a", "result": ["m", []]}


async def test_errors_keep_code_and_data() -> None:
    reply = await ask({"id": 1, "method": "refused", "params": []})
    assert reply["error"] == {"code": 1010, "message": "Invalid Transaction", "data": "why"}


async def test_what_follows_a_reply_comes_after_it() -> None:
    answered = await answer(json.dumps({"id": 1, "method": "reply"}), call)
    assert answered is not None
    text, after = answered
    assert json.loads(text)["result"] == "s1"
    assert len(after) == 1


async def test_a_notification_gets_no_answer() -> None:
    assert await ask({"method": "m", "params": []}) is None
    assert await ask([{"method": "m"}]) is None


async def test_batches() -> None:
    replies = await ask([{"id": 1, "method": "m"}, {"id": 2, "method": "refused"}, 5])
    assert [reply["id"] for reply in replies] == [1, 2, None]
    assert (await ask([]))["error"]["code"] == rpc.INVALID_REQUEST
    assert (await ask([{"id": 1, "method": "m"}] * (rpc.MAX_BATCH + 1)))["error"]["code"] == rpc.INVALID_REQUEST


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", rpc.PARSE_ERROR),
        ("{", rpc.PARSE_ERROR),
        (b"\xff\xfe\xfd", rpc.PARSE_ERROR),
        ("[" * 100_000, rpc.PARSE_ERROR),
        ('{"id": ' + "9" * 10_000 + "}", rpc.PARSE_ERROR),
        ("5", rpc.INVALID_REQUEST),
        ("null", rpc.INVALID_REQUEST),
        ('{"id": 1}', rpc.INVALID_REQUEST),
        ('{"id": 1, "method": 5}', rpc.INVALID_REQUEST),
        ('{"id": {}, "method": "m"}', rpc.INVALID_REQUEST),
        ('{"id": 1, "method": "m", "params": {"a": 1}}', rpc.INVALID_PARAMS),
        ('{"id": 1, "method": "m", "params": [' + "1," * 20 + "1]}", rpc.INVALID_PARAMS),
    ],
)
async def test_malformed_requests(text: str | bytes, code: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert (await ask(text))["error"]["code"] == code
    assert not caplog.records


async def test_a_defect_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    reply = await ask({"id": 1, "method": "broken"})
    assert reply["error"] == {"code": rpc.INTERNAL, "message": "Internal error"}
    assert "ZeroDivisionError" in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "method", "params"]), inner),
    max_leaves=10,
)


@given(JSON)
async def test_any_json_is_answered_or_a_notification(value: Any) -> None:
    reply = await ask(value)
    assert reply is None or isinstance(reply, list) or "error" in reply or "result" in reply


def test_hex_with_and_without_0x() -> None:
    assert rpc.from_hex("0x0aFF") == rpc.from_hex("0aFF") == b"\x0a\xff"
    assert rpc.from_hex("0x") == b""
    for bad in ("0xzz", "0x1", 5, None, []):
        with pytest.raises(RpcError):
            rpc.from_hex(bad)
