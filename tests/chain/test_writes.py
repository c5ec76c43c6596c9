"""Every write on the local chain: what it changes, what it costs, and how it fails."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from subnet.chain import Chain, WeightCommit, calls, weights
from subnet.chain.calls import Call
from subnet.devnet import Devnet, devnet
from subnet.errors import ChainError, ExtrinsicFailed
from subnet.keys import load_key
from subnet.types import Netuid, Rao, rao

if TYPE_CHECKING:
    from substrateinterface import Keypair

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def node() -> Iterator[Devnet]:
    with devnet(production="instant", tempo=5) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain(node: Devnet) -> AsyncIterator[Chain]:
    async with await Chain.connect(node.url, timeout=60.0) as connected:
        yield connected


def fresh(name: str = "Fresh") -> Keypair:
    return load_key(f"//{name}//{secrets.token_hex(8)}")


ALICE, BOB = load_key("//Alice"), load_key("//Bob")


@dataclass
class Made:
    netuid: Netuid
    owner: Keypair
    hotkey: Keypair
    """The owner's hotkey, uid 0: it may set weights without a permit."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(chain: Chain) -> Made:
    owner, hotkey = fresh("Owner"), fresh("Hot")
    await chain.transfer(ALICE, owner.ss58_address, rao(20_000))
    netuid = (await chain.register_network(owner, hotkey.ss58_address)).netuid
    await chain.start_call(owner, netuid)
    limits = [
        Call("AdminUtils", "sudo_set_weights_set_rate_limit", {"netuid": netuid, "weights_set_rate_limit": 0}),
        Call("AdminUtils", "sudo_set_serving_rate_limit", {"netuid": netuid, "serving_rate_limit": 0}),
        Call("AdminUtils", "sudo_set_commit_reveal_weights_enabled", {"netuid": netuid, "enabled": False}),
    ]
    await chain.batch(ALICE, [calls.sudo(call) for call in limits])
    return Made(netuid, owner, hotkey)


# Money


async def test_stake_goes_both_ways(chain: Chain, made: Made) -> None:
    hotkey = made.hotkey.ss58_address
    await chain.add_stake(made.owner, hotkey, made.netuid, rao(100))
    staked = await chain.stake(hotkey, made.netuid)
    before = await chain.balance(made.owner.ss58_address)
    included = await chain.remove_stake(made.owner, hotkey, made.netuid, rao(40))
    assert await chain.stake(hotkey, made.netuid) == pytest.approx(staked - rao(40), abs=rao(10))  # emission goes on
    assert await chain.balance(made.owner.ss58_address) == before + rao(40) - included.fee
    limited = await chain.add_stake(made.owner, hotkey, made.netuid, rao(1), limit_price=rao(2))
    assert limited.event("SubtensorModule", "StakeAdded") is not None
    with pytest.raises(ExtrinsicFailed) as caught:
        await chain.remove_stake(ALICE, hotkey, made.netuid, rao(1))  # not her stake
    assert caught.value.name in ("NotEnoughStakeToWithdraw", "NonAssociatedColdKey", "AmountTooLow")


async def test_transfers_that_close_the_account(chain: Chain) -> None:
    poor, to = fresh(), fresh().ss58_address
    await chain.transfer(ALICE, poor.ss58_address, rao(1))
    with pytest.raises(ExtrinsicFailed):
        await chain.transfer(poor, to, Rao(rao(1) - 100))  # not enough for the fee as well
    await chain.transfer_all(poor, to, keep_alive=False)
    assert await chain.balance(poor.ss58_address) == 0
    assert await chain.balance(to) > rao("0.9")


async def test_ed25519_keys_sign_too(chain: Chain) -> None:
    from substrateinterface import Keypair, KeypairType

    key = Keypair.create_from_seed("0x" + secrets.token_hex(32), crypto_type=KeypairType.ED25519)
    await chain.transfer(ALICE, key.ss58_address, rao(2))
    call = calls.transfer(fresh().ss58_address, rao(1))
    estimate = await chain.estimate(call, key)
    assert (await chain.send(call, key, wait="finality")).fee == estimate.fee


# Fees


@pytest.mark.parametrize(
    ("call", "free"),
    [
        (calls.transfer(ALICE.ss58_address, 5), False),
        (weights.set_weights(1, [0], [1]), True),
        (calls.batch([calls.transfer(ALICE.ss58_address, 5)] * 3), False),
        (calls.sudo(calls.transfer(ALICE.ss58_address, 5)), False),
    ],
    ids=str,
)
async def test_an_estimate_needs_no_money_and_sends_nothing(chain: Chain, call: Call, free: bool) -> None:
    nobody = fresh()
    before = await chain.block_number()
    estimate = await chain.estimate(call, nobody)
    assert (estimate.fee == 0) is free
    assert estimate.call == str(call)
    assert (estimate.account, estimate.nonce) == (nobody.ss58_address, 0)
    assert estimate.ref_time > 0
    assert await chain.block_number() == before  # a block comes with each extrinsic here


async def test_the_fee_is_the_one_that_is_paid(chain: Chain) -> None:
    call = calls.transfer(fresh().ss58_address, rao(1))
    for tip in (0, 7_000_000):
        estimate = await chain.estimate(call, ALICE, tip=tip)
        included = await chain.send(call, ALICE, tip=tip)
        assert estimate.fee == included.fee
        assert bytes.fromhex(estimate.data[2:]) in bytes.fromhex((await _block(chain, included.block))[-1][2:])


async def _block(chain: Chain, number: int) -> list[str]:
    """A block's extrinsics, as the node has them."""
    found = await chain.block_hash(number)
    answer: dict[str, Any] = await chain._connection.read(lambda session: session.call("chain_getBlock", found))
    return list(answer["block"]["extrinsics"])


# Neurons


async def test_a_neuron_tells_where_it_is(chain: Chain, made: Made) -> None:
    hotkey = made.hotkey.ss58_address
    included = await chain.serve_axon(made.hotkey, made.netuid, "2001:db8::7", 8091, certificate=b"\x01" + b"k" * 64)
    assert included.fee == 0
    axon = (await chain.metagraph(made.netuid)).axons[0]
    assert axon is not None
    assert (axon.ip, axon.port, axon.ip_type) == ("2001:db8::7", 8091, 6)
    kept = await chain.query("SubtensorModule", "NeuronCertificates", made.netuid, hotkey)
    assert (kept["algorithm"], kept["public_key"]) == (1, "k" * 64)
    await chain.serve_prometheus(made.hotkey, made.netuid, "203.0.113.9", 9100)
    served = await chain.query("SubtensorModule", "Prometheus", made.netuid, hotkey)
    assert (served["ip"], served["port"]) == (0xCB007109, 9100)


@pytest.mark.parametrize(
    "data", ["model: sha256 abc", b"", b"\x00\xff" * 64, "0x41"], ids=["text", "none", "full", "hex"]
)
async def test_a_commitment(chain: Chain, made: Made, data: bytes | str) -> None:
    await chain.set_commitment(made.hotkey, made.netuid, data)
    kept = await chain.query("Commitments", "CommitmentOf", made.netuid, made.hotkey.ss58_address)
    ((found,),) = [one.values() for one in kept["info"]["fields"]]
    raw = data.encode() if isinstance(data, str) else data
    assert found in (raw.decode("latin-1"), "0x" + raw.hex(), raw)


# Delegation and identities


async def test_takes(chain: Chain, made: Made) -> None:
    hotkey = made.hotkey.ss58_address
    await chain.decrease_take(made.owner, hotkey, 6000)
    assert await chain.query("SubtensorModule", "Delegates", hotkey) == 6000
    with pytest.raises(ExtrinsicFailed):
        await chain.decrease_take(made.owner, hotkey, 7000)
    await chain.sudo(ALICE, "AdminUtils", "sudo_set_tx_delegate_take_rate_limit", {"tx_rate_limit": 0})
    await chain.increase_take(made.owner, hotkey, 7000)
    assert await chain.query("SubtensorModule", "Delegates", hotkey) == 7000
    await chain.set_childkey_take(made.owner, hotkey, made.netuid, 5000)
    assert await chain.query("SubtensorModule", "ChildkeyTake", hotkey, made.netuid) == 5000


async def test_children(chain: Chain, made: Made) -> None:
    child = fresh("Child").ss58_address
    included = await chain.set_children(made.owner, made.hotkey.ss58_address, made.netuid, {child: 0.25})
    event = included.event("SubtensorModule", "SetChildrenScheduled")
    assert event is not None
    assert (2**64 // 4 - 1, child) in [tuple(pair) for pair in tuple(event.attributes)[3]]


async def test_identities(chain: Chain, made: Made) -> None:
    await chain.set_identity(made.owner, {"name": "0x41", "url": "https://example.org"})
    known = await chain.query("SubtensorModule", "IdentitiesV2", made.owner.ss58_address)
    assert (known["name"], known["url"]) == ("0x41", "https://example.org")
    await chain.set_subnet_identity(
        made.owner, made.netuid, {"subnet_name": "digits", "logo_url": "https://example.org"}
    )
    known = await chain.query("SubtensorModule", "SubnetIdentitiesV3", made.netuid)
    assert (known["subnet_name"], known["logo_url"]) == ("digits", "https://example.org")
    with pytest.raises(ExtrinsicFailed) as caught:
        await chain.set_subnet_identity(BOB, made.netuid, {"subnet_name": "mine"})
    assert caught.value.name in ("NotSubnetOwner", "BadOrigin")


# Weights


async def test_weights_in_the_open(chain: Chain, made: Made) -> None:
    await chain.set_weights(made.hotkey, made.netuid, [0], [65535])
    assert (await chain.weights(made.netuid))[0] == [(0, 65535)]  # type: ignore[index]
    await chain.batch_set_weights(made.hotkey, [(made.netuid, {0: 65535}, 0)])
    with pytest.raises(ExtrinsicFailed) as caught:
        await chain.set_weights(made.hotkey, made.netuid, [0], [1], mechanism=7)
    assert caught.value.name == "MechanismDoesNotExist"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def committing(chain: Chain, made: Made) -> AsyncIterator[Made]:
    switch = ("AdminUtils", "sudo_set_commit_reveal_weights_enabled")
    await chain.sudo(ALICE, *switch, {"netuid": made.netuid, "enabled": True})
    yield made
    await chain.sudo(ALICE, *switch, {"netuid": made.netuid, "enabled": False})


async def test_a_commit_is_revealed_in_its_epoch(chain: Chain, node: Devnet, committing: Made) -> None:
    key, netuid = committing.hotkey, committing.netuid
    await _next_epoch(chain, node, netuid)  # so that the next block is not the last of its epoch
    commit = WeightCommit.fresh(key.ss58_address, netuid, [0], [65535], version_key=1)
    included = await chain.commit_weights(key, commit)
    assert included.fee == 0
    event = included.event("SubtensorModule", "WeightsCommitted")
    assert event is not None
    assert tuple(event.attributes)[2] == commit.hash
    with pytest.raises(ExtrinsicFailed) as caught:
        await chain.reveal_weights(key, commit)
    assert (caught.value.name, caught.value.where) == ("RevealTooEarly", "pool")
    first = await chain.reveal_block(netuid, included.block)
    node.new_blocks(first - 2 - await chain.block_number())
    with pytest.raises(ExtrinsicFailed) as caught:
        await chain.reveal_weights(key, commit)
    assert caught.value.name == "RevealTooEarly"
    node.new_blocks(first - 1 - await chain.block_number())
    other = WeightCommit.from_dict(commit.as_dict() | {"salt": [1]})
    with pytest.raises(ExtrinsicFailed) as caught:
        await chain.reveal_weights(key, other)
    assert caught.value.name == "NoWeightsCommitFound"
    revealed = await chain.reveal_weights(key, WeightCommit.from_dict(commit.as_dict()))
    assert revealed.block == first
    assert (await chain.weights(netuid))[0] == [(0, 65535)]  # type: ignore[index]


async def test_commits_in_batches(chain: Chain, node: Devnet, committing: Made) -> None:
    key, netuid = committing.hotkey, committing.netuid
    first, second = (WeightCommit.fresh(key.ss58_address, netuid, [0], [weight]) for weight in (1, 2))
    await _next_epoch(chain, node, netuid)
    await chain.batch_commit_weights(key, [first])
    await chain.batch_commit_weights(key, [second])
    await _next_epoch(chain, node, netuid)
    included = await chain.batch_reveal_weights(key, [first, second])
    assert included.event("SubtensorModule", "WeightsBatchRevealed") is not None


async def _next_epoch(chain: Chain, node: Devnet, netuid: int) -> None:
    due = await chain.next_epoch_block(netuid)
    assert due is not None
    node.new_blocks(due - await chain.block_number())


async def test_commits_of_another_mechanism(chain: Chain, node: Devnet, committing: Made) -> None:
    key, netuid = committing.hotkey, committing.netuid
    await _two_mechanisms(chain, netuid)
    commit = WeightCommit.fresh(key.ss58_address, netuid, [0], [65535], mechanism=1)
    await _next_epoch(chain, node, netuid)
    await chain.commit_weights(key, commit)
    await _next_epoch(chain, node, netuid)
    included = await chain.reveal_weights(key, commit)
    assert included.event("SubtensorModule", "WeightsRevealed") is not None
    stored = await chain.query("SubtensorModule", "Weights", weights.storage_index(netuid, 1), 0)
    assert [tuple(pair) for pair in stored] == [(0, 65535)]


async def _two_mechanisms(chain: Chain, netuid: int) -> None:
    uids = Call("AdminUtils", "sudo_set_max_allowed_uids", {"netuid": netuid, "max_allowed_uids": 64})
    count = Call("AdminUtils", "sudo_set_mechanism_count", {"netuid": netuid, "mechanism_count": 2})
    await chain.batch(ALICE, [calls.sudo(uids), calls.sudo(count)])


@pytest.mark.parametrize("mechanism", [0, 1])
async def test_a_time_locked_commit_arrives_as_it_was_made_and_is_refused_by_name(
    chain: Chain, committing: Made, mechanism: int
) -> None:
    pytest.importorskip("bittensor_drand", reason="the extra drand is not installed")
    key, netuid = committing.hotkey, committing.netuid
    await _two_mechanisms(chain, netuid)
    made = await chain.timelock(key.ss58_address, netuid, [0], [65535], mechanism=mechanism)
    now = await chain.block_number()
    assert now < made.reveal_block <= now + 2 * 5 + 1
    with pytest.raises(ExtrinsicFailed) as caught:
        await chain.send(made.call, key)
    assert caught.value.name == "CallDisabled"
    sent = bytes.fromhex((await _block(chain, await chain.block_number()))[-1][2:])
    commit = bytes.fromhex(made.call.params["commit"][2:])
    mecid = bytes([1]) if mechanism else b""
    tail = weights.compact(len(commit)) + commit + made.reveal_round.to_bytes(8, "little") + (4).to_bytes(2, "little")
    assert sent.endswith(netuid.to_bytes(2, "little") + mecid + tail)
    with pytest.raises(ExtrinsicFailed) as caught:
        await chain.commit_timelocked_weights(key, netuid, [0], [1], mechanism=mechanism)
    assert caught.value.name == "CallDisabled"


# Calls that hold calls


async def test_a_batch_is_all_or_nothing(chain: Chain) -> None:
    to = fresh().ss58_address
    good, bad = calls.transfer(to, rao(1)), calls.transfer(to, 10**18)
    included = await chain.batch(ALICE, [good, good])
    assert included.event("Utility", "BatchCompleted") is not None
    with pytest.raises(ExtrinsicFailed) as caught:
        await chain.batch(ALICE, [good, bad, good])
    assert caught.value.where == "block"
    assert await chain.balance(to) == rao(2)


@pytest.mark.parametrize(("mode", "arrives"), [("until-failure", 1), ("each", 2)])
async def test_batches_that_go_on_say_which_call_failed(chain: Chain, mode: Any, arrives: int) -> None:
    to = fresh().ss58_address
    good, bad = calls.transfer(to, rao(1)), calls.transfer(to, 10**18)
    with pytest.raises(ExtrinsicFailed, match="call 1 of the batch") as caught:
        await chain.batch(ALICE, [good, bad, good], mode)
    assert (caught.value.where, caught.value.index) == ("batch", 1)
    assert caught.value.as_dict()["index"] == 1
    assert caught.value.name in ("FundsUnavailable", "InsufficientBalance", "NotExpendable")
    assert await chain.balance(to) == rao(arrives)


async def test_a_failed_sudo_inside_a_batch_is_a_failure(chain: Chain) -> None:
    bad = calls.sudo(Call("AdminUtils", "sudo_set_tempo", {"netuid": 65_000, "tempo": 10}))
    with pytest.raises(ExtrinsicFailed) as caught:
        await chain.batch(ALICE, [bad])
    assert caught.value.where == "sudo"


async def test_inner_calls_are_checked_by_name(chain: Chain) -> None:
    with pytest.raises(ChainError, match=r"Balances.burn takes|no call Balances.nothing"):
        await chain.batch(ALICE, [Call("Balances", "nothing")])
    with pytest.raises(ChainError, match=r"System.remark takes remark, not none"):
        await chain.send(calls.sudo(Call("System", "remark")), ALICE)
    with pytest.raises(ChainError, match="can't be encoded"):
        await chain.submit("System", "remark", {"remark": 5}, ALICE)
