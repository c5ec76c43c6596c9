"""A genesis file: what it declares is there in block 0, and what is wrong in it is named by line and field."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.chain.hyperparameters import Hyperparameters
from subnet.devnet import devnet
from subnet.devnet import genesis_file as files
from subnet.devnet.accounts import DEVELOPMENT
from subnet.devnet.chain import Chain
from subnet.devnet.context import Spec
from subnet.devnet.genesis import open_chain
from subnet.devnet.pallets.admin import SETTERS
from subnet.devnet.pallets.balances import Balances, free
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_staking import stake_of
from subnet.devnet.pallets.system import System
from subnet.devnet.pallets.utility import Sudo
from subnet.devnet.state import Store
from subnet.errors import DevnetError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "genesis.toml"
TAO = 10**9
ALICE, BOB, CHARLIE = (account.public_key for account in DEVELOPMENT[:3])
Make = Callable[[str], Chain]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def one(text: str, **spec: Any) -> Chain:
        path = tmp_path / "genesis.toml"
        path.write_text(text)
        return open_chain(Store(None), Spec(**spec), DEVELOPMENT, 1000 * TAO, path)

    return one


def subnet(more: str = "", neuron: str = "") -> str:
    return f'[[subnets]]\nowner = "//Alice"\n{more}\n[[subnets.neurons]]\nhotkey = "//h"\n{neuron}\n'


def test_the_example_is_what_the_chain_begins_with() -> None:
    chain = open_chain(Store(None), Spec(), DEVELOPMENT, 1000 * TAO, EXAMPLE)
    state = chain.state
    keys = {uid: state.get(S.Keys, 1, uid) for uid in range(4)}
    assert chain.head.number == 0
    assert state.get(Sudo.Key) == ALICE
    assert state.get(S.SubnetworkN, 1) == 4
    assert [state.get(S.Owner, keys[uid]) for uid in range(4)] == [ALICE, BOB, CHARLIE, CHARLIE]
    assert stake_of(state, keys[1], BOB, 1) == 1000 * TAO
    assert free(state, BOB) == free(state, ALICE) == 1000 * TAO
    assert state.get(S.ValidatorPermit, 1) == [False, True, False, False]
    assert state.get(S.Weights, 1, 1) == [(2, 65535), (3, round(65535 * 3 / 7))]
    assert state.get(S.Delegates, keys[1]) == int(0.09 * 65535)
    axon = state.get(S.Axons, 1, keys[2])
    assert axon is not None
    assert (axon["ip"], axon["port"], axon["ip_type"]) == (0x7F000001, 8091, 4)
    assert state.get(S.Tempo, 1) == 10
    assert state.get(S.CommitRevealWeightsEnabled, 1) is False
    assert state.get(S.WeightsSetRateLimit, 1) == state.get(S.NetworkRateLimit) == 0
    assert state.get(S.MaxAllowedValidators, 1) == 2
    # it lives: an epoch pays the miners by the declared weights
    for _ in range(25):
        chain.build([])
    incentive = state.get(S.Incentive, 1)
    assert incentive[2] > incentive[3] > 0
    assert incentive[:2] == [0, 0]
    chain.store.close()


def test_the_ledger_holds() -> None:
    chain = open_chain(Store(None), Spec(), DEVELOPMENT, 1000 * TAO, EXAMPLE)
    state = chain.state
    accounts = [free(state, who) for (who,) in state.keys(System.Account)]
    assert sum(accounts) == state.get(Balances.TotalIssuance)
    assert state.get(S.TotalStake) == state.get(S.SubnetTAO, 1)
    chain.store.close()


def test_the_page_has_the_example() -> None:
    page = (ROOT / "docs/reference/genesis.md").read_text()
    assert f"```toml\n{EXAMPLE.read_text()}```" in page


def test_the_page_names_every_field() -> None:
    page = (ROOT / "docs/reference/genesis.md").read_text()
    for kind in (files.Genesis, files.Subnet, files.Neuron):
        assert [name for name in kind.__struct_fields__ if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", [one.name for one in dataclasses.fields(Hyperparameters)])
def test_what_is_printed_can_be_set(make: Make, name: str) -> None:
    """But for what has a field of its own, or is not the subnet's to say."""
    fixed = ("pow_registration_allowed", "stake_threshold")  # proof of work is gone from head
    if name in ("netuid", "block_hash", "started", "registered_at", *fixed):
        return
    values = {"alpha_low": 20_000, "alpha_high": 60_000, "min_burn": 400_000_000, "burn": 10**9, "max_burn": 2 * 10**9}
    value = "true" if Hyperparameters.__annotations__[name] == "bool" else values.get(name, 2)
    make(subnet(f"hyperparameters.{name} = {value}")).store.close()


def test_names_of_calls_and_of_storage_set_the_same(make: Make) -> None:
    for setter in (one for one in SETTERS if one.name in ("immunity_period", "kappa", "weights_set_rate_limit")):
        for name in (setter.name, f"sudo_set_{setter.name}", setter.item.name):
            chain = make(subnet(f"[subnets.hyperparameters]\n{name} = 77"))
            assert chain.state.get(setter.item, 1) == 77
            chain.store.close()
    chain = make(subnet("hyperparameters = { Burn = 600000000, burn_increase_mult = 1.5 }"))
    assert chain.state.get(S.Burn, 1) == 600_000_000
    assert chain.state.get(S.BurnIncreaseMult, 1) == {"bits": 3 << 63}
    chain.store.close()


def test_a_subnet_that_has_not_started(make: Make) -> None:
    chain = make(subnet("started = false", "stake = 5") + subnet(neuron='coldkey = "//Alice"'))
    state = chain.state
    assert [state.get(S.SubtokenEnabled, netuid) for netuid in (1, 2)] == [False, True]
    assert [state.get(S.FirstEmissionBlockNumber, netuid) for netuid in (1, 2)] == [None, 1]
    assert state.get(S.TotalHotkeyAlpha, state.get(S.Keys, 1, 1), 1) == 5 * TAO
    chain.store.close()


@pytest.mark.parametrize(
    ("text", "line", "what", "remedy"),
    [
        ("sudoo = 1", 1, "sudoo: no such field", "Did you mean sudo?"),
        ("sudo = 1", 1, "Expected str, got int", "The fields are"),
        ("sudo = 'nobody'", 1, "no account", "URI"),
        ("a = [", None, "no TOML", "line"),
        ("[balances]\n'//X' = -1", 2, "no amount", "0 to 21,000,000"),
        ("[balances]\n'//X' = nan", 2, "no amount", "21,000,000"),
        ("[balances]\n'//X' = 0.0000000001", 2, "no amount", "nine decimal"),
        ("[balances]\n'//X' = 1e9999999999", None, "", ""),
        ("[network]\nnetwork_rate_limitt = 1", 2, "no such setting", "Did you mean network_rate_limit?"),
        ("[network]\nnetwork_rate_limit = -1", 2, "does not fit", "u64"),
        ("subnets = 5", 1, "Expected array", "fields"),
        (subnet(neuron="steak = 5"), 6, "subnets[0].neurons[0].steak: no such field", "Did you mean stake?"),
        (subnet(neuron="stake = 'much'"), 6, "decimal", ""),
        (subnet(neuron="axon = '127.0.0.1'"), 6, "no address", "8091"),
        (subnet(neuron="axon = '127.0.0.1:0'"), 6, "no address", "8091"),
        (subnet(neuron="axon = '255.255.255.255:1'"), 6, "InvalidIpAddress", ""),
        (subnet(neuron="take = 0.5"), 6, "out of bounds", "0.18"),
        (subnet(neuron="weights = { 7 = 1 }"), 6, "no uid for '7'", "uids or hotkeys"),
        (subnet(neuron="weights = { 1 = -1 }"), 6, "no weight", "ratios"),
        (subnet(neuron="coldkey = '//Bob'\n[[subnets.neurons]]\nhotkey = '//h'"), 8, "already", "of its own"),
        (subnet(neuron="coldkey = '//Bob'") + subnet(), 10, "has another one", "one coldkey"),
        (subnet(more="netuid = 2"), 3, "numbered from 1", "in order"),
        (subnet(more="hyperparameters = { tempo = true }"), 3, "does not fit", "u16"),
        (subnet(more="hyperparameters = { tempo = 70000 }"), 3, "does not fit", "u16"),
        (subnet(more="[subnets.hyperparameters]\nyuma3 = 1"), 4, "does not fit", "true or false"),
        (subnet(more="[subnets.hyperparameters]\nkapa = 1"), 4, "no such setting", "Did you mean kappa?"),
        (subnet(more="[subnets.hyperparameters]\nmax_uids = 1"), 4, "MaxAllowedUIdsLessThanCurrentUIds", "Change"),
        ("[[subnets]]\nowner = '5GNJqTPyNqANBkUVMN1LPPrxXnFouWXoe2wNSmmEoLctxiZY'", 1, "missing", "uid 0"),
        ("[[subnets]]\n" * 129, None, "129 of them", "at most 128"),
    ],
)
def test_what_is_wrong_is_named(make: Make, text: str, line: int | None, what: str, remedy: str) -> None:
    with pytest.raises(DevnetError) as caught:
        make(text)
    message = str(caught.value)
    assert "genesis.toml" in message
    assert what in message
    assert remedy in caught.value.remedy
    if line is not None:
        assert f"line {line}:" in message


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DevnetError, match="can't read"):
        files.GenesisFile(tmp_path / "none.toml")
    monkeypatch.setattr(files, "MAX_FILE", 10)
    with pytest.raises(DevnetError, match="larger than"):
        files.GenesisFile(EXAMPLE)


TOML = st.recursive(
    st.sampled_from(["1", "-1", "1.5", "true", "'x'", "'//Bob'", "nan", "[]", "{}", "'127.0.0.1:1'", "99999999999"]),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda ones: f"[{', '.join(ones)}]")
        | st.dictionaries(
            st.sampled_from(["hotkey", "stake", "tempo", "weights", "neurons", "1"]), inner, max_size=3
        ).map(lambda ones: "{" + ", ".join(f"{name} = {one}" for name, one in ones.items()) + "}")
    ),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.sampled_from(["sudo", "balances", "network", "subnets", "other"]), TOML, max_size=4).map(
    lambda ones: "\n".join(f"{name} = {one}" for name, one in ones.items())
)
NEURONS = st.dictionaries(
    st.sampled_from(["hotkey", "coldkey", "stake", "permit", "axon", "weights", "take", "x"]), TOML, max_size=5
).map(lambda ones: subnet(neuron="").replace('hotkey = "//h"', "\n".join(f"{n} = {one}" for n, one in ones.items())))


@given(FIELDS | NEURONS)
def test_any_file_is_a_chain_or_a_clear_refusal(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text)
    store = Store(None)
    try:
        open_chain(store, Spec(), DEVELOPMENT, TAO, path).build([])
    except DevnetError as error:
        named = str(path) in str(error) and error.remedy
    else:
        named = True
    store.close()
    assert named


def test_on_a_file_with_a_chain_it_is_left_alone(tmp_path: Path, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    options: dict[str, Any] = {"production": "manual", "state": tmp_path / "chain.db", "genesis": EXAMPLE}
    with devnet(**options) as node:
        genesis = node.genesis_hash
    with devnet(**options) as node:
        assert node.genesis_hash == genesis
    assert not caplog.records
    other = tmp_path / "other.toml"
    other.write_text("")
    with devnet(**{**options, "genesis": other}) as node:
        assert node.genesis_hash == genesis
    assert "goes on as it is" in caplog.text
    with pytest.raises(DevnetError, match="or a loaded state"), devnet(genesis=EXAMPLE, load_state=other):
        pass


def test_the_example_is_shipped() -> None:
    assert re.search(r"^subnet\.examples = .*genesis\.toml", (ROOT / "setup.cfg").read_text(), re.M)
