"""What is read, against a node whose storage the test wrote; and lists of keys that lie."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from chain_peers import TRUTH, Altered, between, until
from hypothesis import given
from hypothesis import strategies as st

from subnet.chain import Chain, Datum, Event, Relation, Stake, scan
from subnet.chain.commitments import data_of
from subnet.chain.metagraph import storage_index
from subnet.chain.reads import from_hex
from subnet.chain.stakes import as_number
from subnet.chain.subnets import legacy_next_epoch
from subnet.chain.transport import Transport
from subnet.devnet import Devnet, devnet
from subnet.devnet.pallets.commitments import Commitments
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.errors import ChainError, ChainMalformed, ConfigError, NoSuchSubnet
from subnet.keys import load_key, public_key_of
from subnet.types import AxonInfo, Certificate, Rao

ALICE = load_key("//Alice").ss58_address
HOTKEYS = [load_key(f"//Read//{number}").ss58_address for number in range(4)]
COLD = load_key("//Read//cold").ss58_address
NOBODY = load_key("//Read//nobody").ss58_address
HOT = [public_key_of(hotkey) for hotkey in HOTKEYS]
N, SECOND = 5, 4096 + 5  # the subnet, and the storage index of its second mechanism


def a(address: str) -> bytes:
    return public_key_of(address)


# Plain rules


@given(st.integers(0, 2**32), st.integers(0, 65535), st.integers(1, 400))
def test_the_legacy_epoch_is_the_first_block_that_the_rule_names(now: int, netuid: int, tempo: int) -> None:
    due = legacy_next_epoch(now, netuid, tempo)
    assert now < due <= now + tempo + 1
    assert (due + netuid + 2) % (tempo + 1) == 0


def test_storage_values() -> None:
    assert from_hex(None) is None
    assert from_hex("0x0102") == b"\x01\x02"
    for lie in ("0xzz", 5, ["0x"], "0x1"):
        with pytest.raises(ChainMalformed):
            from_hex(lie)


def test_storage_indexes() -> None:
    assert storage_index(5, 0) == 5
    assert storage_index(5, 1) == SECOND
    assert storage_index(65_535, 0) == 65_535
    for netuid, mecid in ((5, -1), (5, 16), (5000, 1)):
        with pytest.raises(ValueError, match="no mechanism"):
            storage_index(netuid, mecid)


def test_shares_of_every_generation() -> None:
    assert as_number(None) == 0
    assert as_number(3) == 3
    assert as_number({"bits": 3 << 63}) == Fraction(3, 2)
    assert as_number({"mantissa": 15, "exponent": -1}) == Fraction(3, 2)
    for lie in ({"mantissa": 1, "exponent": 2**62}, {"mantissa": "1", "exponent": 1}, 1.5, "1"):
        with pytest.raises(ChainMalformed):
            as_number(lie)


def test_commitments_flat_and_nested() -> None:
    expected = [Datum("Raw", b"hi"), Datum("Sha256", b"\0" * 32), Datum("TimelockEncrypted", b"x", 7), Datum("Flag")]
    locked = {"TimelockEncrypted": {"encrypted": b"x", "reveal_round": 7}}
    flat = [{"Raw2": "0x6869"}, {"Sha256": "0x" + "00" * 32}, locked, "None", "Flag"]
    assert list(data_of(flat)) == expected
    assert list(data_of([[one] for one in flat])) == expected
    assert expected[0].text == "hi"
    for lie in ([5], [{"Raw2": 5}], [{"Raw2": "0xzz"}], [{"A": "0x", "B": "0x"}], [{"TimelockEncrypted": "hm"}]):
        with pytest.raises(ChainMalformed):
            list(data_of(lie))


# A node whose storage we wrote


@pytest.fixture(scope="module")
def node() -> Iterator[Devnet]:
    with devnet(production="manual") as running:
        yield running


@pytest_asyncio.fixture
async def chain(node: Devnet) -> AsyncIterator[Chain]:
    async with await Chain.connect(node.url, timeout=60.0) as connected:
        yield connected


def write(*values: tuple[Any, tuple[Any, ...], Any]) -> list[list[str]]:
    return [["0x" + item.key(*keys).hex(), "0x" + item.value.encode(to).hex()] for item, keys, to in values]


@pytest.fixture(scope="module")
def made(node: Devnet) -> int:
    """Subnet 5: four neurons, two mechanisms, a bit of everything. Returns the block that has it."""
    address = {"ip": 0xCB007107, "port": 9000, "ip_type": 4, "version": 2, "block": 3}
    axon = address | {"protocol": 4, "placeholder1": 0, "placeholder2": 0}
    vectors = [
        (S.Active, [True] * 4),
        (S.Consensus, [1, 2, 3, 4]),
        (S.Incentive, [0, 0, 65535, 9]),
        (S.Dividends, [65535, 0, 0, 0]),
        (S.ValidatorTrust, [65535]),  # shorter: not written since the last neuron came
        (S.Emission, [10, 20, 2**63, 40]),
        (S.LastUpdate, [1, 2, 3, 4]),
        (S.ValidatorPermit, [True, False, False, True]),
        (S.StakeWeight, [65535, 1, 2, 3]),
    ]
    texts = {"name": b"Cold", "url": b"https://cold", "github_repo": b"g", "image": b"", "discord": b"d"}
    identity = texts | {"description": "h\u00e9".encode(), "additional": b"\xff"}
    named = {"subnet_name": b"Five", "github_repo": b"g", "subnet_contact": b"c", "subnet_url": b"u"}
    described = named | {"discord": b"d", "description": b"x", "logo_url": b"l", "additional": b""}
    commitment = {"deposit": 0, "block": 4, "info": {"fields": [("Raw2", b"hi"), ("Sha256", b"\1" * 32)]}}
    values: list[tuple[Any, tuple[Any, ...], Any]] = [
        (S.NetworksAdded, (N,), True),
        (S.SubnetworkN, (N,), 4),
        (S.Tempo, (N,), 50_000),
        (S.SubnetOwner, (N,), a(COLD)),
        (S.SubnetOwnerHotkey, (N,), HOT[0]),
        (S.NetworkRegisteredAt, (N,), 1),
        (S.TokenSymbol, (N,), "α".encode()),
        (S.SubtokenEnabled, (N,), True),
        (S.PendingServerEmission, (N,), 5),
        (S.PendingValidatorEmission, (N,), 6),
        (S.MechanismCountCurrent, (N,), 2),
        (S.SubnetIdentitiesV3, (N,), described),
        (S.IdentitiesV2, (a(COLD),), identity),
        *((item, (N,), to) for item, to in vectors),
        (S.Incentive, (SECOND,), [7, 7, 7, 7]),
        (S.LastUpdate, (SECOND,), [9, 9, 9, 9]),
        *((S.Keys, (N, uid), key) for uid, key in enumerate(HOT)),
        *((S.Uids, (N, key), uid) for uid, key in enumerate(HOT)),
        *((S.BlockAtRegistration, (N, uid), uid + 1) for uid in range(4)),
        *((S.Owner, (key,), a(COLD)) for key in HOT),
        *((S.TotalHotkeyAlpha, (key, N), 100 + place) for place, key in enumerate(HOT)),
        (S.TotalHotkeyAlpha, (HOT[0], 0), 7),
        (S.Axons, (N, HOT[1]), axon),
        (S.Prometheus, (N, HOT[1]), address),
        (S.NeuronCertificates, (N, HOT[1]), {"public_key": b"certificate", "algorithm": 4}),
        (S.Weights, (N, 0), [(1, 100), (2, 65535), (9, 5)]),  # 9 was trimmed
        (S.Weights, (N, 3), [(2, 1), (0, 3)]),
        (S.Weights, (SECOND, 3), [(0, 1)]),
        (S.Bonds, (N, 0), [(2, 8)]),
        (S.StakingHotkeys, (a(COLD),), [HOT[0], HOT[1], HOT[2]]),
        (S.OwnedHotkeys, (a(COLD),), [HOT[2], HOT[3]]),
        # decimal shares; fixed-point ones of before; both, of which the decimal count; none left
        (S.AlphaV2, (HOT[0], a(COLD), N), {"mantissa": 25, "exponent": -2}),
        (S.AlphaV2, (HOT[0], a(NOBODY), N), {"mantissa": 75, "exponent": -2}),
        (S.TotalHotkeySharesV2, (HOT[0], N), {"mantissa": 1, "exponent": 0}),
        (S.AlphaV2, (HOT[0], a(COLD), 0), {"mantissa": 1, "exponent": 0}),
        (S.TotalHotkeySharesV2, (HOT[0], 0), {"mantissa": 1, "exponent": 0}),
        (S.Alpha, (HOT[1], a(COLD), N), {"bits": 1 << 64}),
        (S.TotalHotkeyShares, (HOT[1], N), {"bits": 2 << 64}),
        (S.Alpha, (HOT[3], a(COLD), N), {"bits": 99 << 64}),
        (S.AlphaV2, (HOT[3], a(COLD), N), {"mantissa": 5, "exponent": 0}),
        (S.TotalHotkeySharesV2, (HOT[3], N), {"mantissa": 5, "exponent": 0}),
        (S.AlphaV2, (HOT[2], a(COLD), N), {"mantissa": 0, "exponent": 0}),
        (S.ChildKeys, (HOT[0], N), [(2**64 - 1, HOT[1])]),
        (S.ParentKeys, (HOT[1], N), [(2**64 - 1, HOT[0])]),
        (S.Delegates, (HOT[0],), 6553),
        (S.ChildkeyTake, (HOT[0], N), 655),
        (S.WeightCommits, (N, HOT[0]), [(b"\1" * 32, 3, 10, 20), (b"\2" * 32, 4, 20, 30)]),
        (S.WeightCommits, (SECOND, HOT[1]), [(b"\3" * 32, 5, 6, 7)]),
        (S.TimelockedWeightCommits, (N, 12), [(HOT[0], 3, b"sealed", 1000)]),
        (Commitments.CommitmentOf, (N, HOT[0]), commitment),
    ]
    pairs = write(*values)

    async def store() -> int:
        async with await Chain.connect(node.url, timeout=60.0) as writer:
            await writer._connection.run(lambda session: session.call("dev_setStorage", pairs))
            return await writer.block_number()

    return asyncio.run(store())


pytestmark = pytest.mark.usefixtures("made")


async def test_the_metagraph_has_all_columns(chain: Chain) -> None:
    found = await chain.metagraph(N)
    assert (found.netuid, found.tempo, found.owner_hotkey, found.mecid) == (N, 50_000, HOTKEYS[0], 0)
    assert found.hotkeys == tuple(HOTKEYS)
    assert found.coldkeys == (COLD,) * 4
    assert found.incentive.tolist() == [0, 0, 65535, 9]
    assert found.validator_trust.tolist() == [65535, 0, 0, 0]
    assert found.emission.tolist() == [10, 20, 2**63, 40]
    assert found.stake.tolist() == [100, 101, 102, 103]
    assert found.tao_stake.tolist() == [7, 0, 0, 0]
    assert found.stake_weight.tolist() == [65535, 1, 2, 3]
    assert found.validator_permit.tolist() == [True, False, False, True]
    assert found.block_at_registration.tolist() == [1, 2, 3, 4]
    assert 0 < found.tao_weight < 1
    served = AxonInfo("203.0.113.7", 9000, 4, protocol=4, version=2, block=3)
    assert found.axons == (None, served, None, None)
    assert found.prometheus[1] == AxonInfo("203.0.113.7", 9000, 4, protocol=0, version=2, block=3)
    assert found.certificates == (None, Certificate(b"certificate", 4), None, None)
    assert found.neurons[0].tao_stake == 7


async def test_snapshots_do_not_change(chain: Chain) -> None:
    found = await chain.metagraph(N)
    matrix = await chain.weight_matrix(N)
    history = await chain.history(N, 0, 1, 1)
    for array in (found.stake, found.tao_stake, matrix.data, matrix.indices, matrix.indptr, history.stake):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        found.tempo = 1  # type: ignore[misc]


async def test_mechanisms_have_their_own_columns_and_matrices(chain: Chain) -> None:
    assert await chain.mechanism_count(N) == 2
    with pytest.raises(NoSuchSubnet):
        await chain.mechanism_count(99)
    found = await chain.metagraph(N, mecid=1)
    assert (found.mecid, found.incentive.tolist(), found.last_update.tolist()) == (1, [7] * 4, [9] * 4)
    assert found.dividends.tolist() == [65535, 0, 0, 0]
    assert await chain.weights(N, mecid=1) == {3: [(0, 1)]}
    assert [commit.hotkey for commit in await chain.weight_commits(N, mecid=1)] == [HOTKEYS[1]]
    for read in (chain.metagraph, chain.weight_matrix):
        with pytest.raises(ChainError, match="no mechanism 2") as caught:
            await read(N, mecid=2)
        assert "0 to 1" in caught.value.remedy


async def test_a_metagraph_without_extras_has_them_empty() -> None:
    from subnet.types import Block, Coldkey, Hotkey, Metagraph, Netuid

    u64, u16, flags = np.zeros(1, np.uint64), np.zeros(1, np.uint16), np.zeros(1, np.bool_)
    shares = {name: u16.copy() for name in ("consensus", "incentive", "dividends", "validator_trust")}
    blocks = {name: u64.copy() for name in ("stake", "emission", "last_update", "block_at_registration")}
    switches = {"active": flags.copy(), "validator_permit": flags.copy()}
    place: Any = {"netuid": Netuid(1), "block": Block(1), "block_hash": "0x", "tempo": 1}
    keys: Any = {"hotkeys": (Hotkey("a"),), "coldkeys": (Coldkey("b"),), "axons": (None,)}
    found = Metagraph(**place, **keys, **shares, **blocks, **switches)
    assert (found.prometheus, found.certificates) == ((None,), (None,))
    assert (found.tao_stake.tolist(), found.stake_weight.dtype) == ([0], np.uint16)


async def test_weights_as_rows_and_as_a_matrix(chain: Chain) -> None:
    assert await chain.weights(N) == {0: [(1, 100), (2, 65535), (9, 5)], 3: [(2, 1), (0, 3)]}
    matrix = await chain.weight_matrix(N)
    assert (matrix.shape, matrix.dtype, matrix.format) == ((4, 4), np.uint16, "csr")
    assert matrix.toarray().tolist() == [[0, 100, 65535, 0], [0] * 4, [0] * 4, [3, 0, 1, 0]]
    assert (await chain.bond_matrix(N)).toarray()[0].tolist() == [0, 0, 8, 0]
    assert (await chain.weight_matrix(0)).shape == (0, 0)
    for read in (chain.weights, chain.weight_matrix, chain.bond_matrix):
        with pytest.raises(NoSuchSubnet):
            await read(77)


async def test_subnets_and_their_details(chain: Chain) -> None:
    assert await chain.subnets() == [0, N]
    assert await chain.subnets(0) == [0]
    found = await chain.subnet(N)
    assert (found.owner, found.owner_hotkey, found.neurons, found.tempo) == (COLD, HOTKEYS[0], 4, 50_000)
    assert (found.started, found.registration_open, found.registered_at, found.mechanisms) == (True, True, 1, 2)
    assert (found.symbol, found.pending) == ("α", 11)
    assert found.identity is not None
    assert (found.identity.name, found.identity.contact, found.identity.github) == ("Five", "c", "g")
    assert [one.netuid for one in await chain.subnet_details()] == [0, N]
    assert await chain.burn(N) == found.burn > 0
    with pytest.raises(NoSuchSubnet):
        await chain.subnet(77)


async def test_what_a_network_costs_is_what_the_node_says(chain: Chain, node: Devnet) -> None:
    cost = await chain.network_cost()
    said = await chain._connection.run(
        lambda s: s.call("state_call", "SubnetRegistrationRuntimeApi_get_network_registration_cost", "0x")
    )
    assert cost == int.from_bytes(bytes.fromhex(said[2:]), "little")


async def test_balances_of_many(chain: Chain) -> None:
    found = await chain.balances([ALICE, NOBODY, COLD])
    assert found == {ALICE: await chain.balance(ALICE), NOBODY: 0, COLD: 0}
    assert found[ALICE] > 0
    assert await chain.balance(NOBODY, 0) == 0


async def test_stakes_by_coldkey_and_by_hotkey(chain: Chain) -> None:
    def stake(place: int, coldkey: str, netuid: int, alpha: int) -> Stake:
        return Stake(HOTKEYS[place], coldkey, netuid, Rao(alpha))  # type: ignore[arg-type]

    mine = [stake(0, COLD, 0, 7), stake(0, COLD, N, 25), stake(1, COLD, N, 50), stake(3, COLD, N, 103)]
    assert sorted(await chain.stakes_of(COLD), key=str) == sorted(mine, key=str)
    assert await chain.stakes_of(NOBODY) == ()  # the chain keeps no list of its hotkeys
    on_first = {(one.coldkey, one.netuid): one.alpha for one in await chain.stakes_on(HOTKEYS[0])}
    assert on_first == {(COLD, 0): 7, (COLD, N): 25, (NOBODY, N): 75}
    assert {one.coldkey for one in await chain.stakes_on(HOTKEYS[0], N)} == {COLD, NOBODY}
    assert await chain.stake(HOTKEYS[0], N) == 100


async def test_identities_and_relations(chain: Chain) -> None:
    found = await chain.identities([COLD, NOBODY])
    assert found[NOBODY] is None
    identity = await chain.identity(COLD)
    assert identity == found[COLD]
    assert identity is not None
    assert (identity.name, identity.github, identity.description, identity.additional) == ("Cold", "g", "hé", "\ufffd")
    assert await chain.children(HOTKEYS[0], N) == (Relation(HOTKEYS[1], 2**64 - 1),)  # type: ignore[arg-type]
    assert (await chain.parents(HOTKEYS[1], N))[0].share == 1.0
    assert await chain.children(HOTKEYS[2], N) == ()
    assert (await chain.delegate_take(HOTKEYS[0]), await chain.childkey_take(HOTKEYS[0], N)) == (6553, 655)


async def test_commitments(chain: Chain) -> None:
    found = await chain.commitment(N, HOTKEYS[0])
    assert found is not None
    assert (found.block, found.data) == (4, (Datum("Raw", b"hi"), Datum("Sha256", b"\1" * 32)))
    assert await chain.commitments(N) == {HOTKEYS[0]: found}
    assert await chain.commitment(N, HOTKEYS[1]) is None


async def test_open_weight_commits(chain: Chain) -> None:
    first, second = await chain.weight_commits(N)
    assert (first.hotkey, first.hash) == (HOTKEYS[0], "0x" + "01" * 32)
    assert (first.epoch, second.first_reveal, second.last_reveal) == (3, None, None)
    assert await chain.weight_commits(N, HOTKEYS[0]) == (first, second)
    assert await chain.weight_commits(N, HOTKEYS[1]) == ()
    (sealed,) = await chain.timelocked_commits(N)
    assert (sealed.hotkey, sealed.epoch, sealed.block) == (HOTKEYS[0], 12, 3)
    assert (sealed.data, sealed.reveal_round) == (b"sealed", 1000)


async def test_events_of_a_block(chain: Chain, node: Devnet) -> None:
    events = await chain.events()
    assert any(event[:2] == ("System", "ExtrinsicSuccess") and event.extrinsic == 0 for event in events)
    task = asyncio.ensure_future(chain.transfer(load_key("//Alice"), ALICE, Rao(5)))
    await until(lambda: task.done() or len(node.node.pool) == 1)
    await asyncio.to_thread(node.new_blocks, 1)
    included = await task
    found = [event for event in await chain.events(included.block) if event.extrinsic == 1]
    assert tuple(found) == included.events
    assert found[0] == Event("Balances", "Withdraw", found[0].attributes, 1)


async def test_maps_of_any_item(chain: Chain) -> None:
    assert await chain.query_map("SubtensorModule", "Keys", N) == dict(enumerate(HOTKEYS))
    whole = await chain.query_map("SubtensorModule", "Keys")
    assert whole[N, 3] == HOTKEYS[3]
    assert await chain.query("SubtensorModule", "Keys", N, 3) == HOTKEYS[3]
    for keys, words in ((("x",), "no integer"), ((1, 2, 3), "takes 2 keys")):
        with pytest.raises(ChainError, match=words):
            await chain.query_map("SubtensorModule", "Keys", *keys)
    with pytest.raises(ChainError, match="no storage item"):
        await chain.query_map("SubtensorModule", "NoSuchItem")
    with pytest.raises(ChainError, match="takes 2 keys"):
        await chain.query("SubtensorModule", "Keys", N)


async def test_a_neuron_s_history(chain: Chain, node: Devnet, made: int) -> None:
    last = await chain.block_number()
    pairs = write(
        (S.Incentive, (N,), [0, 0, 11, 9]), (S.Keys, (N, 2), a(NOBODY)), (S.TotalHotkeyAlpha, (a(NOBODY), N), 3)
    )
    await chain._connection.run(lambda session: session.call("dev_setStorage", pairs))
    try:
        found = await chain.history(N, 2, made - 1, last + 1)
        assert len(found) == last - made + 3
        assert found.block.tolist() == list(range(made - 1, last + 2))
        assert (found.hotkey[0], found.hotkey[1], found.hotkey[-1]) == (None, HOTKEYS[2], NOBODY)
        assert found.incentive.tolist()[:2] == [0, 65535]
        assert (found.incentive[-1], found.incentive.dtype) == (11, np.uint16)
        assert (found.stake[0], found.stake[1], found.stake[-1]) == (0, 102, 3)
        assert (await chain.history(N, 2, 0, last, 1000)).block.tolist() == [0]
        assert (await chain.history(N, 2, last, last, mecid=1)).incentive.tolist() == [7]
        with pytest.raises(ChainError, match=f"no block {last + 2}"):
            await chain.history(N, 2, last, last + 2)
        for first, end in ((5, 4), (0, 10_000)):
            with pytest.raises(ValueError, match="takes 1 to"):
                await chain.history(N, 2, first, end)
    finally:
        back = write((S.Incentive, (N,), [0, 0, 65535, 9]), (S.Keys, (N, 2), HOT[2]))
        await chain._connection.run(lambda session: session.call("dev_setStorage", back))


async def test_a_history_takes_few_round_trips(chain: Chain, node: Devnet, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.to_thread(node.new_blocks, 100)
    last = await chain.block_number()
    turns: list[int] = []
    calls = Transport.calls

    def counted(transport: Transport, batch: Any) -> Any:
        turns.append(len(batch))
        return calls(transport, batch)

    monkeypatch.setattr(Transport, "calls", counted)
    assert len(await chain.history(N, 2, last - 99, last)) == 100
    assert len(turns) <= 6


async def test_tables_for_pandas(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas

    found = await chain.metagraph(N)
    frame = found.to_pandas()
    assert frame.index.name == "uid"
    assert frame.loc[2, ["hotkey", "incentive"]].tolist() == [HOTKEYS[2], 65535]
    assert frame["emission"].dtype == np.uint64
    last = await chain.block_number()
    history = (await chain.history(N, 1, last, last)).to_pandas()
    assert history.loc[last, "stake"] == 101
    stakes = pandas.DataFrame(await chain.stakes_on(HOTKEYS[0], N))
    assert stakes.groupby("netuid")["alpha"].sum().to_dict() == {N: 100}
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match="pandas is not installed") as caught:
        found.to_pandas()
    assert "pip install pandas" in caught.value.remedy


# Nodes that lie


@asynccontextmanager
async def lied_to(node: Devnet, lie: Any) -> AsyncIterator[tuple[Any, Chain]]:
    async with between(node.url, lie) as middle, await Chain.connect(middle.url, timeout=60.0) as chain:
        yield middle, chain


PREFIX = "0x" + S.NetworksAdded.prefix.hex()


@pytest.mark.parametrize(
    "page",
    [
        None,
        "0x",
        [1],
        [None],
        [PREFIX + "zz00"],
        [PREFIX + "0000", PREFIX + "0000"],
        [PREFIX + "0100", PREFIX + "0000"],
        ["0x" + "ab" * 34],
        [PREFIX + "00" * 600],
        [PREFIX + "000"],
        [PREFIX + f"{number:04x}" for number in range(1001)],
    ],
    ids=[
        "none",
        "text",
        "number",
        "null",
        "no hex",
        "twice",
        "backwards",
        "elsewhere",
        "long",
        "half a byte",
        "too many",
    ],
)
async def test_pages_that_lie(node: Devnet, page: Any) -> None:
    async with lied_to(node, lambda m, p: page if m == "state_getKeysPaged" else TRUTH) as (_, chain):
        with pytest.raises(ChainMalformed):
            await chain.subnets()


async def test_a_page_that_comes_again_and_again_ends_the_walk(node: Devnet) -> None:
    page = [PREFIX + f"{number:04x}" for number in range(1000)]
    async with lied_to(node, lambda m, p: page if m == "state_getKeysPaged" else TRUTH) as (middle, chain):
        with pytest.raises(ChainMalformed, match="circle"):
            await chain.subnets()
        assert middle.asked.count("state_getKeysPaged") == 2


async def test_pages_without_end_are_left(node: Devnet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_KEYS", 3000)
    prefix = "0x" + S.Keys.key(N).hex()

    def lie(method: str, params: list[Any]) -> Any:
        if method != "state_getKeysPaged":
            return TRUTH
        start = int(params[2][len(prefix) :], 16) + 1 if params[2] else 0
        return [f"{prefix}{number:04x}" for number in range(start, start + 1000)]

    async with lied_to(node, lie) as (middle, chain):
        with pytest.raises(ChainError, match="more than 3000 entries"):
            await chain.query_map("SubtensorModule", "Keys", N)
        assert middle.asked.count("state_getKeysPaged") == 4


async def test_values_without_measure_are_left(node: Devnet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_BYTES", 100)
    async with lied_to(node, lambda m, p: TRUTH) as (_, chain):
        with pytest.raises(ChainError, match="more than 100 bytes"):
            await chain.query_map("SubtensorModule", "Keys", N)


async def test_rows_that_name_a_uid_twice_are_malformed(node: Devnet) -> None:
    key = "0x" + S.Weights.key(N, 0).hex()
    row = "0x" + S.Weights.value.encode([(1, 5), (1, 6)]).hex()

    def swap(answers: Any) -> Any:
        return [{**answers[0], "changes": [[k, row if k == key else v] for k, v in answers[0]["changes"]]}]

    async with lied_to(node, lambda m, p: Altered(swap) if m == "state_queryStorageAt" else TRUTH) as (_, chain):
        with pytest.raises(ChainMalformed, match="names a uid twice"):
            await chain.weight_matrix(N)


async def test_whatever_values_a_node_makes_up_only_chain_errors_come_out(node: Devnet) -> None:
    """Each read on made-up values: an answer or a ChainError, in bounded time; drawn by a fixed seed."""
    import random

    dice = random.Random(7)

    def made_up(answers: Any) -> Any:
        def value(old: str | None) -> str | None:
            if old is None or dice.random() < 0.5:
                return old
            data = bytearray(bytes.fromhex(old[2:]) or b"\0")
            match dice.randrange(4):
                case 0:
                    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
                case 1:
                    del data[dice.randrange(len(data)) :]
                case 2:
                    data += dice.randbytes(dice.randrange(1, 40))
                case 3:
                    data = bytearray(b"\xfe\xff\xff\xff") + data
            return "0x" + data.hex()

        return [{**answers[0], "changes": [[k, value(v)] for k, v in answers[0]["changes"]]}]

    async with lied_to(node, lambda m, p: Altered(made_up) if m == "state_queryStorageAt" else TRUTH) as (_, chain):
        reads = [
            lambda: chain.metagraph(N),
            lambda: chain.weights(N),
            lambda: chain.weight_matrix(N),
            lambda: chain.hyperparameters(N),
            lambda: chain.subnet_details(),
            lambda: chain.subnets(),
            lambda: chain.balances([ALICE, COLD]),
            lambda: chain.stakes_of(COLD),
            lambda: chain.stakes_on(HOTKEYS[0]),
            lambda: chain.identity(COLD),
            lambda: chain.children(HOTKEYS[0], N),
            lambda: chain.delegate_take(HOTKEYS[0]),
            lambda: chain.commitments(N),
            lambda: chain.weight_commits(N),
            lambda: chain.timelocked_commits(N),
            lambda: chain.events(),
            lambda: chain.next_epoch_block(N),
            lambda: chain.mechanism_count(N),
            lambda: chain.network_cost(),
            lambda: chain.history(N, 0, 1, 1),
        ]
        outcomes = {True: 0, False: 0}
        for _ in range(6):
            for read in reads:
                try:
                    await read()
                    outcomes[True] += 1
                except ChainError:
                    outcomes[False] += 1
        assert min(outcomes.values()) > 10
