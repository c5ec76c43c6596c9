"""The axon over real sockets: who is served, who is refused with what, and that nothing stops it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import aiohttp
import msgpack
import numpy as np
import pytest
from multidict import CIMultiDict
from substrateinterface import Keypair

from subnet import auth, codec
from subnet.admission import Limits
from subnet.auth import Caller
from subnet.axon import Axon
from subnet.errors import ConfigError, DeclarationError, NotPermitted
from subnet.receipts import HEADER_RECEIPT, Receipt
from subnet.synapse import Message, Spec, Synapse, Tensor
from subnet.types import Hotkey, Netuid, Neuron, Uid, rao
from tests.waiting import PATIENCE, leap, until

MINER, CALLER, STRANGER = (Keypair.create_from_uri(f"//{name}") for name in ("Miner", "Caller", "Stranger"))
GENESIS = "0x" + "ab" * 32


class Labels(Message):
    digits: Annotated[Tensor, Spec("int64", ("n",))]
    note: str = ""


class Classify(Synapse[Labels], timeout=60.0, max_request=100_000, max_reply=100_000):
    images: Annotated[Tensor, Spec("uint8", ("n", 8, 8))]
    note: str = ""


class Threaded(Synapse[Labels], timeout=60.0):
    pass


class Hang(Synapse[Labels], timeout=0.2):
    pass


class Misbehave(Synapse[Labels], timeout=60.0, max_reply=1000):
    how: str


class Slow(Synapse[Labels], timeout=60.0):
    pass


def images(n: int = 3) -> Tensor:
    return np.arange(n * 64, dtype=np.uint8).reshape(n, 8, 8)


class Handlers:
    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.threads: set[str] = set()
        self.gate = asyncio.Event()
        self.end = threading.Event()

    async def classify(self, request: Classify, caller: Caller) -> Labels:
        self.callers.append(caller)
        return Labels(digits=request.images[:, 0, 0].astype(np.int64))

    def threaded(self, request: Threaded) -> Labels:
        self.threads.add(threading.current_thread().name)
        return Labels(digits=np.zeros(0, np.int64))

    def hang(self, request: Hang) -> Labels:
        self.end.wait()
        return Labels(digits=np.zeros(0, np.int64))

    async def misbehave(self, request: Misbehave) -> Labels:
        match request.how:
            case "raise":
                raise RuntimeError("secret detail")
            case "exit":
                raise SystemExit(3)
            case "none":
                return None  # type: ignore[return-value]
            case "wrong dtype":
                return Labels(digits=np.zeros(3))
            case "cancel":
                raise asyncio.CancelledError
            case "timeout":
                raise TimeoutError("of its own")
            case "surrogate":
                return Labels(digits=np.zeros(0, np.int64), note="\ud800")
            case "big":
                return Labels(digits=np.zeros(1000, np.int64))
        raise NotPermitted("not for you")

    async def slow(self, request: Slow) -> Labels:
        await self.gate.wait()
        return Labels(digits=np.zeros(0, np.int64))


def admit(hotkey: Hotkey, synapse: type[Synapse[Any]]) -> Neuron:
    if hotkey != CALLER.ss58_address:
        raise NotPermitted("not registered")
    return Neuron(Uid(7), hotkey)


@pytest.fixture
def handlers() -> Iterator[Handlers]:
    made = Handlers()
    yield made
    made.end.set()


@pytest.fixture
def limits() -> Limits:
    return Limits(body_timeout=60, first_request=60)


@pytest.fixture
async def axon(handlers: Handlers, limits: Limits) -> AsyncIterator[Axon]:
    axon = Axon(MINER, netuid=Netuid(3), genesis_hash=GENESIS, limits=limits, admit=admit)
    for handler in (handlers.classify, handlers.threaded, handlers.hang, handlers.misbehave, handlers.slow):
        axon.serve(handler)
    async with axon:
        yield axon


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


Answer = tuple[int, dict[str, str], Any]


async def post(
    http: aiohttp.ClientSession,
    axon: Axon,
    body: bytes,
    *,
    path: str = "/Classify",
    key: Keypair = CALLER,
    receiver: str = MINER.ss58_address,
    json: bool = False,
    tamper: Callable[[dict[str, str]], None] | None = None,
    signed_body: bytes | None = None,
    nonce_ns: int | None = None,
    method: str = "POST",
    data: Any = None,
) -> Answer:
    headers = auth.sign(
        key,
        method=method,
        path=path,
        body=body if signed_body is None else signed_body,
        receiver_ss58=receiver,
        nonce_ns=nonce_ns,
    )
    headers["Content-Type"] = codec.JSON if json else codec.MSGPACK
    if tamper:
        tamper(headers)
    url = f"http://127.0.0.1:{axon.port}{path}"
    async with http.request(method, url, data=body if data is None else data, headers=headers) as response:
        raw = await response.read()
        as_json = response.headers["Content-Type"] == codec.JSON
        return response.status, dict(response.headers), codec.decode_data(raw, json=as_json) if raw else None


GOOD = codec.encode(Classify(images=images()))


async def test_a_signed_request_is_answered_and_signed(
    axon: Axon, http: aiohttp.ClientSession, handlers: Handlers
) -> None:
    nonce = time.time_ns()
    headers = auth.sign(
        CALLER, method="POST", path="/Classify?x=1", body=GOOD, receiver_ss58=MINER.ss58_address, nonce_ns=nonce
    )
    async with http.post(f"http://127.0.0.1:{axon.port}/Classify?x=1", data=GOOD, headers=headers) as response:
        body = await response.read()
        assert response.status == 200
        receipt = Receipt.from_header(
            response.headers[HEADER_RECEIPT],
            genesis_hash=GENESIS,
            netuid=3,
            path="/Classify?x=1",
            request_digest=auth.body_digest(GOOD),
            nonce_ns=nonce,
            sender=Hotkey(CALLER.ss58_address),
            receiver=Hotkey(MINER.ss58_address),
            status=200,
            response_digest=auth.body_digest(body),
        )
    receipt.verify()
    assert codec.decode(Labels, body).digits.tolist() == [0, 64, 128]
    (caller,) = handlers.callers
    assert (caller.hotkey, caller.nonce_ns) == (CALLER.ss58_address, nonce)
    assert caller.neuron is not None
    assert caller.neuron.uid == 7


async def test_json_in_json_out(axon: Axon, http: aiohttp.ClientSession) -> None:
    body = codec.encode(Classify(images=images()), json=True)
    status, headers, reply = await post(http, axon, body, json=True)
    assert (status, headers["Content-Type"], reply["digits"]["shape"]) == (200, codec.JSON, [3])


WRONG_DTYPE = GOOD.replace(b"\x05uint8", b"\x05int16")
DEEP = b"\x81\xa4note" + b"\x91" * 50_000
GZIPPED = {"Content-Encoding": "gzip"}

BAD_BODIES = [
    (b"", 400, "wire.malformed"),
    (GOOD[:-1], 400, "wire.malformed"),
    (GOOD + b"\0", 400, "wire.malformed"),
    (DEEP, 422, "wire.wrong-type"),  # str expected: refused at the first level
    (b"\x81\xa1x" + b"\x91" * 50_000, 400, "wire.too-deep"),
    (b"\xc0", 422, "wire.wrong-type"),
    (msgpack.packb({"images": 5}), 422, "wire.wrong-type"),
    (msgpack.packb({}), 422, "wire.wrong-type"),
    (WRONG_DTYPE, 422, "wire.bad-tensor"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD_BODIES)
async def test_bad_bodies(
    axon: Axon,
    http: aiohttp.ClientSession,
    body: bytes,
    status: int,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    got, headers, error = await post(http, axon, body)
    assert (got, error["code"]) == (status, code)
    assert error["remedy"]
    assert HEADER_RECEIPT in headers  # the caller was authenticated, so even the refusal is signed
    assert (await post(http, axon, GOOD))[0] == 200
    assert not [record for record in caplog.records if record.exc_info]
    assert axon.stats.refused == {code: 1}


BAD_AUTH = [
    ({"key": STRANGER}, 403, "wire.not-permitted"),
    ({"receiver": CALLER.ss58_address}, 421, "auth.wrong-receiver"),
    ({"receiver": None}, 421, "auth.wrong-receiver"),
    ({"tamper": lambda h: h.clear()}, 401, "auth.malformed"),
    ({"tamper": lambda h: h.update({"X-Bittensor-Hotkey": "nobody"})}, 401, "auth.malformed"),
    ({"tamper": lambda h: h.update({"X-Bittensor-Signature": "0x" + "01" * 64})}, 401, "auth.bad-signature"),
    ({"signed_body": b"another body"}, 401, "auth.bad-signature"),
    ({"nonce_ns": time.time_ns() - 3600 * 10**9}, 401, "auth.stale"),
    ({"nonce_ns": time.time_ns() + 3600 * 10**9}, 401, "auth.stale"),
    ({"path": "/Nothing"}, 404, "wire.unknown-synapse"),
    ({"path": "/"}, 404, "wire.unknown-synapse"),
    ({"method": "PUT"}, 405, "wire.wrong-method"),
    ({"tamper": lambda h: h.update({"Content-Type": "text/html"})}, 415, "wire.unknown-encoding"),
    ({"tamper": lambda h: h.update(GZIPPED)}, 415, "wire.unknown-encoding"),
]


@pytest.mark.parametrize(
    ("how", "status", "code"), BAD_AUTH, ids=[f"{code}-{i}" for i, (_, _, code) in enumerate(BAD_AUTH)]
)
async def test_strangers_and_liars(
    axon: Axon,
    http: aiohttp.ClientSession,
    handlers: Handlers,
    how: dict[str, Any],
    status: int,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    got, headers, error = await post(http, axon, GOOD, **how)
    assert (got, error["code"]) == (status, code)
    assert HEADER_RECEIPT not in headers  # nothing is signed for a stranger
    assert handlers.callers == []
    assert not [record for record in caplog.records if record.exc_info]
    assert (await post(http, axon, GOOD))[0] == 200


class Values(Synapse[Labels], timeout=60.0, max_request=1 << 25):
    values: Annotated[Tensor, Spec("float32", (None,))]


async def test_a_large_tensor_is_a_view_of_what_was_received(http: aiohttp.ClientSession) -> None:
    seen: list[Tensor] = []

    async def take(request: Values) -> Labels:
        seen.append(request.values)
        return Labels(digits=np.zeros(0, np.int64))

    body = codec.encode(Values(values=np.arange(1 << 17, dtype=np.float32)))
    async with Axon(MINER) as axon:
        axon.serve(take)
        assert (await post(http, axon, body, path="/Values"))[0] == 200
    (values,) = seen
    owner: Any = values
    while (below := getattr(owner, "base", None)) is not None:
        owner = below
    assert isinstance(owner, memoryview)
    assert isinstance(owner.obj, bytes | bytearray)  # what the body was read into
    assert len(owner.obj) == len(body)
    assert not values.flags.writeable


async def test_a_replay_is_refused_in_any_order(axon: Axon, http: aiohttp.ClientSession, handlers: Handlers) -> None:
    now = time.time_ns()
    nonces = [now - i * 1000 for i in range(20)]  # falling: v10 wanted them to grow
    answers = await asyncio.gather(*(post(http, axon, GOOD, nonce_ns=nonce) for nonce in nonces))
    assert [status for status, _, _ in answers] == [200] * 20
    again = await asyncio.gather(*(post(http, axon, GOOD, nonce_ns=nonce) for nonce in nonces))
    assert {(status, error["code"]) for status, _, error in again} == {(409, "auth.replayed")}
    assert len(handlers.callers) == 20


async def test_an_oversize_body_is_refused_before_it_is_read(axon: Axon) -> None:
    headers = auth.sign(CALLER, method="POST", path="/Classify", body=b"", receiver_ss58=MINER.ss58_address)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", axon.port)
    writer.write(f"POST /Classify HTTP/1.1\r\nHost: x\r\nContent-Length: 100000001\r\n{lines}\r\n".encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE)  # not a byte of the body was sent
    assert b"413" in answer
    writer.close()
    assert axon.stats.refused == {"wire.body-too-large": 1}


async def test_a_chunked_body_is_cut_off_as_it_passes_the_cap(axon: Axon, http: aiohttp.ClientSession) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 10_000
            yield bytes(10_000)

    try:
        status, _, error = await asyncio.wait_for(post(http, axon, b"", data=endless()), PATIENCE)
        assert (status, error["code"]) == (413, "wire.body-too-large")
    except aiohttp.ClientError:
        pass  # the server hung up while we were still sending, which is as good
    assert axon.stats.refused == {"wire.body-too-large": 1}
    assert axon._intake.held == 0


class TestSlowBodies:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(body_timeout=0.2)

    async def test_a_body_that_dawdles_is_given_up(self, axon: Axon, http: aiohttp.ClientSession) -> None:
        async def dawdle() -> AsyncIterator[bytes]:
            yield b"\x81"
            await asyncio.Event().wait()  # for ever

        try:
            status, _, error = await asyncio.wait_for(post(http, axon, b"", data=dawdle()), PATIENCE)
            assert (status, error["code"]) == (408, "wire.slow-request")
        except aiohttp.ClientError:
            pass
        assert axon.stats.refused == {"wire.slow-request": 1}
        assert axon._intake.held == 0


async def test_a_caller_that_hangs_up_half_way_leaves_nothing(axon: Axon, http: aiohttp.ClientSession) -> None:
    headers = auth.sign(CALLER, method="POST", path="/Classify", body=b"", receiver_ss58=MINER.ss58_address)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", axon.port)
        writer.write(f"POST /Classify HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n{lines}\r\nabc".encode())
        await writer.drain()
        writer.close()
    assert (await post(http, axon, GOOD))[0] == 200
    await until(lambda: not axon.stats.in_flight)
    assert axon._intake.held == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"POST /Classify HTTP/9.9\r\n\r\n",
        b"POST /x HTTP/1.1\r\nA: " + b"x" * 20_000,
    ]
    + [b"POST /Classify HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"],
)
async def test_what_is_no_http_gets_no_stack_trace(
    axon: Axon, http: aiohttp.ClientSession, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, writer = await asyncio.open_connection("127.0.0.1", axon.port)
    writer.write(garbage)
    await writer.drain()
    writer.close()
    assert (await post(http, axon, GOOD))[0] == 200
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("how", ["raise", "exit", "none", "wrong dtype", "cancel", "timeout", "surrogate", "big"])
async def test_a_handler_that_fails_is_a_500_and_the_next_request_is_served(
    axon: Axon, http: aiohttp.ClientSession, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    status, headers, error = await post(http, axon, codec.encode(Misbehave(how=how)), path="/Misbehave")
    assert caplog.records  # the miner's operator reads why
    assert (status, error["code"]) == (500, "wire.handler-failed")
    assert "secret" not in error["message"]
    assert HEADER_RECEIPT in headers
    assert (await post(http, axon, GOOD))[0] == 200


async def test_a_handler_may_refuse(axon: Axon, http: aiohttp.ClientSession) -> None:
    status, _, error = await post(http, axon, codec.encode(Misbehave(how="refuse")), path="/Misbehave")
    assert (status, error["code"], error["message"]) == (403, "wire.not-permitted", "not for you")


async def test_plain_handlers_run_in_threads_and_time_out(
    axon: Axon, http: aiohttp.ClientSession, handlers: Handlers
) -> None:
    assert (await post(http, axon, codec.encode(Threaded()), path="/Threaded"))[0] == 200
    status, _, error = await post(http, axon, codec.encode(Hang()), path="/Hang")
    assert (status, error["code"]) == (504, "wire.handler-timeout")
    assert handlers.threads
    assert all(name.startswith("handler") for name in handlers.threads)


class TestFullQueue:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(running=2, queue=3)

    async def test_the_one_too_many_is_told_to_come_back(
        self, axon: Axon, http: aiohttp.ClientSession, handlers: Handlers
    ) -> None:
        body = codec.encode(Slow())
        waiting = [asyncio.ensure_future(post(http, axon, body, path="/Slow")) for _ in range(5)]
        await until(lambda: axon._workers._slots.waiting == 3)
        status, headers, error = await post(http, axon, body, path="/Slow")
        assert (status, error["code"], headers["Retry-After"]) == (503, "wire.busy", "1")
        handlers.gate.set()
        assert [status for status, _, _ in await asyncio.gather(*waiting)] == [200] * 5


async def test_stake_decides_who_is_served_where_not_all_can_be(
    http: aiohttp.ClientSession, handlers: Handlers
) -> None:
    stakes = {Keypair.create_from_uri(f"//Staker{tao}").ss58_address: tao for tao in (1, 2, 3)}
    served: list[int] = []

    async def slow(request: Slow, caller: Caller) -> Labels:
        served.append(stakes[caller.hotkey])
        await handlers.gate.wait()
        return Labels(digits=np.zeros(0, np.int64))

    axon = Axon(
        MINER, limits=Limits(running=1, queue=2), admit=lambda who, _: Neuron(Uid(1), who, stake=rao(stakes[who]))
    )
    axon.serve(slow)
    async with axon:

        async def ask(tao: int) -> int:
            key = Keypair.create_from_uri(f"//Staker{tao}")
            return (await post(http, axon, codec.encode(Slow()), path="/Slow", key=key))[0]

        asked = []
        for tao in (2, 1, 2, 3):  # one runs, two wait, and the last takes the place of the lowest that waits
            asked.append(asyncio.ensure_future(ask(tao)))
            await until(lambda: axon.stats.in_flight == len(asked) or axon.stats.refused)
            await until(lambda: len(served) + axon._workers._slots.waiting == min(len(asked), 3))
        assert await asked[1] == 503
        handlers.gate.set()
        assert [await one for one in (asked[0], asked[2], asked[3])] == [200] * 3
    assert served == [2, 3, 2]


class TestRates:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(hotkey_rate=0.01, hotkey_burst=3, address_rate=0.01, address_burst=4)

    async def test_a_hotkey_has_its_rate(self, axon: Axon, http: aiohttp.ClientSession) -> None:
        answers = [await post(http, axon, GOOD) for _ in range(5)]
        assert [status for status, _, _ in answers] == [200, 200, 200, 429, 429]
        assert answers[-1][2]["code"] == "wire.rate-limited"
        assert int(answers[-1][1]["Retry-After"]) >= 1

    async def test_who_does_not_verify_uses_up_the_address_and_not_the_hotkey(
        self, axon: Axon, http: aiohttp.ClientSession
    ) -> None:
        def forge(headers: dict[str, str]) -> None:
            headers["X-Bittensor-Signature"] = "0x" + "01" * 64

        forged = [await post(http, axon, GOOD, tamper=forge) for _ in range(6)]
        assert [status for status, _, _ in forged] == [401] * 4 + [429] * 2
        assert len(axon._by_hotkey) == 0


async def test_insecure_serves_curl_on_loopback_only(http: aiohttp.ClientSession, handlers: Handlers) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        Axon(MINER, host="0.0.0.0", insecure=True)
    axon = Axon(MINER, insecure=True, admit=admit)
    axon.serve(handlers.classify)
    async with axon:
        url = f"http://127.0.0.1:{axon.port}/Classify"
        async with http.post(url, data=GOOD, headers={"Content-Type": codec.MSGPACK}) as response:
            assert response.status == 200
        assert handlers.callers[0].hotkey == ""
        status, _, error = await post(http, axon, GOOD, key=STRANGER)
        assert (status, error["code"]) == (403, "wire.not-permitted")


async def test_a_taken_port_says_what_to_do(axon: Axon) -> None:
    with pytest.raises(ConfigError, match="can't listen") as caught:
        await Axon(CALLER, port=axon.port).start()
    assert "--port" in caught.value.remedy


async def test_stop_lets_what_runs_finish(http: aiohttp.ClientSession, handlers: Handlers) -> None:
    axon = Axon(MINER)
    axon.serve(handlers.slow)
    await axon.start()
    running = asyncio.ensure_future(post(http, axon, codec.encode(Slow()), path="/Slow"))
    await until(lambda: axon.stats.in_flight)
    stopping = asyncio.ensure_future(axon.stop(drain=PATIENCE))
    await until(lambda: axon._stopping)
    assert not stopping.done()
    handlers.gate.set()
    assert (await running)[0] == 200
    assert axon.stats.refused == {}
    await stopping
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", axon.port)


def test_handlers_are_checked_when_they_are_given() -> None:
    axon = Axon(MINER)

    def no_annotation(request):  # type: ignore[no-untyped-def]
        return request

    def wrong_reply(request: Classify) -> Classify:
        return request

    def too_many(request: Classify, caller: Caller, third: int) -> Labels:
        return Labels(digits=np.zeros(0, np.int64))

    def fine(request: Classify) -> Labels:
        return Labels(digits=np.zeros(0, np.int64))

    for handler in (no_annotation, wrong_reply, too_many):
        with pytest.raises(DeclarationError, match=handler.__name__):
            axon.serve(handler)
    assert axon.serve(fine) is Classify
    with pytest.raises(DeclarationError, match="served twice"):
        axon.serve(fine)


async def test_a_kept_connection_gets_nothing_new_while_stopping(
    http: aiohttp.ClientSession, handlers: Handlers
) -> None:
    axon = Axon(MINER)
    axon.serve(handlers.slow)
    await axon.start()
    kept_reader, kept_writer = await asyncio.open_connection("127.0.0.1", axon.port)
    kept_writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"405" in await kept_reader.readuntil(b"\r\n")
    running = asyncio.ensure_future(post(http, axon, codec.encode(Slow()), path="/Slow"))
    await until(lambda: axon.stats.in_flight)
    stopping = asyncio.ensure_future(axon.stop(drain=PATIENCE))
    await until(lambda: axon._stopping)
    kept_writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await asyncio.wait_for(kept_reader.read(), PATIENCE)  # to the end: it was also told to go
    assert b"503" in answer
    kept_writer.close()
    handlers.gate.set()
    assert (await running)[0] == 200
    await stopping


class Exhausted(Synapse[Labels], timeout=60.0):
    pass


def exhausted(request: Exhausted) -> Labels:
    return next(iter(()))  # StopIteration, which a future can't carry


class TestFewSlots:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(running=2)

    async def test_a_thread_that_ends_oddly_gives_its_slot_back(self, axon: Axon, http: aiohttp.ClientSession) -> None:
        axon.serve(exhausted)
        for _ in range(5):
            status, _, error = await post(http, axon, codec.encode(Exhausted()), path="/Exhausted")
            assert (status, error["code"]) == (500, "wire.handler-failed")
        assert (await post(http, axon, GOOD))[0] == 200


class TestConnections:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(connections=20, connections_each=10, first_request=60)

    async def test_the_one_too_many_is_dropped_and_room_comes_back(
        self, axon: Axon, http: aiohttp.ClientSession
    ) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", axon.port) for _ in range(10)]
        await _dropped(*await asyncio.open_connection("127.0.0.1", axon.port))
        assert axon._http is not None
        assert axon._http.turned_away == 1
        opened.pop()[1].close()
        await until(lambda: axon._http and len(axon._http._open) == 9)
        assert (await post(http, axon, GOOD))[0] == 200
        for _, writer in opened:
            writer.close()

    async def test_a_newcomer_gets_the_place_of_whoever_was_silent_for_longest(
        self, axon: Axon, http: aiohttp.ClientSession
    ) -> None:
        assert axon._http is not None
        axon._http._most = 5
        opened = [await asyncio.open_connection("127.0.0.1", axon.port) for _ in range(5)]
        assert (await post(http, axon, GOOD))[0] == 200
        await _dropped(*opened[0])
        assert axon._http.turned_away == 1
        for _, writer in opened[1:]:
            writer.close()

    async def test_else_that_of_whoever_has_asked_nothing_for_longest_and_never_of_who_is_answered(
        self, axon: Axon, http: aiohttp.ClientSession, handlers: Handlers
    ) -> None:
        """Or some addresses' kept connections would keep everybody else out, for one bad request each."""
        assert axon._http is not None
        axon._http._most = 5
        opened = [await asyncio.open_connection("127.0.0.1", axon.port) for _ in range(5)]
        for number in (1, 0, 2, 3, 4):
            await _refused(*opened[number])
        assert (await post(http, axon, GOOD))[0] == 200  # it takes the place of the one that asked first
        await _dropped(*opened.pop(1))
        assert axon._http.turned_away == 1
        slow = [asyncio.ensure_future(post(http, axon, codec.encode(Slow()), path="/Slow")) for _ in range(5)]
        await until(lambda: axon.stats.in_flight == 5)  # theirs are all the places now
        for reader, writer in opened:
            await _dropped(reader, writer)
        await _dropped(*await asyncio.open_connection("127.0.0.1", axon.port))
        handlers.gate.set()
        assert [(await one)[0] for one in slow] == [200] * 5

    async def test_who_has_asked_once_may_be_silent(self, axon: Axon) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", axon.port)
        for _ in range(2):
            await _refused(reader, writer)
            with leap(61):  # past the time for a first request, not past the one for the next
                await asyncio.sleep(0)
        writer.close()
        assert axon._http is not None
        assert axon._http.turned_away == 0

    async def test_headers_that_begin_after_a_request_have_the_same_time(self, axon: Axon) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", axon.port)
        await _refused(reader, writer)
        assert axon._http is not None
        axon._http._patience = 0.2
        writer.write(b"GET / HT")
        await _dropped(reader, writer)
        assert axon._http.turned_away == 1


class TestSilentConnections:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(connections_each=10, first_request=0.2)

    async def test_who_says_nothing_is_given_up(self, axon: Axon) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", axon.port) for _ in range(3)]
        for reader, writer in opened:
            await _dropped(reader, writer)
        assert axon._http is not None
        assert axon._http.turned_away == 3

    async def test_headers_that_drip_do_not_keep_a_connection(self, axon: Axon) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", axon.port)
        with contextlib.suppress(ConnectionError):
            for byte in b"POST /Classify HTTP/1.1":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)
        await _dropped(reader, writer)


async def _refused(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A request that is refused, and its answer; the connection is kept."""
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    assert b" 405 " in head
    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))


async def _dropped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until the other side has hung up."""
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(1), PATIENCE) == b""
    writer.close()


class TestProxies:
    """The addresses that requests are counted by, as a proxy on this host names them."""

    PROXY = "127.0.0.1"

    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(address_rate=0.001, address_burst=1)

    async def _ask(self, http: aiohttp.ClientSession, port: int, *forwarded: str) -> int:
        headers = CIMultiDict([("X-Forwarded-For", one) for one in forwarded])
        async with http.get(f"http://127.0.0.1:{port}/", headers=headers) as response:
            return response.status

    async def test_behind_a_trusted_proxy_each_caller_has_its_own_budget(
        self, limits: Limits, http: aiohttp.ClientSession
    ) -> None:
        async with Axon(MINER, limits=limits, proxies=[self.PROXY, "10.0.0.9"]) as axon:
            assert await self._ask(http, axon.port, "9.9.9.9, 1.2.3.4") == 405
            assert await self._ask(http, axon.port, "8.8.8.8, 1.2.3.4, 10.0.0.9") == 429  # the same, by two proxies
            assert await self._ask(http, axon.port, "8.8.8.8", "1.2.3.4") == 429  # the header twice is one list
            assert await self._ask(http, axon.port, "1.2.3.5") == 405
            assert await self._ask(http, axon.port, "2001:db8::1") == 405
            assert await self._ask(http, axon.port, "2001:db8::2") == 429  # one /64 is one caller
            assert await self._ask(http, axon.port, "nonsense") == 405  # then it is the proxy's own
            assert await self._ask(http, axon.port) == 429

    async def test_from_anybody_else_the_header_means_nothing(
        self, limits: Limits, http: aiohttp.ClientSession
    ) -> None:
        async with Axon(MINER, limits=limits) as axon:
            assert await self._ask(http, axon.port, "1.2.3.4") == 405
            assert await self._ask(http, axon.port, "1.2.3.5") == 429
