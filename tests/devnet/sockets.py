"""What tests speak to a node through: a websocket, and POST."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import aiohttp

from subnet.devnet import Devnet

WAIT = 60.0  # seconds; nothing takes that long unless it hangs


class Socket:
    """A websocket client that keeps answers and notifications apart."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []
        self._next = 0

    async def ask(self, method: str, *params: Any) -> Any:
        """The result, or the error's dict."""
        self._next += 1
        await self.socket.send_str(json.dumps({"jsonrpc": "2.0", "id": self._next, "method": method, "params": params}))
        while True:
            message = await self.receive()
            if message.get("id") == self._next:
                return message["error"] if "error" in message else message["result"]
            self.heard.append(message)

    async def receive(self) -> Any:
        async with asyncio.timeout(WAIT):
            return json.loads(await self.socket.receive_str())

    async def hear(self, subscription: str) -> Any:
        """The next notification of a subscription."""
        while True:
            for message in self.heard:
                if message["params"]["subscription"] == subscription:
                    self.heard.remove(message)
                    return message["params"]["result"]
            self.heard.append(await self.receive())


async def post(node: Devnet, body: Any) -> tuple[int, Any]:
    """Status and content (parsed, where it is JSON) of the answer."""
    url = node.url.replace("ws://", "http://")
    data = io.BytesIO(body.encode()) if isinstance(body, str) else body
    async with aiohttp.ClientSession() as session, session.post(url, data=data) as response:
        text = await response.text()
        return response.status, json.loads(text) if response.content_type == "application/json" and text else text
