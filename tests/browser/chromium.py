"""A headless Chromium, driven over its DevTools protocol: pages, clicks by script, screenshots.

The protocol: https://chromedevtools.github.io/devtools-protocol/. Everything stays on loopback.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.waiting import PATIENCE

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    # nothing but loopback is ever looked up
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


CHECKS = Path(__file__).with_name("checks.js")


def found() -> str | None:
    """The path of a Chromium, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Chromium:
    """One browser with one page; an async context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, list[str]()
        self._number, self._answers = 0, dict[int, asyncio.Future[Any]]()

    async def __aenter__(self) -> Self:
        path = found()
        assert path is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "chromium.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                path, *FLAGS, f"--user-data-dir={self.folder}", "about:blank", stdout=log, stderr=log, process_group=0
            )
        try:
            port = await self._port()
            self._http = aiohttp.ClientSession()
            async with self._http.get(f"http://127.0.0.1:{port}/json/list") as reply:
                (target,) = [one for one in await reply.json() if one["type"] == "page"]
            self._socket = await self._http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=64 << 20)
            self._listener = asyncio.create_task(self._listen())
            for domain in ("Page", "Runtime", "Log"):
                await self.call(f"{domain}.enable")
            await self.call("Page.addScriptToEvaluateOnNewDocument", source=CHECKS.read_text())
        except BaseException:
            self._kill()
            raise
        return self

    async def _port(self) -> int:
        file = self.folder / "DevToolsActivePort"
        async with asyncio.timeout(PATIENCE):
            while not (file.exists() and file.read_text().count("\n")):
                assert self._process.returncode is None, (self.folder / "chromium.log").read_text()
                await asyncio.sleep(0.05)
        return int(file.read_text().split()[0])

    async def _listen(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                answer = self._answers.pop(told["id"])
                if not answer.done():
                    answer.set_result(told)
            elif told["method"] == "Runtime.exceptionThrown":
                self.said.append(str(told["params"]["exceptionDetails"]))
            elif told["method"] == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.said.append(told["params"]["entry"]["text"])

    async def call(self, method: str, **params: Any) -> Any:
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        told = await asyncio.wait_for(answer, PATIENCE)
        assert "error" not in told, (method, told)
        return told["result"]

    async def look(self, script: str) -> Any:
        """What a script evaluates to, promises awaited."""
        told = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until a script evaluates to something true."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not await self.look(f"Boolean({script})"):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            text = await self.look("document.body.innerText")
            raise AssertionError(f"never true: {script}\n{text[:3000]}\n{self.said}") from None

    async def open(
        self, url: str, *, width: int = 1360, height: int = 900, dark: bool = False, phone: bool = False
    ) -> None:
        scale = 2 if phone else 1
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def shoot(self, file: Path, *, whole: bool = True) -> bytes:
        """A PNG of the page, or of what of it is seen."""
        told = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        picture = base64.b64decode(told["data"])
        file.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(file.write_bytes, picture)
        return picture

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # its own group: the browser and its helpers

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.cancel()
        await self._socket.close()
        await self._http.close()
        self._kill()
        await self._process.wait()
