"""Where the microseconds of a signed round trip go: each of its parts alone, on this machine, in one process.

The parts are the functions that axon and dendrite call, with the request of benchmarks/wire.py (4 KiB of images), and
the system calls and the event loop's steps under them. Figures are the best of several rounds: what a part costs when
nothing else runs. What a round trip costs as a whole is benchmarks/wire.py's to say ("CPU client", "CPU server").

    python benchmarks/wire_parts.py           # a table
    python benchmarks/wire_parts.py --json    # {"seconds": {part: ...}, "ends": {part: "client" | "server" | ...}}
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httptools
import numpy as np
import sr25519
from substrateinterface import Keypair
from wire import IMAGES, Classify, Labels

from subnet import auth, codec
from subnet.admission import Buckets
from subnet.http_client import request_head
from subnet.nonces import NonceTable
from subnet.receipts import Receipt, signed
from subnet.synapse import check_reply
from subnet.types import Hotkey

ROUNDS, CALLS = 15, 400
KEY, MINER = Keypair.create_from_uri("//Validator"), Keypair.create_from_uri("//Miner0")


class Sink:
    """A parser's protocol that keeps the headers, as ours do."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.body = data


def best(function: Callable[[], Any]) -> float:
    """Seconds a call, in the best of the rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            function()
        times.append((time.perf_counter() - start) / CALLS)
    return min(times)


def work() -> dict[tuple[str, str], float]:
    """The parts that are computation: (which end, what) and seconds."""
    request, reply = Classify(images=IMAGES), Labels(digits=np.arange(len(IMAGES)))
    body, answer = codec.encode(request), codec.encode(reply)
    digest, now = hashlib.sha256(body).hexdigest(), time.time_ns()
    signing: dict[str, Any] = {"method": "POST", "path": "/Classify00", "digest": digest}
    headers = auth.sign_digest(KEY, sender=KEY.ss58_address, receiver=MINER.ss58_address, nonce_ns=now, **signing)
    lower = {name.lower(): value for name, value in headers.items()}
    claim = auth.read_claim(lower)
    head = request_head("127.0.0.1:8091", "/Classify00", headers, len(body))
    sent = head + body
    came = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nDate: x\r\nServer: subnet\r\n\r\n%b" % (len(answer), answer)
    asking, answering = httptools.HttpResponseParser(Sink()), httptools.HttpRequestParser(Sink())
    nonces, buckets = NonceTable(), Buckets(1e9, 1e9)
    fresh = iter(range(now, now + 10**9))
    hotkey = Hotkey(KEY.ss58_address)
    pair, message = (KEY.public_key, KEY.private_key), bytes(300)
    signature = sr25519.sign(pair, message)
    empty = Receipt(
        genesis_hash="0x" + "00" * 32,
        netuid=1,
        path="/Classify00",
        request_digest=digest,
        nonce_ns=now,
        sender=hotkey,
        receiver=Hotkey(MINER.ss58_address),
        status=200,
        response_digest=digest,
        artifact="-",
        time_ns=now,
        scheme="sr25519",
    )
    receipt = signed(MINER, empty)
    parts: dict[tuple[str, str], Callable[[], Any]] = {
        ("both", "sr25519, a signature"): lambda: sr25519.sign(pair, message),
        ("both", "sr25519, its check"): lambda: sr25519.verify(signature, message, KEY.public_key),
        ("both", "sha256 of a request"): lambda: hashlib.sha256(body).hexdigest(),
        ("client", "encode a request"): lambda: codec.encode(request),
        ("client", "headers, signed"): lambda: auth.sign_digest(
            KEY, sender=hotkey, receiver=MINER.ss58_address, nonce_ns=now, **signing
        ),
        ("client", "the request's head"): lambda: request_head("127.0.0.1:8091", "/Classify00", headers, len(body)),
        ("client", "parse a reply"): lambda: asking.feed_data(came),
        ("client", "decode a reply, check it"): lambda: check_reply(request, codec.decode(Labels, answer)),
        ("client, receipts", "read and check a receipt"): receipt.verify,
        ("server", "parse a request"): lambda: answering.feed_data(sent),
        ("server", "token bucket"): lambda: buckets.take(hotkey),
        ("server", "claim: read, fresh, for us"): lambda: (
            auth.read_claim(lower),
            auth.check_freshness(claim),
            auth.check_receiver(claim, MINER.ss58_address),
        ),
        ("server", "the signature's check"): lambda: auth.check_signature(claim, **signing),
        ("server", "nonce, looked up and kept"): lambda: nonces.check_and_store(hotkey, next(fresh)),
        ("server", "decode a request"): lambda: codec.decode(Classify, body),
        ("server", "check and encode a reply"): lambda: (check_reply(request, reply), codec.encode(reply)),
        ("server, receipts", "make and sign a receipt"): lambda: signed(MINER, empty).header(),
    }
    return {what: best(function) for what, function in parts.items()}


async def loop_parts() -> dict[tuple[str, str], float]:
    """What the event loop's steps cost: of each, a batch at a time."""
    loop = asyncio.get_running_loop()

    async def nothing() -> None:
        pass

    async def batch(step: Callable[[], Any]) -> float:
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for _ in range(CALLS):
                await step()
            times.append((time.perf_counter() - start) / CALLS)
        return min(times)

    async def with_timeout() -> None:
        async with asyncio.timeout(60):
            await nothing()

    async def a_task() -> None:
        tasks = [loop.create_task(nothing()) for _ in range(20)]
        await asyncio.wait(tasks)

    async def a_timer() -> None:
        loop.call_later(60, int).cancel()

    return {
        ("server", "a task, made and waited for"): await batch(a_task) / 20,
        ("client", "a timer, set and cancelled"): await batch(a_timer),
        ("neither", "asyncio.timeout, entered and left"): await batch(with_timeout),
    }


def system() -> dict[tuple[str, str], float]:
    """System calls on a pair of loopback sockets: a request written, and read into a kept buffer."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    data, buffer = bytes(4700), bytearray(256 * 1024)
    sending, reading = [], []
    for _ in range(ROUNDS * CALLS):
        start = time.perf_counter()
        ours.sendall(data)
        middle = time.perf_counter()
        theirs.recv_into(buffer)
        sending.append(middle - start)
        reading.append(time.perf_counter() - middle)
    ours.close()
    theirs.close()
    quarter = len(sending) // 4
    return {("both", "send"): sorted(sending)[quarter], ("both", "recv"): sorted(reading)[quarter]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts = work() | asyncio.run(loop_parts()) | system()
    if options.json:
        seconds = {what: cost for (_, what), cost in parts.items()}
        print(json.dumps({"seconds": seconds, "ends": {what: end for end, what in parts}}, indent=2))
        return
    for (end, what), cost in sorted(parts.items(), key=lambda part: (part[0][0], -part[1])):
        print(f"{end:<18}{what:<48}{cost * 1e6:>8.1f} µs")


if __name__ == "__main__":
    main()
