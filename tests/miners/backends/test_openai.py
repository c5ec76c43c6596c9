"""OpenAIBackend against a real server that speaks the protocol, well and badly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from subnet.errors import BackendFailed, Busy, ConfigError
from subnet.miners.backends import OpenAIBackend, Sampling

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, **options: Any) -> AsyncIterator[OpenAIBackend]:
    app = web.Application()
    app.router.add_post("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    backend = OpenAIBackend(f"http://127.0.0.1:{port}/v1/", "a-model", **options)
    try:
        yield backend
    finally:
        await backend.close()
        await runner.cleanup()


def events(*parts: bytes) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        await response.write_eof()
        return response

    return handler


def piece(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "text": text}]}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


async def test_text_streams_piece_by_piece_and_the_request_says_how_to_draw_it() -> None:
    asked: list[Any] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append((request.path, dict(request.headers), await request.json()))
        usage = b'data: {"choices": [], "usage": {"total_tokens": 3}}\r\n\r\n'
        return await events(b": a comment\n\n", piece("Once "), piece("upon")[:9], piece("upon")[9:], usage, DONE)(
            request
        )

    async with serving(handler, api_key="secret") as backend:
        async with aclosing(backend.stream("Tell", Sampling(max_tokens=9, temperature=0.5, seed=3))) as pieces:
            assert [one async for one in pieces] == ["Once ", "upon"]
        assert await backend.generate("Tell") == "Once upon"
    path, headers, body = asked[0]
    assert path == "/v1/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert body == {
        "model": "a-model",
        "prompt": "Tell",
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 1.0,
        "stream": True,
        "seed": 3,
    }


async def test_a_chat_model_is_asked_as_one_and_stops_cut_even_where_the_server_goes_on() -> None:
    asked: list[Any] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append((request.path, await request.json()))
        deltas = [{"role": "assistant"}, {"content": "one E"}, {"content": "ND two"}]
        return await events(
            *[b"data: " + json.dumps({"choices": [{"delta": d}]}).encode() + b"\n" for d in deltas], DONE
        )(request)

    async with serving(handler, chat=True) as backend:
        assert await backend.generate("Hi", Sampling(stop=("END",))) == "one "
    assert asked[0][0] == "/v1/chat/completions"
    assert asked[0][1]["messages"] == [{"role": "user", "content": "Hi"}]


async def test_embeddings_come_in_the_texts_order_with_length_one() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.path == "/v1/embeddings"
        return web.json_response({"data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]})

    async with serving(handler) as backend:
        np.testing.assert_allclose(await backend.embed(["a", "b"]), [[0.6, 0.8], [0, 1]])
        assert (await backend.embed([])).shape == (0, 0)


async def test_classes_are_those_of_vllm() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.path == "/classify"
        return web.json_response({"data": [{"index": 0, "label": "spam", "probs": [0.25, 0.75], "num_classes": 2}]})

    async with serving(handler) as backend:
        assert await backend.classify(["buy"]) == [{"0": 0.25, "spam": 0.75}]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([b"data: {]\n", DONE], "no JSON"),
        ([b"data: [1]\n", DONE], "no object"),
        ([piece("cut")], "broke off before its end"),
        ([b'data: {"error": {"message": "out of memory"}}\n'], "out of memory"),
        ([b'data: {"choices": [{"text": 5}]}\n', DONE], "a piece of text that is none"),
        ([piece("x" * 600), piece("x" * 600), DONE], "more than 1000 bytes"),
        ([b"data: " + b"[" * 900 + b"\n", DONE], "no JSON"),
    ],
)
async def test_a_stream_that_is_none_is_a_failure(parts: list[bytes], said: str) -> None:
    async with serving(events(*parts), max_reply=1000) as backend:
        with pytest.raises(BackendFailed, match=said):
            await backend.generate("Tell")


@pytest.mark.parametrize(
    "data",
    [None, [], [{"embedding": [1, 2]}], [{"embedding": [1]}, {"embedding": "x"}],
     [{"embedding": [1]}, {"embedding": [1, 2]}], [{"embedding": [float("1e999")]}, {"embedding": [1]}],
     [{"index": 7, "embedding": [1]}, {"index": 0, "embedding": [1]}]],
)  # fmt: skip
async def test_embeddings_that_are_none_are_a_failure(data: Any) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response({"data": data})

    async with serving(handler) as backend:
        with pytest.raises(BackendFailed):
            await backend.embed(["a", "b"])


async def test_a_busy_server_makes_a_busy_miner_and_a_failing_one_a_failure_without_the_key() -> None:
    status = [429, 500, 307]

    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status[0], text="no", headers={"Retry-After": "7", "Location": "/elsewhere"})

    async with serving(handler, api_key="secret") as backend:
        with pytest.raises(Busy) as busy:
            await backend.generate("Tell")
        assert busy.value.retry_after == 7
        for _ in range(2):
            status.pop(0)
            with pytest.raises(BackendFailed, match=f"answered {status[0]}") as failed:
                await backend.generate("Tell")
            assert "secret" not in str(failed.value)


async def test_a_server_that_says_nothing_is_given_up_and_one_that_is_gone_is_named() -> None:
    never = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    async with serving(handler, timeout=0.05) as backend:
        with pytest.raises(BackendFailed, match="longer than"):
            await backend.generate("Tell")
        never.set()
    with pytest.raises(BackendFailed, match="broke off"):
        await backend.generate("Tell")
    await backend.close()


async def test_more_requests_than_may_wait_are_refused_at_once() -> None:
    go = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        await go.wait()
        return await events(piece("done"), DONE)(request)

    async with serving(handler, max_running=1, max_waiting=1) as backend:
        first = asyncio.ensure_future(backend.generate("1"))
        second = asyncio.ensure_future(backend.generate("2"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await backend.generate("3")
        go.set()
        assert await asyncio.gather(first, second) == ["done", "done"]


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://x/v1", "http://", "http://key@host/v1", "http://h/v1?a=b"]
)
def test_a_url_that_can_not_be_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        OpenAIBackend(url, "m")
