"""The organic API over real sockets: users ask, the best miners answer, and what they answered moves their scores."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subnet import Hotkey, Neuron, Ok, Synapse, Uid, Validator, codec
from subnet.admission import Limits
from subnet.dendrite import Failure
from subnet.errors import ConfigError
from subnet.store import History, Kind, Score
from subnet.types import Block
from subnet.validators import organic
from subnet.validators.gateway import Gate, read_tokens
from subnet.validators.organic import Organic
from tests.validators.bench import ME
from tests.validators.organic_bench import MINERS, TOKEN, Double, Doubled, Echo, Judge, Place, place
from tests.waiting import until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(organic, "TICK", 0.005)
    monkeypatch.setattr(Judge, "interval", 0.005)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path / "v.sqlite") as made:
        yield made


async def test_a_user_gets_the_best_miners_reply_and_it_moves_its_score(here: Place) -> None:
    status, reply, headers = await here.post("Echo", {"text": "hello"})
    assert (status, reply) == (200, {"text": "0: hello"})
    assert (headers["X-Subnet-Uid"], headers["X-Subnet-Hotkey"]) == ("1", MINERS[0].ss58_address)
    assert float(headers["X-Subnet-Elapsed"]) >= 0
    await here.judged()
    assert here.value(0) == 0.5
    (request, result), *_ = here.judge.seen
    assert isinstance(request, Echo)
    assert isinstance(result, Ok)
    with History(here.path) as seen:
        (done,) = seen.latest_rounds(9, kind=Kind.ORGANIC)
        assert (done.asked, done.answered, done.rule) == (1, 1, "ema 0.5")
        assert [(r.uid, r.score, r.moving) for r in seen.results(done.id)] == [(1, 1.0, 0.5)]
        assert len(seen.receipts(done.id, MINERS[0].ss58_address)) == 1
    assert 'subnet_organic_requests_total{hotkey="' in here.metrics.render()[0].decode()


async def test_msgpack_and_tensors_both_ways(here: Place) -> None:
    asked = Double(values=np.arange(3))
    status, raw, _ = await here.post("Double", codec.encode(asked), Content_Type="application/msgpack")
    assert status == 200
    assert codec.decode(Doubled, raw).values.tolist() == [0, 2, 4]
    status, reply, _ = await here.post("Double", codec.encode(asked, json=True))
    assert (status, reply["values"]["shape"]) == (200, [3])


@pytest.mark.parametrize(
    ("name", "data", "headers", "status", "code"),
    [
        ("Nothing", {}, {}, 404, "wire.unknown-synapse"),
        ("Echo", b"text=hello", {"Content_Type": "application/x-www-form-urlencoded"}, 415, "wire.unknown-encoding"),
        ("Echo", b"{}", {"Content_Encoding": "gzip"}, 415, "wire.unknown-encoding"),
        ("Echo", b"{", {}, 400, "wire.malformed"),
        ("Echo", b"[" * 4000, {}, 422, "wire.wrong-type"),
        ("Echo", {"text": 5}, {}, 422, "wire.wrong-type"),
        ("Echo", {"text": "x" * 5000}, {}, 413, "wire.body-too-large"),
        ("Mean", {"values": [1] * 250}, {}, 413, "wire.body-too-large"),  # 9 bytes a number, as miners get them
        ("Double", {"values": {"dtype": "int64", "shape": [9], "base64": ""}}, {}, 422, "wire.bad-tensor"),
        ("Echo", {"text": "x"}, {"Origin": "https://evil.example"}, 403, "wire.not-permitted"),
    ],
)
async def test_what_can_not_be_asked_is_refused_with_its_reason(
    here: Place, name: str, data: Any, headers: dict[str, str], status: int, code: str
) -> None:
    got, reply, _ = await here.post(name, data, **headers)
    assert (got, reply["code"]) == (status, code)
    assert reply["remedy"]
    assert here.judge.seen == []
    assert sum(speaker.asked for speaker in here.speakers) == 0


async def test_the_list_and_the_health(here: Place) -> None:
    async with here.http.get(f"{here.url}/v1") as reply:
        listed = (await reply.json())["synapses"]
    assert [one["name"] for one in listed] == ["Echo", "Spend", "Double", "Mean", "Count"]
    assert (listed[0]["about"], listed[0]["fields"], listed[0]["reply"]) == ("Says it again.", ["text"], ["text"])
    async with here.http.get(f"{here.url}/health") as reply:
        assert (reply.status, (await reply.json())["status"]) == (200, "ok")
    for method, path, status in (("GET", "/v2", 404), ("PUT", "/v1/Echo", 405), ("OPTIONS", "/v1/Echo", 405)):
        async with here.http.request(method, here.url + path) as reply:
            assert reply.status == status


async def test_without_miners_it_says_so(tmp_path: Path) -> None:
    async with place(tmp_path / "v") as here:
        here.judge.order = ()
        status, reply, headers = await here.post("Echo", {"text": "x"})
        assert (status, reply["code"], "Retry-After" in headers) == (503, "wire.busy", True)
        chain: Any = here.service.follower._chain
        for uid in (1, 2, 3):
            chain.change(uid, axon=None)
        await here.service.follower.refresh()
        async with here.http.get(f"{here.url}/health") as answer:
            assert (answer.status, (await answer.json())["status"]) == (503, "no-miners")


async def test_a_slow_miner_is_hedged_by_the_next(here: Place) -> None:
    here.judge.organic_hedge = 0.01
    here.speakers[0].gate.clear()
    status, reply, _ = await here.post("Echo", {"text": "x"})
    assert (status, reply) == (200, {"text": "1: x"})
    await here.judged()
    assert here.value(1) == 0.5
    assert len(here.service.scores) == 1  # the slow one has its whole time before anything is held against it
    here.speakers[0].gate.set()


async def test_what_is_not_idempotent_goes_to_one_miner_only(here: Place) -> None:
    here.speakers[0].mood = "broken"
    status, reply, _ = await here.post("Spend", {"text": "x"})
    assert (status, reply["code"]) == (502, "wire.miner-failed")
    assert "uid 1: refused (wire.handler-failed)" in reply["message"]
    assert [speaker.asked for speaker in here.speakers] == [1, 0, 0]
    await here.judged()
    assert here.value(0) == 0.0
    here.judge.order = (0, 2)  # uid 0 serves nowhere: it is passed over
    assert (await here.post("Spend", {"text": "y"}))[1] == {"text": "1: y"}


async def test_a_miner_that_was_busy_is_followed_by_the_next(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from subnet.results import Reason

    query = Judge.query

    async def busy(self: Judge, peers: Sequence[Neuron], request: Any, **options: Any) -> list[Any]:
        if peers[0].uid == 1:
            return [Failure(peers[0].uid, peers[0].hotkey, Reason.BUSY, "wire.busy", "", 0.1)]
        return await query(self, peers, request, **options)

    monkeypatch.setattr(Judge, "query", busy)
    assert (await here.post("Spend", {"text": "x"}))[1] == {"text": "1: x"}
    await here.judged(2)
    assert (here.value(0), here.value(1)) == (0.0, 0.5)


async def test_a_miner_that_takes_too_long_is_told_as_504(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    query = Judge.query

    async def quick(self: Judge, peers: Sequence[Neuron], request: Any, **_: Any) -> list[Any]:
        return await query(self, peers, request, timeout=0.05)

    monkeypatch.setattr(Judge, "query", quick)
    here.speakers[0].gate.clear()
    status, reply, _ = await here.post("Spend", {"text": "x"})
    assert (status, reply["code"]) == (504, "wire.handler-timeout")
    here.speakers[0].gate.set()


async def test_a_stream_is_passed_on_as_it_comes(here: Place) -> None:
    status, raw, _ = await here.post("Count", {"to": 3})
    lines = [json.loads(line) for line in raw.splitlines()]
    assert status == 200
    assert [line["message"]["text"] for line in lines[:3]] == ["0", "1", "2"]
    assert lines[3]["end"]["chunks"] == 3
    await here.judged()
    assert here.value(0) == 0.5
    (_, result), *_ = here.judge.seen
    assert isinstance(result, Ok)
    assert [message.text for message in result.value] == ["0", "1", "2"]
    assert result.receipt is not None


async def test_a_stream_that_breaks_off_ends_with_its_reason(here: Place) -> None:
    here.speakers[0].mood = "breaks off"
    _, raw, _ = await here.post("Count", {"to": 9})
    lines = [json.loads(line) for line in raw.splitlines()]
    assert [next(iter(line)) for line in lines] == ["message", "message", "error", "end"]
    assert lines[2]["error"]["code"] == "wire.miner-failed"
    await here.judged()
    assert here.value(0) == 0.0
    here.speakers[0].mood = "broken"  # before its first message: an ordinary refusal
    status, reply, _ = await here.post("Count", {"to": 9})
    assert (status, reply["code"]) == (502, "wire.miner-failed")


async def test_a_user_who_leaves_ends_the_miners_stream(here: Place) -> None:
    here.speakers[0].mood = "stalls"
    async with here.http.post(f"{here.url}/v1/Count", json={"to": 9}) as reply:
        await reply.content.readline()
        reply.close()
    await asyncio.wait_for(here.speakers[0].left.wait(), 60)


async def test_tokens_let_in_who_has_one_and_bound_each(tmp_path: Path) -> None:
    limits = Limits(hotkey_rate=1e-6, hotkey_burst=2, address_rate=100.0)
    async with place(tmp_path / "v", tokens=(TOKEN, TOKEN + "-other"), limits=limits) as here:
        for headers in ({}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer wrong-token-wrong-token"}):
            status, reply, sent = await here.post("Echo", {"text": "x"}, **headers)
            assert (status, reply["code"], sent["WWW-Authenticate"]) == (401, "auth", "Bearer")
            assert "Echo" not in json.dumps(reply)
        async with here.http.get(f"{here.url}/v1") as answer:
            assert answer.status == 401
        good = {"Authorization": f"Bearer {TOKEN}", "Origin": "https://app.example"}  # a token stands for itself
        codes = [(await here.post("Echo", {"text": "x"}, **good))[0] for _ in range(3)]
        assert codes == [200, 200, 429]
        assert (await here.post("Echo", {"text": "x"}, Authorization=f"bearer {TOKEN}-other"))[0] == 200


async def test_who_has_no_token_does_not_use_up_what_its_proxys_users_may_do(tmp_path: Path) -> None:
    limits = Limits(address_rate=1e-6, address_burst=2, hotkey_rate=1e-6, hotkey_burst=3)
    good = {"Authorization": f"Bearer {TOKEN}"}
    async with place(tmp_path / "v", tokens=(TOKEN, TOKEN + "-other"), limits=limits) as here:
        codes = [(await here.post("Echo", {"text": "x"}, Authorization="Bearer guessed-guessed"))[0] for _ in range(4)]
        assert codes == [401, 401, 429, 429]
        assert (await here.post("Echo", {"text": "x"}, **good))[0] == 200  # from the same address
        async with here.http.get(f"{here.url}/v1", headers=good) as answer:
            assert answer.status == 200
        assert (await here.post("Nothing", {}, **good))[0] == 404  # what is wrong counts under the token too
        assert (await here.post("Echo", {"text": "x"}, **good))[0] == 429
        assert (await here.post("Echo", {"text": "x"}, Authorization=f"Bearer {TOKEN}-other"))[0] == 200


async def test_behind_a_trusted_proxy_each_address_has_its_own_budget(tmp_path: Path) -> None:
    limits = Limits(address_rate=1e-6, address_burst=1)
    async with place(tmp_path / "v", tokens=(TOKEN,), limits=limits, proxies=("127.0.0.1",)) as here:
        for forwarded, status in (("9.9.9.9, 1.2.3.4", 401), ("8.8.8.8, 1.2.3.4", 429), ("1.2.3.5", 401)):
            assert (await here.post("Echo", {"text": "x"}, X_Forwarded_For=forwarded))[0] == status
    async with place(tmp_path / "w", tokens=(TOKEN,), limits=limits) as here:  # from anybody else it means nothing
        codes = [(await here.post("Echo", {}, X_Forwarded_For=f"1.2.3.{i}"))[0] for i in range(2)]
        assert codes == [401, 429]


async def test_an_unknown_token_costs_the_same_whatever_the_number_of_known_ones(
    tmp_path: Path,
) -> None:
    tokens = tuple(f"{TOKEN}-{i}" for i in range(1000))
    async with place(tmp_path / "v", tokens=tokens) as here:
        assert here.service.gateway is not None
        known = here.service.gateway._tokens
        assert isinstance(known, frozenset)  # one look-up, by a digest that a caller can't choose
        assert len(known) == len(tokens)
        assert (await here.post("Echo", {"text": "x"}, Authorization=f"Bearer {tokens[-1]}"))[0] == 200
        assert (await here.post("Echo", {"text": "x"}, Authorization=f"Bearer {TOKEN}-1000"))[0] == 401


async def test_more_than_can_wait_are_busy(tmp_path: Path) -> None:
    async with place(tmp_path / "v", limits=Limits(running=1, queue=1)) as here:
        here.speakers[0].gate.clear()
        here.judge.organic_hedge = 1e6
        first = asyncio.create_task(here.post("Echo", {"text": "1"}))
        await until(lambda: here.speakers[0].asked == 1)
        second = asyncio.create_task(here.post("Echo", {"text": "2"}))

        async def queued() -> int:
            async with here.http.get(f"{here.url}/health") as reply:
                return int((await reply.json())["queued"])

        async with asyncio.timeout(60):
            while await queued() < 1:
                await asyncio.sleep(0.005)
        status, reply, _ = await here.post("Echo", {"text": "3"})
        assert (status, reply["code"]) == (503, "wire.busy")
        here.speakers[0].gate.set()
        assert [(await one)[0] for one in (first, second)] == [200, 200]


async def test_a_body_that_drips_is_given_up(tmp_path: Path) -> None:
    async with place(tmp_path / "v", limits=Limits(body_timeout=0.05)) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(here.url.rpartition(":")[2]))
        head = b"POST /v1/Echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        writer.write(head)
        assert b"408" in await asyncio.wait_for(reader.readline(), 60)
        writer.close()
        assert (await here.post("Echo", {"text": "x"}))[0] == 200


async def test_many_requests_between_two_passes_are_one_score(tmp_path: Path) -> None:
    class Slow(Judge):
        async def judge_organic(self, request: Synapse[Any], result: Ok[Any] | Failure) -> float | None:
            await super().judge_organic(request, result)
            return float(request.text)  # type: ignore[attr-defined]

    async with place(tmp_path / "v", Slow()) as here:
        made = Organic(here.judge, here.service._book, lambda: here.service.follower.snapshot)  # type: ignore[arg-type]
        for text in ("1.0", "0.0", "0.5", "nan"):
            await made.ask(Echo(text=text), size=10)
        assert made.waiting == 4
        await made.step()
        assert here.value(0) == 0.1875  # half of (1 + 0 + 0.5 + 0) / 4
        assert here.service.scores[Hotkey(MINERS[0].ss58_address)].rounds == 1
        assert math.isfinite(here.value(0))
        assert await made.step() == organic.TICK  # nothing more to judge


async def test_a_judge_that_fails_or_hangs_harms_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Moody(Judge):
        async def judge_organic(self, request: Synapse[Any], result: Ok[Any] | Failure) -> float | None:
            mood = request.text  # type: ignore[attr-defined]
            if mood == "raises":
                raise ValueError("oh")
            if mood == "hangs":
                await asyncio.Event().wait()
            return None if mood == "none" else 1.0

    async with place(tmp_path / "v", Moody()) as here:
        here.judge.deadline = 0.1
        made = Organic(here.judge, here.service._book, lambda: here.service.follower.snapshot, here.metrics)  # type: ignore[arg-type]
        for mood in ("raises", "hangs", "none", "good"):
            await made.ask(Echo(text=mood), size=10)
        await made.step()
        assert here.value(0) == 0.5
        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert told == ["judge_failed", "organic_unjudged"]


async def test_what_waits_to_be_judged_is_bounded(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Organic(here.judge, here.service._book, lambda: here.service.follower.snapshot, here.metrics)  # type: ignore[arg-type]
    monkeypatch.setattr(organic, "MOST_WAITING", 3)
    for number in range(5):
        await made.ask(Echo(text=str(number)), size=10)
    assert made.waiting == 3
    monkeypatch.setattr(organic, "MOST_BYTES", 2500)
    await made.ask(Echo(text="big"), size=2000)
    assert made.waiting == 3
    await made.ask(Echo(text="bigger"), size=2400)
    assert made.waiting == 1
    await made.step()
    assert [request.text for request, _ in here.judge.seen] == ["bigger"]  # type: ignore[attr-defined]
    assert "subnet_organic_unjudged_total" in here.metrics.render()[0].decode()


async def test_a_hotkey_that_came_back_gets_nothing_for_what_it_answered_before(here: Place) -> None:
    made = Organic(here.judge, here.service._book, lambda: here.service.follower.snapshot)  # type: ignore[arg-type]
    await made.ask(Echo(text="x"), size=10)
    chain: Any = here.service.follower._chain
    chain.change(1, block_at_registration=Block(105))
    await here.service.follower.refresh()
    await made.step()
    assert here.service.scores == {}
    with History(here.path) as seen:
        (done,) = seen.latest_rounds(9, kind=Kind.ORGANIC)
        assert [r.moving for r in seen.results(done.id)] == [None]


async def test_nothing_is_kept_where_nobody_judges(tmp_path: Path) -> None:
    class Plain(Validator):
        organic = (Echo,)

        async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
            return {}

    async with place(tmp_path / "v") as here:
        plain = Plain()
        plain.attach(ME, here.service.follower.snapshot)
        plain.use(here.judge._querier)  # type: ignore[arg-type]
        made = Organic(plain, here.service._book, lambda: here.service.follower.snapshot)  # type: ignore[arg-type]
        result, _ = await made.ask(Echo(text="x"), size=10)
        assert made.waiting == 0
        assert result.uid in (1, 2, 3)  # by default whoever serves, while nobody has a score
        best = Score(Hotkey(MINERS[2].ss58_address), Uid(3), 1.0, 1, Block(1), Block(1), 1.0)
        plain.remember({best.hotkey: best}, {})
        assert (await made.ask(Echo(text="x"), size=10))[0].uid == 3


async def test_a_class_without_synapses_for_users_can_not_be_opened(tmp_path: Path) -> None:
    class Closed(Judge):
        organic = ()

    with pytest.raises(ConfigError, match="Closed has no synapses that users may ask"):
        async with place(tmp_path / "v", Closed()):
            pass


def test_a_gate_that_can_not_be_is_refused(tmp_path: Path) -> None:
    for given in ({"host": "0.0.0.0"}, {"host": "example.org"}, {"tokens": ("short",)}, {"tokens": ("é" * 20,)}):
        with pytest.raises(ConfigError):
            Gate(**given)  # type: ignore[arg-type]
    for proxies, tokens, match in ((("example.org",), (TOKEN,), "no IP address"), (("127.0.0.1",), (), "need tokens")):
        with pytest.raises(ConfigError, match=match):
            Gate(proxies=proxies, tokens=tokens)
    assert Gate("0.0.0.0", tokens=(TOKEN,)).host == "0.0.0.0"
    file = tmp_path / "tokens"
    file.write_text(f"# of the first user\n{TOKEN}\n\n {TOKEN}2 \n")
    assert read_tokens(file) == (TOKEN, TOKEN + "2")
    assert TOKEN not in repr(Gate(tokens=(TOKEN,)))
    for text in ("", "# none\n", "é" * 20):
        file.write_text(text)
        with pytest.raises(ConfigError):
            read_tokens(file)
    with pytest.raises(ConfigError, match="can't be read"):
        read_tokens(tmp_path / "none")
