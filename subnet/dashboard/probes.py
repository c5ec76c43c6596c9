"""Whether named neurons are well: their ``/health`` and ``/ready`` pages, asked now and then.

A page is asked with a deadline, a cap on its size and no redirects; what it says is shown as text.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from subnet.errors import ConfigError

if TYPE_CHECKING:
    import aiohttp

    from subnet.dashboard.board import Board

EVERY: Final = 5.0
"""Seconds between two rounds of questions."""
PATIENCE: Final = 3.0
"""Seconds in which a page must have answered."""
LARGEST: Final = 65_536
"""Bytes of a page that are read."""
MOST: Final = 256
"""Neurons that may be named."""
_TROUBLES = 8
_LONGEST = 300


def parse_targets(texts: Sequence[str]) -> dict[str, str]:
    """``WHO=URL`` (a uid or hotkey, and where its --metrics-port answers) as a mapping. Raises ConfigError."""
    targets = {}
    for text in texts:
        who, _, url = text.partition("=")
        parts = urlsplit(url)
        if not who or parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"--health {text[:100]!r} names no neuron and page", remedy="Write it as 5=http://127.0.0.1:9100."
            )
        targets[who] = url.rstrip("/")
    if len(targets) > MOST:
        raise ConfigError(f"{len(targets)} neurons are named with --health", remedy=f"Name at most {MOST}.")
    return targets


class HealthSource:
    """Asks for a board after the health of neurons, by uid or hotkey: the base URL of their ``--metrics-port``."""

    def __init__(self, board: Board, targets: Mapping[str, str]) -> None:
        self._board, self._targets = board, dict(targets)

    async def run(self) -> None:
        """Go on until cancelled; ends at once where nobody is named."""
        if not self._targets:
            return
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        connector = aiohttp.TCPConnector(limit=16)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:
            since: dict[str, tuple[str, float]] = {}
            while True:
                found = await asyncio.gather(*(_probe(session, url) for url in self._targets.values()))
                told = {}
                for who, answer in zip(self._targets, found, strict=True):
                    before = since.get(who)
                    if before is None or before[0] != answer["state"]:
                        since[who] = (answer["state"], time.time())
                    told[who] = answer | {"since": since[who][1]}
                self._board.put("health", told)
                await asyncio.sleep(EVERY)


async def _probe(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """``state``: well, ill (it says so itself), loading (not ready, no trouble) or silent; and its troubles."""
    import aiohttp

    try:
        health, ready = await asyncio.gather(_page(session, url + "/health"), _page(session, url + "/ready"))
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
        reason = str(error) or type(error).__name__
        return {"state": "silent", "troubles": [{"name": "page", "reason": reason[:_LONGEST], "remedy": ""}]}
    troubles = _troubles(health)
    state = "ill" if health.get("ok") is not True else "well" if ready.get("ok") is True else "loading"
    return {"state": state, "troubles": troubles}


async def _page(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url, allow_redirects=False) as reply:
        if reply.status not in (200, 503):
            raise ValueError(f"{reply.status} instead of a health page")
        body = bytearray()
        async for chunk in reply.content.iter_chunked(8192):
            body += chunk
            if len(body) > LARGEST:
                raise ValueError("a health page of more than 64 KiB")
    try:
        found = json.loads(bytes(body))
    except RecursionError:
        raise ValueError("a health page that is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("a health page that is no JSON object")
    return found


def _troubles(page: Mapping[str, Any]) -> list[dict[str, str]]:
    listed = page.get("troubles")
    if not isinstance(listed, list):
        return []
    return [
        {name: str(one.get(name, ""))[:_LONGEST] for name in ("name", "reason", "remedy")}
        for one in listed[:_TROUBLES]
        if isinstance(one, dict)
    ]
