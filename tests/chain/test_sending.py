"""Sends that are answered late, twice, wrongly or not at all; kept ones; forks; nonces that others take."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from chain_peers import TRUTH, Altered, Hang, HangUp, Peer, Raw, Refuse, between

from subnet.chain import Chain, Prepared, calls, extrinsic
from subnet.chain.remedies import DEFAULT
from subnet.chain.signing import rounded
from subnet.devnet import Devnet, devnet
from subnet.errors import ChainMalformed, ChainRefused, ChainTimeout, ChainUnreachable, ExtrinsicFailed, WrongNetwork
from subnet.keys import load_key
from subnet.types import rao

if TYPE_CHECKING:
    from substrateinterface import Keypair

pytestmark = pytest.mark.e2e

ALICE = load_key("//Alice")
SUBMIT = "author_submitExtrinsic"


@pytest.fixture(scope="module")
def node() -> Iterator[Devnet]:
    with devnet(production="instant") as running:
        yield running


@pytest.fixture(scope="module")
def still() -> Iterator[Devnet]:
    """A node that makes blocks only when it is told to."""
    with devnet(production="manual") as running:
        yield running


def somebody() -> str:
    return load_key(f"//Somebody//{secrets.token_hex(8)}").ss58_address


async def rich(url: str) -> Keypair:
    """A key of its own for a test, with money and nonce 0; the node makes its block by itself."""
    key = load_key(f"//Rich//{secrets.token_hex(8)}")
    async with await Chain.connect(url, timeout=60.0) as chain:
        await chain.transfer(ALICE, key.ss58_address, rao(1000))
    return key


@asynccontextmanager
async def lied_to(url: str, lie: Callable[[str, list[Any]], Any]) -> AsyncIterator[Chain]:
    async with between(url, lie) as middle, await Chain.connect(middle.url, timeout=60.0) as chain:
        yield chain


def on_submit(answer: Callable[[int], Any]) -> Callable[[str, list[Any]], Any]:
    """A lie about each submit, by how many there were before it."""
    told: list[int] = []

    def lie(method: str, params: list[Any]) -> Any:
        if method != SUBMIT:
            return TRUTH
        told.append(len(told))
        return answer(told[-1])

    return lie


def throw(error: Exception) -> Any:
    raise error


async def pending(chain: Chain) -> list[str]:
    found: list[str] = await chain._connection.run(lambda session: session.call("author_pendingExtrinsics"))
    return found


async def block_by_block(still: Devnet, middle: Peer, task: asyncio.Future[Any]) -> None:
    """A block, and then two looks of the client at the head: the second began after the block was there."""

    def looks() -> int:
        return middle.asked.count("chain_getFinalizedHead")

    await asyncio.to_thread(still.new_blocks)
    before = looks()
    while looks() < before + 2 and not task.done():
        await asyncio.sleep(0.005)


async def until_pending(chain: Chain, count: int) -> None:
    while len(await pending(chain)) < count:
        await asyncio.sleep(0.01)


# What the pool says


INVALID = "Invalid Transaction"
REFUSALS = [
    (1010, INVALID, "Custom error: 1", "NotEnoughStakeToSetWeights"),
    (1010, INVALID, "Custom error: 6", "SettingWeightsTooFast"),
    (1010, INVALID, "Custom error: 10", "HotKeyNotRegisteredInNetwork"),
    (1010, INVALID, "Custom error: 11", "InvalidIpAddress"),
    (1010, INVALID, "Custom error: 12", "ServingRateLimitExceeded"),
    (1010, INVALID, "Custom error: 13", "InvalidPort"),
    (1010, INVALID, "Custom error: 16", "NoWeightsCommitFound"),
    (1010, INVALID, "Custom error: 17", "RevealTooEarly"),
    (1010, INVALID, "Custom error: 18", "InputLengthsUnequal"),
    (1010, INVALID, "Custom error: 19", "HotKeyNotRegisteredInSubNet"),
    (1010, INVALID, "Custom error: 255", "BadRequest"),
    (1010, "Invalid Transaction (Custom error: 12)", None, "ServingRateLimitExceeded"),
    (1010, INVALID, "Transaction has a bad signature", "BadProof"),
    (1012, "Transaction is temporarily banned", None, "TemporarilyBanned"),
    (1016, "Immediately Dropped", "The transaction couldn't enter the pool because of the limit", "ImmediatelyDropped"),
    (1001, "Extrinsic has invalid format", None, "BadFormat"),
    (1002, "Verification Error: Runtime error", "Execution(...)", "VerificationError"),
    (1011, "Unknown Transaction Validity", None, "UnknownValidity"),
    (1021, "Transaction will be valid in the future", None, "Future"),
]


async def test_a_refusal_has_the_runtime_s_name_and_a_remedy(node: Devnet) -> None:
    refusal: list[Any] = []
    async with lied_to(node.url, on_submit(lambda _: throw(Refuse(*refusal)))) as chain:
        for code, message, data, name in REFUSALS:
            refusal[:] = code, message, data
            with pytest.raises(ExtrinsicFailed) as caught:
                await chain.set_weights(ALICE, 1, [0], [1])
            assert (caught.value.name, caught.value.where) == (name, "pool")
            assert caught.value.remedy != DEFAULT


async def test_a_refusal_after_a_lost_answer_is_not_believed(node: Devnet) -> None:
    """The first copy may have reached a pool; only blocks can say what became of it."""
    key, to = await rich(node.url), somebody()
    kept: list[str] = []

    def answer(count: int) -> Any:
        if count == 0:
            return Altered(lambda found: kept.append(found) or throw(HangUp()))  # type: ignore[func-returns-value]
        return throw(Refuse(1010, "Invalid Transaction", "Inability to pay some fees"))

    async with lied_to(node.url, on_submit(answer)) as chain:
        included = await chain.transfer(key, to, rao(1))
        assert kept == [included.extrinsic_hash]
        assert await chain.balance(to) == rao(1)


async def test_what_may_be_under_way_stays_unknown_with_the_refusal_told(
    node: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = 0.0
    monkeypatch.setattr(extrinsic, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead))

    def answer(count: int) -> Any:
        nonlocal ahead
        if count == 0:
            raise HangUp
        ahead = 60.0  # the deadline is over as soon as the pool has refused
        raise Refuse(1010, "Invalid Transaction", "Custom error: 12")

    async with lied_to(node.url, on_submit(answer)) as chain:
        with pytest.raises(ChainTimeout, match="is in no block") as caught:
            await chain.serve_axon(ALICE, 1, "203.0.113.7", 80, timeout=60.0)
    assert isinstance(caught.value.__cause__, ExtrinsicFailed)
    assert caught.value.__cause__.name == "ServingRateLimitExceeded"


async def test_an_answer_of_nonsense_is_as_good_as_lost(node: Devnet) -> None:
    key, to = await rich(node.url), somebody()
    lie = on_submit(lambda count: throw(Raw("{nonsense")) if count == 0 else TRUTH)
    async with lied_to(node.url, lie) as chain:
        await chain.transfer(key, to, rao(1))
        assert await chain.balance(to) == rao(1)


async def test_a_send_does_not_wait_for_others_past_its_deadline(node: Devnet) -> None:
    async with lied_to(node.url, on_submit(lambda _: throw(Hang()))) as chain:
        hanging = asyncio.ensure_future(chain.transfer(ALICE, somebody(), rao(1)))
        while not chain._submitter._locks[ALICE.ss58_address].locked():
            await asyncio.sleep(0.01)
        with pytest.raises(ChainTimeout, match="was not sent"):
            await chain.transfer(ALICE, somebody(), rao(1), timeout=0.05)
        assert not hanging.done()
        hanging.cancel()


async def test_what_was_never_handed_over_has_not_happened(node: Devnet) -> None:
    """A node that is gone before it has heard of the extrinsic: not a doubt, a failure."""
    async with between(node.url, lambda m, p: TRUTH) as middle:
        chain = await Chain.connect(middle.url, timeout=60.0)
        prepared = await chain.prepare(calls.transfer(somebody(), 1000), ALICE)
    with pytest.raises(ChainUnreachable):
        await chain._connection.read(lambda session: session.head(), patience=0.0)
    with pytest.raises(ChainUnreachable):
        await chain.deliver(prepared, timeout=0.5)
    await chain.close()


async def test_an_outcome_that_the_node_has_forgotten_is_not_a_failure(node: Devnet) -> None:
    """Another endpoint may know it: refused reads are tried until the deadline, and then it is unknown."""
    key, forgets = await rich(node.url), list[bool]()

    def lie(method: str, params: list[Any]) -> Any:
        if method == "state_queryStorageAt" and len(params) > 1 and forgets:
            raise Refuse(4003, "Client error: State already discarded")
        return TRUTH

    async with lied_to(node.url, lie) as chain:
        prepared = await chain.prepare(calls.transfer(somebody(), rao(1)), key)
        known = await chain.deliver(prepared)
        forgets.append(True)
        with pytest.raises(ChainTimeout, match="which can't be read") as caught:
            await chain.deliver(prepared, timeout=0.0)
        assert isinstance(caught.value.__cause__, ChainRefused)
        forgets.clear()
        assert await chain.deliver(prepared) == known


# Kept and sent again


async def test_what_was_prepared_lands_once_however_often_it_is_delivered(node: Devnet) -> None:
    key, to = await rich(node.url), somebody()
    async with await Chain.connect(node.url, timeout=60.0) as chain:
        prepared = await chain.prepare(calls.transfer(to, rao(1)), key)
        assert await chain.balance(to) == 0
        first = await chain.deliver(prepared, wait="finality")
        assert await chain.deliver(prepared) == first
    kept = Prepared.from_dict(json.loads(json.dumps(prepared.as_dict())))
    async with await Chain.connect(node.url, timeout=60.0) as chain:  # another process
        again = await chain.deliver(kept, wait="finality")
        assert again == first
        assert await chain.balance(to) == rao(1)


async def test_a_process_that_dies_after_its_send_finds_it_again(still: Devnet) -> None:
    to = somebody()
    async with await Chain.connect(still.url, timeout=60.0) as chain:
        prepared = await chain.prepare(calls.transfer(to, rao(1)), ALICE)
        dying = asyncio.ensure_future(chain.deliver(prepared))
        await until_pending(chain, 1)
        dying.cancel()
        await asyncio.wait([dying])
    async with await Chain.connect(still.url, timeout=60.0) as chain:
        task = asyncio.ensure_future(chain.deliver(Prepared.from_dict(prepared.as_dict())))
        while not task.done():
            await asyncio.to_thread(still.new_blocks)
        assert (await task).extrinsic_hash == prepared.hash
        assert await chain.balance(to) == rao(1)


async def test_bytes_for_another_chain_are_not_sent(node: Devnet, still: Devnet) -> None:
    async with await Chain.connect(still.url, timeout=60.0) as chain:
        prepared = await chain.prepare(calls.transfer(somebody(), 1000), ALICE)
    async with await Chain.connect(node.url, timeout=60.0) as chain:
        with pytest.raises(WrongNetwork):
            await chain.deliver(prepared)


@pytest.mark.parametrize("change", [{"data": "0xzz"}, {"nonce": -1}, {"start": None}, {"more": 1}, {"data": 5}])
def test_what_is_not_prepared(change: dict[str, Any]) -> None:
    good = {"call": "A.b", "data": "0x00", "account": "5", "nonce": 0, "start": 1, "dies": 2, "genesis": "0x"}
    assert Prepared.from_dict(good).as_dict() == good
    with pytest.raises(ValueError, match="no prepared extrinsic"):
        Prepared.from_dict(good | change)


# Dry runs


async def test_a_dry_run_shows_the_node_nothing_that_it_could_send(node: Devnet) -> None:
    shown: list[str] = []

    def lie(method: str, params: list[Any]) -> Any:
        if method == "state_call" and params[0] == "TransactionPaymentApi_query_info":
            shown.append(params[1][:-8])
        return TRUTH

    async with lied_to(node.url, lie) as chain:
        estimate = await chain.estimate(calls.transfer(somebody(), rao(1)), ALICE)
        assert estimate.fee > 0
        assert len(shown) == 1
        with pytest.raises(ChainRefused, match="bad signature"):
            await chain._connection.run(lambda session: session.call(SUBMIT, shown[0]))


async def test_fees_that_are_none_and_fees_of_chains_with_other_balances(node: Devnet) -> None:
    answers: list[Any] = []

    def lie(method: str, params: list[Any]) -> Any:
        return answers[0] if method == "state_call" and "query_info" in params[0] else TRUTH

    call = calls.transfer(somebody(), 1)
    async with lied_to(node.url, lie) as chain:
        for answer in (None, "0x", "0x0000", "0x000000" + "00" * 7, "0x000003" + "00" * 8, "0xzz", 7):
            answers[:] = [answer]
            with pytest.raises(ChainMalformed):
                await chain.estimate(call, ALICE)
        for size in (8, 16):
            answers[:] = ["0x" + "04" + "08" + "00" + (123).to_bytes(size, "little").hex()]
            found = await chain.estimate(call, ALICE)
            assert (found.ref_time, found.proof_size, found.fee) == (1, 2, 123)


# Nonces


async def test_many_sends_go_into_one_block_in_order(still: Devnet) -> None:
    to = [somebody() for _ in range(20)]
    async with await Chain.connect(still.url, timeout=60.0) as chain:
        tasks = [asyncio.ensure_future(chain.transfer(ALICE, one, rao(1))) for one in to]
        await until_pending(chain, len(to))  # all are in the pool before there is any block
        await asyncio.to_thread(still.new_blocks)
        sent = await asyncio.gather(*tasks)
        assert len({included.block for included in sent}) == 1
        assert [await chain.balance(one) for one in to] == [rao(1)] * len(to)


async def test_a_refused_send_leaves_no_gap(node: Devnet) -> None:
    key, to = await rich(node.url), somebody()
    refused: list[int] = []

    def answer(count: int) -> Any:
        if count in (1, 3):
            refused.append(count)
            raise Refuse(1010, "Invalid Transaction", "Custom error: 6")
        return TRUTH

    async with lied_to(node.url, on_submit(answer)) as chain:
        outcomes = await asyncio.gather(*(chain.transfer(key, to, rao(1)) for _ in range(5)), return_exceptions=True)
        assert len(refused) == sum(isinstance(one, ExtrinsicFailed) for one in outcomes) == 2
        assert await chain.balance(to) == rao(3)


async def test_a_nonce_that_somebody_outbids_is_replaced(still: Devnet) -> None:
    """Another process pays more for the same nonce, so that ours can never land; it is signed anew."""
    to, other_s = somebody(), somebody()
    async with await Chain.connect(still.url, timeout=60.0) as chain, await Chain.connect(still.url) as other:
        ours = asyncio.ensure_future(chain.transfer(ALICE, to, rao(1)))
        await until_pending(chain, 1)
        nonce = await chain._connection.run(lambda s: s.call("system_accountNextIndex", ALICE.ss58_address)) - 1
        theirs = asyncio.ensure_future(other.transfer(ALICE, other_s, rao(1), nonce=nonce, tip=10_000_000))
        before = await pending(other)
        while await pending(other) == before:
            await asyncio.sleep(0.01)
        while not (ours.done() and theirs.done()):
            if await pending(chain):
                await asyncio.to_thread(still.new_blocks)
            await asyncio.sleep(0.01)
        assert (await theirs).fee > 10_000_000
        await ours
        assert await chain.balance(to) == await chain.balance(other_s) == rao(1)


async def test_a_given_nonce_is_not_replaced(node: Devnet) -> None:
    key = await rich(node.url)
    async with await Chain.connect(node.url, timeout=60.0) as chain:
        await chain.transfer(key, somebody(), rao(1), nonce=0)
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.transfer(key, somebody(), rao(1), nonce=0)
        assert caught.value.name == "Stale"


async def test_bytes_that_the_pool_lost_are_sent_again(still: Devnet) -> None:
    """The node takes the extrinsic and forgets it: a restart, or a full pool."""
    to = somebody()
    lie = on_submit(lambda count: "0x" + "00" * 32 if count == 0 else TRUTH)
    async with between(still.url, lie) as middle, await Chain.connect(middle.url, timeout=60.0) as chain:
        task = asyncio.ensure_future(chain.transfer(ALICE, to, rao(1)))
        while not task.done():
            await block_by_block(still, middle, task)
        await task
        assert middle.asked.count(SUBMIT) == 2
        assert await chain.balance(to) == rao(1)


# Eras


@pytest.mark.parametrize(("period", "span"), [(4, 4), (5, 8), (64, 64), (65, 128), (2048, 2048)])
def test_periods_are_rounded_up(period: int, span: int) -> None:
    assert rounded(period) == span


@pytest.mark.parametrize("period", [0, 3, 2049, -1])
def test_periods_that_there_can_t_be(period: int) -> None:
    with pytest.raises(ValueError, match="4 to 2048"):
        rounded(period)


async def test_an_immortal_one_lands_long_after(still: Devnet) -> None:
    to = somebody()
    async with await Chain.connect(still.url, timeout=60.0) as chain:
        prepared = await chain.prepare(calls.transfer(to, rao(1)), ALICE, period=None)
        assert prepared.dies is None
        await asyncio.to_thread(still.new_blocks, 300)
        task = asyncio.ensure_future(chain.deliver(prepared))
        await until_pending(chain, 1)
        await asyncio.to_thread(still.new_blocks)
        assert (await task).block > prepared.start + 299


async def test_a_mortal_one_is_refused_after_its_last_block(still: Devnet) -> None:
    async with await Chain.connect(still.url, timeout=60.0) as chain:
        early = await chain.prepare(calls.transfer(somebody(), rao(1)), ALICE, period=4)
        assert early.dies is not None
        await asyncio.to_thread(still.new_blocks, early.dies - await chain.block_number() + 1)
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.deliver(early)
        assert caught.value.where == "pool"
        with pytest.raises(ExtrinsicFailed) as caught:
            await chain.deliver(early)  # now it might have been under way; the blocks say that it was not
        assert caught.value.name == "Expired"


# Finality


@asynccontextmanager
async def held_back(still: Devnet) -> AsyncIterator[tuple[Chain, Peer, list[str]]]:
    """A chain whose finalised head stands still until the list is cleared."""
    final: list[str] = []

    def lie(method: str, params: list[Any]) -> Any:
        return final[0] if method == "chain_getFinalizedHead" and final else TRUTH

    async with between(still.url, lie) as middle, await Chain.connect(middle.url, timeout=60.0) as chain:
        final.append(await chain.block_hash())
        yield chain, middle, final


async def test_finality_is_waited_for(still: Devnet) -> None:
    async with held_back(still) as (chain, _, final):
        prepared = await chain.prepare(calls.transfer(somebody(), rao(1)), ALICE)
        task = asyncio.ensure_future(chain.deliver(prepared, wait="finality"))
        await until_pending(chain, 1)
        await asyncio.to_thread(still.new_blocks, 3)
        early = await chain.deliver(prepared)
        assert not early.finalized
        with pytest.raises(ChainTimeout, match=f"is in block {early.block}, which is not final"):
            await chain.deliver(prepared, wait="finality", timeout=0.0)
        assert not task.done()
        final.clear()
        included = await task
        assert included.finalized
        assert (included.block, included.block_hash) == (early.block, early.block_hash)


async def test_a_fork_before_finality_is_followed(still: Devnet) -> None:
    """The block that holds it is taken back with all that the pool knew; it is sent again, and lands in another."""
    to = somebody()
    async with held_back(still) as (chain, middle, final):
        place = still.snapshot()
        prepared = await chain.prepare(calls.transfer(to, rao(1)), ALICE)
        task = asyncio.ensure_future(chain.deliver(prepared, wait="finality"))
        await until_pending(chain, 1)
        await asyncio.to_thread(still.new_blocks)
        early = await chain.deliver(prepared)
        await asyncio.to_thread(still.revert, place)
        await asyncio.to_thread(still.increase_time, 60)
        while not task.done():
            await block_by_block(still, middle, task)
            if await chain.balance(to):
                final.clear()
        included = await task
        assert included.finalized
        assert included.block_hash != early.block_hash
        assert await chain.block_hash(included.block) == included.block_hash
        assert await chain.balance(to) == rao(1)
