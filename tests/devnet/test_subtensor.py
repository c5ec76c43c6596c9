"""SubtensorModule's rules: who may do what, when, and the runtime's name for the refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from subnet.devnet.pallet import DispatchFailed
from subnet.devnet.pallets.admin import SETTERS
from subnet.devnet.pallets.balances import free
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import subnet_account
from subnet.devnet.pallets.subtensor_commits import commit_hash
from subnet.devnet.pallets.subtensor_networks import activity_cutoff
from subnet.devnet.pallets.subtensor_registration import Q32, decay_factor
from subnet.devnet.pallets.subtensor_staking import stake_of
from subnet.devnet.pallets.subtensor_types import HYPERPARAMETER

TAO = 10**9
Make = Callable[..., Any]


def refused(bench: Any, who: bytes, name: str, **args: Any) -> str | None:
    """What the pool would refuse the call with."""
    call = bench.call("SubtensorModule", name, **args)
    try:
        call.spec.check(bench.chain.context(), who, **args)
    except DispatchFailed as failure:
        return failure.error.name
    return None


# networks
def test_register_network(bench: Any) -> None:
    before = free(bench.state, bench.alice)
    owner = bench.key("owner")
    assert bench.send(bench.alice, "SubtensorModule", "register_network", hotkey=owner) is None
    assert bench.events("SubtensorModule") == [("NetworkAdded", (1, 1))]
    state = bench.state
    assert (state.get(S.Keys, 1, 0), state.get(S.Uids, 1, owner), state.get(S.SubnetworkN, 1)) == (owner, 0, 1)
    assert (state.get(S.SubnetOwner, 1), state.get(S.SubnetOwnerHotkey, 1)) == (bench.alice, owner)
    assert before - free(state, bench.alice) > 1000 * TAO
    assert free(state, subnet_account(1)) == state.get(S.SubnetTAO, 1) == 1000 * TAO
    assert state.get(S.Yuma3On, 1)
    assert state.get(S.CommitRevealWeightsEnabled, 1)
    assert state.get(S.LastUpdate, 1) == [1]
    again = bench.key("another")
    assert refused(bench, bench.alice, "register_network", hotkey=again) == "NetworkTxRateLimitExceeded"
    assert bench.send(bench.bob, "SubtensorModule", "register_network", hotkey=again) == "NetworkTxRateLimitExceeded"
    assert bench.sudo("sudo_set_network_rate_limit", rate_limit=0) is None
    assert bench.send(bench.bob, "SubtensorModule", "register_network", hotkey=owner) == "NonAssociatedColdKey"
    assert bench.send(bench.bob, "SubtensorModule", "register_network", hotkey=again) is None
    assert state.get(S.SubnetLocked, 2) > 1990 * TAO  # twice the last, falling slowly


def test_a_network_that_is_too_dear(bench: Any) -> None:
    poor = bench.key("poor")
    bench.send(bench.alice, "Balances", "transfer_keep_alive", dest=("Id", poor), value=999 * TAO)
    assert bench.send(poor, "SubtensorModule", "register_network", hotkey=bench.key("h")) == "CannotAffordLockCost"


def test_start_call_waits_for_its_delay(make_bench: Make) -> None:
    bench = make_bench(start_call_delay=3)
    bench.send(bench.alice, "SubtensorModule", "register_network", hotkey=bench.key("owner"))
    early = "NeedWaitingMoreBlocksToStarCall"
    assert [bench.send(bench.alice, "SubtensorModule", "start_call", netuid=1) for _ in range(3)] == [
        early,
        early,
        None,
    ]
    assert bench.events("SubtensorModule") == [("FirstEmissionBlockNumberSet", (1, 5))]
    assert bench.send(bench.bob, "SubtensorModule", "start_call", netuid=1) == "BadOrigin"
    again = bench.send(bench.alice, "SubtensorModule", "start_call", netuid=1)
    assert again == "FirstEmissionBlockNumberAlreadySet"
    assert bench.send(bench.alice, "SubtensorModule", "start_call", netuid=9) == "SubnetNotExists"


def test_only_sudo_sets_a_tempo_under_360(bench: Any) -> None:
    bench.subnet()
    assert bench.send(bench.alice, "SubtensorModule", "set_tempo", netuid=1, tempo=359) == "TempoOutOfBounds"
    assert bench.send(bench.bob, "SubtensorModule", "set_tempo", netuid=1, tempo=360) == "BadOrigin"
    assert bench.send(bench.alice, "SubtensorModule", "set_tempo", netuid=1, tempo=360) is None
    assert bench.sudo("sudo_set_tempo", netuid=1, tempo=7) is None
    assert bench.state.get(S.Tempo, 1) == 7
    assert bench.state.get(S.LastEpochBlock, 1) == bench.chain.head.number


# registration
def test_registration_raises_the_burn_which_then_falls(bench: Any) -> None:
    bench.subnet()
    burn = bench.state.get(S.Burn, 1)
    before = free(bench.state, subnet_account(1))
    bench.send(bench.bob, "SubtensorModule", "burned_register", netuid=1, hotkey=bench.key("a"))
    assert bench.events("SubtensorModule")[-1] == ("NeuronRegistered", (1, 1, bench.key("a")))
    paid = free(bench.state, subnet_account(1)) - before - TAO  # a block's TAO came in too
    assert paid == pytest.approx(burn, rel=0.01)
    raised = bench.state.get(S.Burn, 1)
    assert raised == pytest.approx(1.26 * paid, rel=1e-6)
    bench.blocks(360)
    assert bench.state.get(S.Burn, 1) == pytest.approx(raised / 2, rel=1e-3)


@pytest.mark.parametrize("half_life", [1, 2, 360, 65535])
def test_the_decay_halves_over_its_half_life(half_life: int) -> None:
    assert (decay_factor(half_life) / Q32) ** half_life == pytest.approx(0.5, abs=1e-4)


def test_what_registration_refuses(bench: Any) -> None:
    (taken,) = bench.subnet(1)
    new = bench.key("new")

    def register(who: bytes = bench.bob, netuid: int = 1, hotkey: bytes = new) -> Any:
        return bench.send(who, "SubtensorModule", "burned_register", netuid=netuid, hotkey=hotkey)

    assert register(netuid=0) == "RegistrationNotPermittedOnRootSubnet"
    assert register(netuid=9) == "SubnetNotExists"
    assert register(hotkey=taken) == "HotKeyAlreadyRegisteredInSubNet"
    poor = bench.key("poor")
    bench.send(bench.alice, "Balances", "transfer_keep_alive", dest=("Id", poor), value=TAO // 10)
    assert register(who=poor) == "NotEnoughBalanceToStake"
    bench.sudo("sudo_set_network_rate_limit", rate_limit=0)
    bench.send(bench.charlie, "SubtensorModule", "register_network", hotkey=bench.key("other"))
    assert register(netuid=2, hotkey=taken, who=bench.charlie) == "NonAssociatedColdKey"
    dear = bench.send(bench.bob, "SubtensorModule", "register_limit", netuid=1, hotkey=new, limit_price=5)
    assert dear == "RegistrationPriceLimitExceeded"
    bench.sudo("sudo_set_network_registration_allowed", netuid=1, registration_allowed=False)
    assert register() == "SubNetRegistrationDisabled"


def test_registrations_in_one_block_can_be_limited(bench: Any) -> None:
    bench.subnet()
    bench.sudo("sudo_set_max_registrations_per_block", netuid=1, max_registrations_per_block=1)
    calls = [bench.call("SubtensorModule", "burned_register", netuid=1, hotkey=bench.key(name)) for name in "ab"]
    bench.chain.build([bench.extrinsic(bench.bob, call) for call in calls])
    assert bench.failure() == "TooManyRegistrationsThisBlock"
    assert bench.send(bench.bob, "SubtensorModule", "burned_register", netuid=1, hotkey=bench.key("b")) is None


def test_a_full_subnet_replaces_the_least_that_is_not_immune(bench: Any) -> None:
    hotkeys = bench.subnet(2)
    assert bench.sudo("sudo_set_max_allowed_uids", netuid=1, max_allowed_uids=3) is None
    axon = {"version": 1, "ip": 1, "port": 1, "ip_type": 4, "protocol": 0, "placeholder1": 0, "placeholder2": 0}
    assert bench.send(hotkeys[0], "SubtensorModule", "serve_axon", netuid=1, **axon) is None
    bench.state.put(S.Weights, 1, 2, to=[(1, 9), (0, 5)])
    new = bench.key("new")
    assert bench.send(bench.charlie, "SubtensorModule", "burned_register", netuid=1, hotkey=new) is None
    state = bench.state
    assert (state.get(S.Keys, 1, 1), state.get(S.Uids, 1, new)) == (new, 1)  # all immune: the oldest but the owner
    assert state.get(S.Uids, 1, hotkeys[0]) is None
    assert state.get(S.Axons, 1, hotkeys[0]) is None
    assert not state.get(S.IsNetworkMember, hotkeys[0], 1)
    assert state.get(S.Weights, 1, 2) == [(1, 0), (0, 5)]
    assert state.get(S.LastUpdate, 1)[1] == state.get(S.BlockAtRegistration, 1, 1) == bench.chain.head.number
    assert state.get(S.SubnetworkN, 1) == 3
    assert len(state.keys(S.Keys, 1)) == 3
    bench.sudo("sudo_set_immunity_period", netuid=1, immunity_period=0)
    state.put(S.Emission, 1, to=[0, 50, 9])
    bench.send(bench.charlie, "SubtensorModule", "burned_register", netuid=1, hotkey=bench.key("newer"))
    assert state.get(S.Keys, 1, 2) == bench.key("newer")


def test_nobody_can_be_replaced_on_a_subnet_of_the_owner_alone(bench: Any) -> None:
    bench.subnet()
    bench.sudo("sudo_set_max_allowed_uids", netuid=1, max_allowed_uids=1)
    error = bench.send(bench.bob, "SubtensorModule", "burned_register", netuid=1, hotkey=bench.key("a"))
    assert error == "NoNeuronIdAvailable"


# stake
def test_stake_is_alpha_one_for_one(bench: Any) -> None:
    (hotkey,) = bench.subnet(1)
    assert bench.send(bench.bob, "SubtensorModule", "add_stake", hotkey=hotkey, netuid=1, amount_staked=9 * TAO) is None
    assert bench.events("SubtensorModule") == [("StakeAdded", (bench.bob, hotkey, 9 * TAO, 9 * TAO, 1, 0))]
    bench.send(bench.charlie, "SubtensorModule", "add_stake", hotkey=hotkey, netuid=1, amount_staked=3 * TAO)
    state = bench.state
    assert state.get(S.TotalHotkeyAlpha, hotkey, 1) == 12 * TAO
    assert [stake_of(state, hotkey, who, 1) for who in (bench.bob, bench.charlie)] == [9 * TAO, 3 * TAO]
    take_all = {"hotkey": hotkey, "netuid": 1, "amount_unstaked": 2**63}
    assert bench.send(bench.charlie, "SubtensorModule", "remove_stake", **take_all) is None
    assert bench.events("SubtensorModule") == [("StakeRemoved", (bench.charlie, hotkey, 3 * TAO, 3 * TAO, 1, 0))]
    assert state.get(S.TotalHotkeyAlpha, hotkey, 1) == stake_of(state, hotkey, bench.bob, 1) == 9 * TAO
    assert bench.send(bench.charlie, "SubtensorModule", "remove_stake", **take_all) == "AmountTooLow"


def test_what_staking_refuses(make_bench: Make) -> None:
    bench = make_bench()
    hotkeys = bench.subnet(1, started=False)
    args = {"hotkey": hotkeys[0], "netuid": 1, "amount_staked": TAO}

    def stake(**change: Any) -> Any:
        return bench.send(bench.bob, "SubtensorModule", "add_stake", **{**args, **change})

    assert stake() == "SubtokenDisabled"
    assert bench.send(bench.alice, "SubtensorModule", "start_call", netuid=1) is None
    assert stake(netuid=9) == "SubnetNotExists"
    assert stake(amount_staked=1_999_999) == "AmountTooLow"
    assert stake(amount_staked=10**17) == "NotEnoughBalanceToStake"
    assert stake(hotkey=bench.key("nobody")) == "HotKeyAccountNotExists"
    assert stake() is None
    less = {"hotkey": hotkeys[0], "netuid": 1, "amount_unstaked": TAO // 1000}
    assert bench.send(bench.bob, "SubtensorModule", "remove_stake", **less) == "AmountTooLow"


def test_take(bench: Any) -> None:
    (hotkey,) = bench.subnet(1)
    lower = {"hotkey": hotkey, "take": 100}
    assert bench.send(bench.bob, "SubtensorModule", "decrease_take", **lower) is None
    assert bench.state.get(S.Delegates, hotkey) == 100
    assert refused(bench, bench.alice, "increase_take", hotkey=hotkey, take=200) == "NonAssociatedColdKey"
    assert refused(bench, bench.bob, "increase_take", hotkey=hotkey, take=65535) == "DelegateTakeTooHigh"
    assert bench.send(bench.bob, "SubtensorModule", "increase_take", hotkey=hotkey, take=50) == "DelegateTakeTooLow"


# serving
AXON = {"netuid": 1, "version": 7, "ip": 0x7F000001, "port": 8091, "ip_type": 4}
MORE = {"protocol": 4, "placeholder1": 0, "placeholder2": 0}


def test_serving(bench: Any) -> None:
    (hotkey,) = bench.subnet(1)
    assert bench.send(hotkey, "SubtensorModule", "serve_axon", **AXON, **MORE) is None
    stored = bench.state.get(S.Axons, 1, hotkey)
    assert stored == {**{k: v for k, v in AXON.items() if k != "netuid"}, **MORE, "block": bench.chain.head.number}
    assert refused(bench, hotkey, "serve_axon", **AXON, **MORE) == "ServingRateLimitExceeded"
    assert bench.send(hotkey, "SubtensorModule", "serve_prometheus", **AXON) is None
    bench.blocks(50)
    certificate = b"\1" + b"k" * 32
    assert bench.send(hotkey, "SubtensorModule", "serve_axon_tls", **AXON, **MORE, certificate=certificate) is None
    assert bench.state.get(S.NeuronCertificates, 1, hotkey) == {"algorithm": 1, "public_key": b"k" * 32}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"ip": 2**32 - 1}, "InvalidIpAddress"),
        ({"ip": 2**64}, "InvalidIpAddress"),
        ({"ip_type": 6, "ip": 2**128 - 1}, "InvalidIpAddress"),
        ({"ip_type": 5}, "InvalidIpType"),
        ({"port": 0}, "InvalidPort"),
        ({"netuid": 2}, "HotKeyNotRegisteredInNetwork"),
        ({"ip": 0}, None),
    ],
)
def test_what_serving_refuses(bench: Any, change: dict[str, int], error: str | None) -> None:
    (hotkey,) = bench.subnet(1)
    assert refused(bench, hotkey, "serve_axon", **{**AXON, **MORE, **change}) == error
    assert bench.send(hotkey, "SubtensorModule", "serve_axon", **{**AXON, **MORE, **change}) == error
    prometheus = "InvalidIpAddress" if change == {"ip": 0} else error
    assert refused(bench, hotkey, "serve_prometheus", **{**AXON, **change}) == prometheus


@pytest.mark.parametrize("place", [{"ip": 0x7F000001}, {"ip_type": 6, "ip": 1}])
def test_loopback_is_refused_where_the_chain_is_told_to(make_bench: Make, place: dict[str, int]) -> None:
    bench = make_bench(allow_loopback=False)
    (hotkey,) = bench.subnet(1)
    assert refused(bench, hotkey, "serve_axon", **{**AXON, **MORE, **place}) == "InvalidIpAddress"


# weights
def permit(bench: Any, *uids: int) -> None:
    n = bench.state.get(S.SubnetworkN, 1)
    bench.state.put(S.ValidatorPermit, 1, to=[uid in uids for uid in range(n)])


def weigh(bench: Any, who: bytes, **change: Any) -> str | None:
    args = {"netuid": 1, "dests": [1, 2], "weights": [40_000, 20_000], "version_key": 0, **change}
    return bench.send(who, "SubtensorModule", "set_weights", **args)  # type: ignore[no-any-return]


def test_weights_are_upscaled_and_stored(bench: Any) -> None:
    hotkeys = bench.subnet(2)
    permit(bench, 1)
    assert weigh(bench, hotkeys[0]) is None
    assert bench.state.get(S.Weights, 1, 1) == [(1, 65535), (2, 32767)]
    assert bench.state.get(S.LastUpdate, 1)[1] == bench.chain.head.number
    assert bench.events("SubtensorModule") == [("WeightsSet", (1, 1))]


def test_weights_are_checked_in_the_runtimes_order(bench: Any) -> None:
    """Each call breaks one rule and all after it; the first is named."""
    hotkeys = bench.subnet(2)
    set_up = [
        ("sudo_set_min_allowed_weights", {"netuid": 1, "min_allowed_weights": 2}),
        ("sudo_set_weights_version_key", {"netuid": 1, "weights_version_key": 5}),
        ("sudo_set_weights_set_rate_limit", {"netuid": 1, "weights_set_rate_limit": 100}),
        ("sudo_set_stake_threshold", {"min_stake": TAO}),
    ]
    for name, args in set_up:
        assert bench.sudo(name, **args) is None
    who, stranger = hotkeys[0], bench.key("stranger")
    wrong = {"dests": [9, 9, 9, 9], "weights": [1], "version_key": 4}
    assert weigh(bench, stranger, **wrong, netuid=0) == "CommitRevealEnabled"
    assert weigh(bench, stranger, **wrong) == "WeightVecNotEqualSize"
    wrong["weights"] = [1, 1, 1, 1]
    bench.state.put(S.CommitRevealWeightsEnabled, 9, to=False)
    assert weigh(bench, stranger, **wrong, netuid=9) == "MechanismDoesNotExist"
    assert weigh(bench, stranger, **wrong) == "UidsLengthExceedUidsInSubNet"
    wrong.update(dests=[9], weights=[1])
    assert weigh(bench, stranger, **wrong) == "HotKeyNotRegisteredInSubNet"
    assert weigh(bench, who, **wrong) == "NotEnoughStakeToSetWeights"
    bench.send(bench.bob, "SubtensorModule", "add_stake", hotkey=who, netuid=1, amount_staked=2 * TAO)
    assert weigh(bench, who, **wrong) == "IncorrectWeightVersionKey"
    wrong["version_key"] = 5
    assert weigh(bench, who, **wrong) == "SettingWeightsTooFast"
    bench.sudo("sudo_set_weights_set_rate_limit", netuid=1, weights_set_rate_limit=0)
    permit(bench)
    assert weigh(bench, who, **wrong) == "NeuronNoValidatorPermit"
    permit(bench, 1)
    assert weigh(bench, who, **{**wrong, "dests": [9, 9], "weights": [1, 1]}) == "DuplicateUids"
    assert weigh(bench, who, **wrong) == "UidVecContainInvalidOne"
    assert weigh(bench, who, dests=[2], weights=[1], version_key=5) == "WeightVecLengthIsLow"
    bench.state.put(S.MaxWeightsLimit, 1, to=30_000)
    assert weigh(bench, who, dests=[0, 2], weights=[9, 1], version_key=6) == "MaxWeightExceeded"
    assert weigh(bench, who, dests=[1], weights=[1], version_key=5) is None  # on itself alone


def test_the_owner_and_a_single_self_weight_need_no_permit(bench: Any) -> None:
    hotkeys = bench.subnet(2)
    permit(bench)
    assert weigh(bench, bench.key("owner")) is None
    assert weigh(bench, hotkeys[1], dests=[2], weights=[7]) is None
    assert weigh(bench, hotkeys[1]) == "NeuronNoValidatorPermit"


def test_what_the_pool_refuses_of_weights(bench: Any) -> None:
    hotkeys = bench.subnet(1)
    args = {"netuid": 1, "dests": [1], "weights": [1], "version_key": 0}
    assert refused(bench, hotkeys[0], "set_weights", **args) is None
    bench.sudo("sudo_set_weights_set_rate_limit", netuid=1, weights_set_rate_limit=50)
    # a new validator is rate limited from its registration on
    assert refused(bench, hotkeys[0], "set_weights", **args) == "SettingWeightsTooFast"
    assert refused(bench, bench.key("stranger"), "set_weights", **args) is None
    bench.sudo("sudo_set_stake_threshold", min_stake=1)
    assert refused(bench, hotkeys[0], "set_weights", **args) == "NotEnoughStakeToSetWeights"


def test_mechanism_zero_is_the_only_one(bench: Any) -> None:
    bench.subnet(2)
    args = {"netuid": 1, "dests": [1, 2], "weights": [1, 1], "version_key": 0}
    owner = bench.key("owner")
    assert bench.send(owner, "SubtensorModule", "set_mechanism_weights", mecid=1, **args) == "MechanismDoesNotExist"
    assert bench.send(owner, "SubtensorModule", "set_mechanism_weights", mecid=0, **args) is None


# commit and reveal
REVEAL = {"uids": [1, 2], "values": [3, 4], "salt": [5, 6], "version_key": 0}


def test_commit_and_reveal(make_bench: Make) -> None:
    bench = make_bench(tempo=4)
    (hotkey, _) = bench.subnet(2)
    assert weigh(bench, bench.key("owner")) is None
    bench.sudo("sudo_set_commit_reveal_weights_enabled", netuid=1, enabled=True)
    assert weigh(bench, bench.key("owner")) == "CommitRevealEnabled"
    commit = commit_hash(hotkey, 1, [1, 2], [3, 4], [5, 6], 0)
    while bench.state.get(S.LastEpochBlock, 1) != bench.chain.head.number:
        bench.blocks(1)
    assert bench.send(hotkey, "SubtensorModule", "commit_weights", netuid=1, commit_hash=commit) is None
    committed = bench.chain.head.number
    assert bench.state.get(S.LastUpdate, 1)[1] == committed
    assert refused(bench, hotkey, "reveal_weights", netuid=1, **REVEAL) == "RevealTooEarly"
    wrong = {**REVEAL, "salt": [5, 7]}
    assert refused(bench, hotkey, "reveal_weights", netuid=1, **wrong) == "NoWeightsCommitFound"
    assert (
        bench.send(hotkey, "SubtensorModule", "reveal_weights", netuid=1, **wrong) == "InvalidRevealCommitHashNotMatch"
    )
    bench.blocks(3)
    permit(bench, 1)
    assert bench.send(hotkey, "SubtensorModule", "reveal_weights", netuid=1, **REVEAL) is None
    assert [event for event, _ in bench.events("SubtensorModule")][-2:] == ["WeightsSet", "WeightsRevealed"]
    assert bench.state.get(S.Weights, 1, 1) == [(1, 49151), (2, 65535)]
    assert bench.state.get(S.LastUpdate, 1)[1] == committed  # a reveal does not move it
    assert bench.state.get(S.WeightCommits, 1, hotkey) is None


def test_the_reveal_window_is_one_epoch(make_bench: Make) -> None:
    bench = make_bench(tempo=3)
    (hotkey, _) = bench.subnet(2)
    bench.sudo("sudo_set_commit_reveal_weights_enabled", netuid=1, enabled=True)
    commit = commit_hash(hotkey, 1, [1, 2], [3, 4], [5, 6], 0)
    bench.send(hotkey, "SubtensorModule", "commit_weights", netuid=1, commit_hash=commit)
    bench.blocks(7)
    assert bench.send(hotkey, "SubtensorModule", "reveal_weights", netuid=1, **REVEAL) == "ExpiredWeightCommit"


def test_open_commits_are_limited(bench: Any) -> None:
    (hotkey,) = bench.subnet(1)
    bench.sudo("sudo_set_tempo", netuid=1, tempo=1000)
    args = {"netuid": 1, "commit_hash": bytes(32)}
    assert bench.send(hotkey, "SubtensorModule", "commit_weights", **args) == "CommitRevealDisabled"
    bench.sudo("sudo_set_commit_reveal_weights_enabled", netuid=1, enabled=True)
    results = [bench.send(hotkey, "SubtensorModule", "commit_weights", **args) for _ in range(11)]
    assert results == [None] * 10 + ["TooManyUnrevealedCommits"]
    stranger = bench.send(bench.key("x"), "SubtensorModule", "commit_weights", **args)
    assert stranger == "HotKeyNotRegisteredInSubNet"


# hyperparameters
@pytest.mark.parametrize("setter", SETTERS, ids=[one.name for one in SETTERS])
def test_every_setter_sets_its_item(bench: Any, setter: Any) -> None:
    bench.subnet(2)
    current = setter.item.default()
    value: Any = not current if isinstance(current, bool) else 2
    value = ("Recycle", None) if setter.name == "recycle_or_burn" else value
    value = {"max_burn": 2 * 10**8, "burn_increase_mult": {"bits": 2 << 64}, "max_allowed_uids": 3}.get(
        setter.name, value
    )
    args = {setter.argument or setter.name: value, **({"netuid": 1} if setter.item.keys else {})}
    assert bench.sudo(f"sudo_set_{setter.name}", **args) is None
    assert bench.state.get(setter.item, *([1] if setter.item.keys else [])) == value
    if setter.event is not None:
        told = [one for pallet in ("SubtensorModule", "AdminUtils") for one in bench.events(pallet)]
        assert setter.event.name in [name for name, _ in told]
    stranger = bench.send(bench.charlie, "AdminUtils", f"sudo_set_{setter.name}", **args)
    assert stranger == "BadOrigin"
    if setter.item.keys:
        assert bench.sudo(f"sudo_set_{setter.name}", **{**args, "netuid": 7}) == "SubnetDoesNotExist"
        owner = bench.send(bench.alice, "AdminUtils", f"sudo_set_{setter.name}", **args)
        assert owner == ("BadOrigin" if setter.who == "root" else None)


@pytest.mark.parametrize("setter", [one for one in SETTERS if one.limit], ids=lambda one: one.name)
def test_an_owners_changes_are_rate_limited_by_name(bench: Any, setter: Any) -> None:
    assert setter.limit in [variant.name for variant in HYPERPARAMETER.variants]
    bench.subnet(2)
    assert bench.sudo("sudo_set_owner_hparam_rate_limit", epochs=2) is None
    args = {"netuid": 1, setter.argument: bench.state.get(setter.item, 1)}
    if setter.name == "max_allowed_uids":
        args[setter.argument] = 100
    call = f"sudo_set_{setter.name}"
    assert bench.send(bench.alice, "AdminUtils", call, **args) is None
    assert bench.send(bench.alice, "AdminUtils", call, **args) == "TxRateLimitExceeded"
    assert bench.sudo(call, **args) is None  # root is free
    bench.blocks(7)  # two tempos after the first
    assert bench.send(bench.alice, "AdminUtils", call, **args) is None


def test_the_version_key_and_the_owners_hotkey_have_limits_of_their_own(bench: Any) -> None:
    (hotkey,) = bench.subnet(1)
    bench.write(S.WeightsVersionKeyRateLimit, to=2)
    call, args = "sudo_set_weights_version_key", {"netuid": 1, "weights_version_key": 7}
    assert bench.send(bench.alice, "AdminUtils", call, **args) is None
    assert bench.send(bench.alice, "AdminUtils", call, **args) == "TxRateLimitExceeded"
    bench.blocks(8)
    assert bench.send(bench.alice, "AdminUtils", call, **args) is None
    call, args = "sudo_set_sn_owner_hotkey", {"netuid": 1, "hotkey": hotkey}
    assert bench.send(bench.alice, "AdminUtils", call, **args) is None
    assert bench.state.get(S.SubnetOwnerHotkey, 1) == hotkey
    assert bench.sudo("sudo_set_subnet_owner_hotkey", **args) == "TxRateLimitExceeded"


def test_an_epoch_asked_for_runs_and_closes_the_admin_window(bench: Any) -> None:
    bench.subnet()
    assert bench.sudo("sudo_set_tempo", netuid=1, tempo=500) is None
    assert bench.sudo("sudo_set_admin_freeze_window", window=3) is None
    assert bench.send(bench.bob, "SubtensorModule", "trigger_epoch", netuid=1) == "BadOrigin"
    assert bench.send(bench.alice, "SubtensorModule", "trigger_epoch", netuid=1) is None
    due = bench.chain.head.number + 3
    assert bench.events("SubtensorModule") == [("EpochTriggered", {"netuid": 1, "by": bench.alice, "fires_at": due})]
    assert bench.send(bench.alice, "SubtensorModule", "trigger_epoch", netuid=1) == "EpochTriggerAlreadyPending"
    difficulty = bench.sudo("sudo_set_difficulty", netuid=1, difficulty=1)
    assert difficulty == "AdminActionProhibitedDuringWeightsWindow"
    bench.blocks(1)
    assert bench.chain.head.number == due
    assert bench.state.get(S.LastEpochBlock, 1) == due
    assert bench.sudo("sudo_set_commit_reveal_weights_enabled", netuid=1, enabled=True) is None
    refused = bench.send(bench.alice, "SubtensorModule", "trigger_epoch", netuid=1)
    assert refused == "DynamicTempoBlockedByCommitReveal"


def test_the_activity_cutoff_as_a_factor_of_the_tempo(bench: Any) -> None:
    bench.subnet()
    call = "set_activity_cutoff_factor"
    outside = bench.send(bench.alice, "SubtensorModule", call, netuid=1, factor_milli=999)
    assert outside == "ActivityCutoffFactorMilliOutOfBounds"
    assert bench.send(bench.bob, "SubtensorModule", call, netuid=1, factor_milli=2000) == "BadOrigin"
    assert bench.send(bench.alice, "SubtensorModule", call, netuid=1, factor_milli=2000) is None
    assert activity_cutoff(bench.chain.context(), 1) == 10  # of a tempo of 5


def test_set_tempo_is_the_owners_within_bounds_and_seldom(bench: Any) -> None:
    bench.subnet()
    call = "set_tempo"
    assert bench.send(bench.alice, "SubtensorModule", call, netuid=1, tempo=359) == "TempoOutOfBounds"
    assert bench.send(bench.alice, "SubtensorModule", call, netuid=1, tempo=400) is None
    assert bench.send(bench.alice, "SubtensorModule", call, netuid=1, tempo=500) == "TxRateLimitExceeded"


def test_the_freeze_window_before_an_epoch(bench: Any) -> None:
    bench.subnet()
    assert bench.sudo("sudo_set_admin_freeze_window", window=100) is None
    frozen = "AdminActionProhibitedDuringWeightsWindow"
    assert bench.sudo("sudo_set_difficulty", netuid=1, difficulty=1) == frozen


def test_liquid_alpha_bounds(bench: Any) -> None:
    bench.subnet()
    values = {"netuid": 1, "alpha_low": 2000, "alpha_high": 60_000}
    assert bench.sudo("sudo_set_alpha_values", **values) == "LiquidAlphaDisabled"
    bench.sudo("sudo_set_liquid_alpha_enabled", netuid=1, enabled=True)
    assert bench.sudo("sudo_set_alpha_values", **values) is None
    assert bench.state.get(S.AlphaValues, 1) == (2000, 60_000)
    assert bench.sudo("sudo_set_alpha_values", **{**values, "alpha_low": 61_000}) == "AlphaLowOutOfRange"
    assert bench.sudo("sudo_set_alpha_sigmoid_steepness", netuid=1, steepness=-5) is None
    owner = bench.send(bench.alice, "AdminUtils", "sudo_set_alpha_sigmoid_steepness", netuid=1, steepness=-5)
    assert owner == "NegativeSigmoidSteepness"
