"""OpenAIBackend: any server that speaks the OpenAI API (vLLM, SGLang, llama.cpp, a paid one), by its URL.

What the server says is not trusted: sizes, counts and times are bounded, numbers are checked, redirects are not
followed. The API key is never logged and never part of an error.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from subnet.errors import BackendFailed, Busy, ConfigError
from subnet.miners.backends.base import GREEDY, Backend, Classes, Sampling, TextEnd, Vectors

if TYPE_CHECKING:
    import aiohttp

MiB: Final = 1 << 20
_REMEDY: Final = "See whether the server runs, serves this model, and what its log says."


class OpenAIBackend(Backend):
    """``url`` is what the API's paths are put behind, with its version (``http://127.0.0.1:8000/v1``).

    Prompts go to ``/completions``, or with ``chat`` as one user message to ``/chat/completions``; texts to
    ``/embeddings``, and to vLLM's ``/classify`` beside the version. ``timeout``: seconds for a whole reply;
    ``chunk_timeout``: between two pieces of it; ``max_reply``: bytes of one; at most ``max_running`` requests are under
    way and ``max_waiting`` wait (Busy for the next). Raises ConfigError for a URL that can't be.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        chat: bool = False,
        timeout: float = 60.0,
        chunk_timeout: float = 30.0,
        max_reply: int = 16 * MiB,
        max_running: int = 64,
        max_waiting: int = 256,
    ) -> None:
        self._url, self._model, self._chat, self._key = _checked(url), model, chat, api_key
        self._timeout, self._chunk_timeout, self._max_reply = timeout, chunk_timeout, max_reply
        self._slots, self._max_waiting, self._waiting = asyncio.Semaphore(max_running), max_waiting, 0
        self._session: aiohttp.ClientSession | None = None

    async def stream(self, prompt: str, sampling: Sampling = GREEDY) -> AsyncGenerator[str, None]:
        path, body = self._asked(prompt, sampling)
        end = TextEnd(sampling.stop)  # a server may not know of stops; then we cut
        async with self._post(f"{self._url}/{path}", body) as response:
            async for event in _events(response, self._max_reply):
                if text := end.add(_piece(event, chat=self._chat)):
                    yield text
                if end.over:
                    return
        if text := end.add("", last=True):
            yield text

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, 0), np.float32)
        rows = [one.get("embedding") for one in await self._data(f"{self._url}/embeddings", texts)]
        try:
            vectors = np.array(rows, np.float32)
        except (ValueError, TypeError):
            raise _nonsense("embeddings that are no numbers of one length") from None
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise _nonsense("embeddings that are no finite numbers")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, np.float32(1e-12)), np.float32)

    async def classify(self, texts: Sequence[str]) -> list[Classes]:
        """By vLLM's ``/classify``, which names the likeliest label only: the others are called by their number."""
        if not texts:
            return []
        return [_classes(one) for one in await self._data(f"{self._url.removesuffix('/v1')}/classify", texts)]

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _asked(self, prompt: str, sampling: Sampling) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "stream": True,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.ignore_eos:
            body["ignore_eos"] = True
        if self._chat:
            return "chat/completions", body | {"messages": [{"role": "user", "content": prompt}]}
        return "completions", body | {"prompt": prompt}

    async def _data(self, url: str, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The entries of a reply's ``data``, one for each text, in the texts' order."""
        async with self._post(url, {"model": self._model, "input": list(texts)}) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self._max_reply:
                    raise _nonsense(f"more than {self._max_reply} bytes")
        data = _object(bytes(body)).get("data")
        if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
            raise _nonsense("no list of data")
        by_index = {one.get("index", place): one for place, one in enumerate(data)}
        if len(data) != len(texts) or by_index.keys() != set(range(len(texts))):
            raise _nonsense(f"{len(data)} answers to {len(texts)} texts")
        return [by_index[place] for place in range(len(texts))]

    @asynccontextmanager
    async def _post(self, url: str, body: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request, if its status is good. What goes wrong on the way is a BackendFailed."""
        import aiohttp

        if self._slots.locked() and self._waiting >= self._max_waiting:
            raise Busy("this miner's model server has all that it can do", retry_after=1.0)
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            if self._session is None:
                self._session = self._connected()
            async with self._session.post(url, json=body, allow_redirects=False) as response:
                await _check(response)
                yield response
        except TimeoutError:
            raise BackendFailed(f"{self._url} took longer than {self._timeout:g} s", remedy=_REMEDY) from None
        except (aiohttp.ClientError, OSError) as error:
            raise BackendFailed(f"{self._url} broke off: {type(error).__name__}", remedy=_REMEDY) from None
        finally:
            self._slots.release()

    def _connected(self) -> aiohttp.ClientSession:
        import aiohttp

        times = aiohttp.ClientTimeout(total=self._timeout, sock_read=self._chunk_timeout, sock_connect=10.0)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        connector = aiohttp.TCPConnector(limit=0)  # the slots are the limit
        return aiohttp.ClientSession(timeout=times, headers=headers, connector=connector, auto_decompress=False)


def _checked(url: str) -> str:
    from yarl import URL

    try:
        parsed = URL(url)
        good = parsed.scheme in ("http", "https") and bool(parsed.host) and not parsed.query_string
    except ValueError:
        good = False
    if not good or parsed.user is not None:
        raise ConfigError(
            "the model server's URL can't be used", remedy="Write for instance http://127.0.0.1:8000/v1, without a key."
        )
    return url.rstrip("/")


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status in (429, 503):
        try:
            wait = float(response.headers.get("Retry-After", ""))
        except ValueError:
            wait = 1.0
        raise Busy("this miner's model server is busy", retry_after=min(max(wait, 0.0), 60.0) if wait == wait else 1.0)
    if response.status != 200:
        said = (await response.content.read(500)).decode("utf-8", "replace")
        raise BackendFailed(f"the model server answered {response.status}: {said!r}", remedy=_REMEDY)


async def _events(response: aiohttp.ClientResponse, most: int) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events, until ``[DONE]``.

    Source: the ``data`` lines of WHATWG HTML, section 9.2 (server-sent events).
    """
    rest, size = b"", 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > most:
            raise _nonsense(f"more than {most} bytes")
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if len(rest) > MiB:
            raise _nonsense("a line without an end")
        for line in lines:
            field, _, value = line.rstrip(b"\r").partition(b":")
            if field == b"data":
                if value.strip() == b"[DONE]":
                    return
                yield _object(value)
    raise _nonsense("a stream that broke off before its end")


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise _nonsense("no JSON") from None
    if not isinstance(found, dict):
        raise _nonsense("JSON that is no object")
    if found.get("error"):
        raise BackendFailed(f"the model server answered {json.dumps(found['error'])[:500]}", remedy=_REMEDY)
    return found


def _piece(event: dict[str, Any], *, chat: bool) -> str:
    """The new text of one event; some, such as the last one's count of tokens, have none."""
    choices = event.get("choices")
    if not isinstance(choices, list) or not choices:
        return ""
    choice = choices[0] if isinstance(choices[0], dict) else {}
    holder = choice.get("delta", {}) if chat else choice
    text = holder.get("content" if chat else "text") if isinstance(holder, dict) else None
    if text is not None and not isinstance(text, str):
        raise _nonsense("a piece of text that is none")
    return text or ""


def _classes(found: dict[str, Any]) -> Classes:
    odds, label = found.get("probs"), found.get("label")
    if (
        not isinstance(odds, list)
        or not odds
        or not all(isinstance(p, (int, float)) and math.isfinite(p) for p in odds)
    ):
        raise _nonsense("classes without probabilities")
    best = max(range(len(odds)), key=odds.__getitem__)
    return {str(label if place == best and label is not None else place): float(p) for place, p in enumerate(odds)}


def _nonsense(what: str) -> BackendFailed:
    remedy = "See whether the URL is that of an OpenAI-compatible API."
    return BackendFailed(f"the model server sent {what}", remedy=remedy)
