"""Emission and epochs: what a block adds, when an epoch runs, and who is paid."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from subnet.devnet.pallets import subtensor_epoch
from subnet.devnet.pallets.balances import Balances, free
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import subnet_account
from subnet.devnet.pallets.subtensor_commits import commit_hash
from subnet.devnet.pallets.subtensor_staking import stake_of
from subnet.scoring import yuma

TAO = 10**9
OWNER_CUT = TAO * ((11_796 << 32) // 65_535) >> 32
HALF = 410_002_288  # RAO a block to servers, and as much to validators: 820,004,576 as measured on spec 293
Make = Callable[..., Any]


def pending(bench: Any) -> tuple[int, ...]:
    items = (S.PendingOwnerCut, S.PendingServerEmission, S.PendingValidatorEmission)
    return tuple(bench.state.get(item, 1) for item in items)


def to_epoch(bench: Any) -> None:
    """Build blocks until one in which the subnet's epoch ran."""
    bench.blocks(1)
    while bench.state.get(S.LastEpochBlock, 1) != bench.chain.head.number:
        bench.blocks(1)


def earning(bench: Any) -> tuple[list[bytes], list[bytes]]:
    """A subnet with two validators that have stake, permits and weights, and two miners; an epoch has paid them."""
    hotkeys = bench.subnet(4)
    validators, miners = hotkeys[:2], hotkeys[2:]
    for hotkey, amount in zip(validators, (300, 100), strict=True):
        args = {"hotkey": hotkey, "netuid": 1, "amount_staked": amount * TAO}
        assert bench.send(bench.bob, "SubtensorModule", "add_stake", **args) is None
    to_epoch(bench)
    for hotkey in validators:
        args = {"netuid": 1, "dests": [3, 4], "weights": [30_000, 10_000], "version_key": 0}
        assert bench.send(hotkey, "SubtensorModule", "set_weights", **args) is None
    to_epoch(bench)
    return validators, miners


def test_a_started_subnet_earns_each_block(make_bench: Make) -> None:
    bench = make_bench(tempo=100)
    bench.subnet(started=False)
    assert pending(bench) == (0, 0, 0)
    bench.send(bench.alice, "SubtensorModule", "start_call", netuid=1)
    issued, held = bench.state.get(Balances.TotalIssuance), free(bench.state, subnet_account(1))
    bench.blocks(3)
    assert pending(bench) == (3 * OWNER_CUT, 3 * HALF, 3 * HALF)
    assert bench.state.get(S.SubnetAlphaOut, 1) == 3 * TAO
    assert bench.state.get(Balances.TotalIssuance) - issued == 3 * TAO
    assert free(bench.state, subnet_account(1)) - held == 3 * TAO
    bench.sudo("sudo_set_owner_cut_enabled", netuid=1, enabled=False)
    before = pending(bench)
    bench.blocks(1)
    assert tuple(b - a for a, b in zip(before, pending(bench), strict=True)) == (0, TAO // 2, TAO // 2)
    bench.sudo("sudo_set_subnet_emission_enabled", netuid=1, enabled=False)
    before = pending(bench)
    bench.blocks(1)
    assert pending(bench) == before


@pytest.mark.parametrize("tempo", [1, 5, 9])
def test_an_epoch_runs_each_tempo(make_bench: Make, tempo: int) -> None:
    bench = make_bench(tempo=tempo)
    bench.subnet()
    to_epoch(bench)
    first, index = bench.chain.head.number, bench.state.get(S.SubnetEpochIndex, 1)
    ran = []
    for _ in range(3 * tempo):
        bench.blocks(1)
        if bench.state.get(S.LastEpochBlock, 1) == bench.chain.head.number:
            ran.append(bench.chain.head.number - first)
    assert ran == [tempo, 2 * tempo, 3 * tempo]
    assert bench.state.get(S.SubnetEpochIndex, 1) == index + 3
    assert bench.state.get(S.LastMechansimStepBlock, 1) == first + 3 * tempo


def test_a_tempo_of_zero_runs_none(bench: Any) -> None:
    bench.subnet()
    bench.sudo("sudo_set_tempo", netuid=1, tempo=0)
    index = bench.state.get(S.SubnetEpochIndex, 1)
    bench.blocks(12)
    assert bench.state.get(S.SubnetEpochIndex, 1) == index


def test_permits_count_from_the_epoch_after(bench: Any) -> None:
    hotkeys = bench.subnet(2)
    args = {"hotkey": hotkeys[0], "netuid": 1, "amount_staked": 50 * TAO}
    bench.send(bench.bob, "SubtensorModule", "add_stake", **args)
    weights = {"netuid": 1, "dests": [2], "weights": [1], "version_key": 0}
    assert bench.send(hotkeys[0], "SubtensorModule", "set_weights", **weights) == "NeuronNoValidatorPermit"
    to_epoch(bench)
    assert bench.state.get(S.ValidatorPermit, 1)[1]
    assert bench.send(hotkeys[0], "SubtensorModule", "set_weights", **weights) is None
    to_epoch(bench)
    assert bench.state.get(S.Incentive, 1) == [0, 0, 65535]
    assert bench.state.get(S.Emission, 1)[2] > 0


def test_who_is_paid_what(bench: Any) -> None:
    validators, miners = earning(bench)
    state = bench.state
    assert state.get(S.Incentive, 1)[3:] == [49_151, 16_383]
    before = {hotkey: state.get(S.TotalHotkeyAlpha, hotkey, 1) for hotkey in [*validators, *miners]}
    owner = bench.key("owner")
    owners = state.get(S.TotalHotkeyAlpha, owner, 1)
    blocks = bench.chain.head.number
    to_epoch(bench)
    blocks = bench.chain.head.number - blocks
    gained = {hotkey: state.get(S.TotalHotkeyAlpha, hotkey, 1) - start for hotkey, start in before.items()}
    assert gained[miners[0]] == pytest.approx(0.75 * blocks * HALF, rel=1e-4)
    assert gained[miners[1]] == pytest.approx(0.25 * blocks * HALF, rel=1e-4)
    by_dividends = state.get(S.Dividends, 1)
    for uid, hotkey in enumerate(validators, start=1):
        assert gained[hotkey] == pytest.approx(by_dividends[uid] / 65_535 * blocks * HALF, rel=1e-3)
    to_owner = by_dividends[0] / 65_535 * blocks * HALF
    assert state.get(S.TotalHotkeyAlpha, owner, 1) - owners == pytest.approx(blocks * OWNER_CUT + to_owner, rel=1e-3)
    assert stake_of(state, owner, bench.alice, 1) == pytest.approx(state.get(S.TotalHotkeyAlpha, owner, 1), abs=1)
    assert pending(bench) == (0, 0, 0)


def test_an_epoch_is_the_runtimes_to_the_last_bit(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the plain transcription of the runtime that the exact form itself is tested against."""
    validators, _ = earning(bench)
    root = {"hotkey": validators[1], "netuid": 0, "amount_staked": 77_777_777_777}
    assert bench.send(bench.bob, "SubtensorModule", "add_stake", **root) is None
    ran: list[tuple[Any, ...]] = []

    def epoch(*args: Any, **form: Any) -> Any:
        ran.append((*args, form))
        return real_epoch(*args, **form)

    real_epoch = yuma.epoch
    monkeypatch.setattr(yuma, "epoch", epoch)
    to_epoch(bench)
    state, params, variant, form = ran[-1]
    assert (variant, form) == ("head", {"exact": True})
    assert state.tao_stake.tolist()[2] > 0
    plain = {name: getattr(state, name) for name in state.__dataclass_fields__}
    plain |= {name: value.tolist() for name, value in plain.items() if isinstance(value, np.ndarray)}
    plain |= {name: getattr(state, name).rows() for name in ("weights", "bonds")}
    want = reference().epoch(plain, {name: getattr(params, name) for name in params.__slots__}, "head")
    for item, name in ((S.Consensus, "consensus"), (S.Incentive, "incentive"), (S.Dividends, "dividends")):
        assert bench.state.get(item, 1) == want[name]
    assert bench.state.get(S.StakeWeight, 1) == want["stake_weight"]
    assert bench.state.get(S.Emission, 1) == want["emission"]
    assert {uid: bench.state.get(S.Bonds, 1, uid) for uid in want["bonds"]} == want["bonds"]
    assert any(want["incentive"])


def reference() -> ModuleType:
    path = Path(__file__).parent.parent / "scoring" / "reference.py"
    spec = importlib.util.spec_from_file_location("yuma_reference", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_incentive_validators_get_all(bench: Any) -> None:
    hotkeys = bench.subnet(1)
    bench.sudo("sudo_set_owner_cut_enabled", netuid=1, enabled=False)
    bench.send(bench.bob, "SubtensorModule", "add_stake", hotkey=hotkeys[0], netuid=1, amount_staked=10_000 * TAO)
    to_epoch(bench)
    before = sum(bench.state.get(S.TotalHotkeyAlpha, h, 1) for h in (hotkeys[0], bench.key("owner")))
    to_epoch(bench)
    after = sum(bench.state.get(S.TotalHotkeyAlpha, h, 1) for h in (hotkeys[0], bench.key("owner")))
    assert after - before == pytest.approx(5 * TAO, abs=10)


def test_the_take_goes_to_the_hotkeys_owner(bench: Any) -> None:
    validators, _ = earning(bench)
    state, hotkey = bench.state, validators[0]
    args = {"hotkey": hotkey, "netuid": 1, "amount_staked": state.get(S.TotalHotkeyAlpha, hotkey, 1)}
    assert bench.send(bench.charlie, "SubtensorModule", "add_stake", **args) is None
    before = [stake_of(state, hotkey, who, 1) for who in (bench.bob, bench.charlie)]
    to_epoch(bench)
    bob, charlie = (
        stake_of(state, hotkey, who, 1) - b for who, b in zip((bench.bob, bench.charlie), before, strict=True)
    )
    take = 11_796 / 65_535
    # the two hold the same: what is not the take is halved
    assert charlie / (bob + charlie) == pytest.approx((1 - take) / 2, rel=1e-3)
    assert state.get(S.AlphaDividendsPerSubnet, 1, hotkey) == pytest.approx((bob + charlie) * (1 - take), rel=1e-3)


def test_root_stake_counts_by_its_weight(bench: Any) -> None:
    (hotkey,) = bench.subnet(1)
    bench.send(bench.bob, "SubtensorModule", "add_stake", hotkey=hotkey, netuid=0, amount_staked=1000 * TAO)
    to_epoch(bench)
    assert bench.state.get(S.ValidatorPermit, 1)[1]
    share = bench.state.get(S.StakeWeight, 1)[1] / 65_535
    # the stakes that are weighed are those before the epoch pays
    key = S.TotalHotkeyAlpha.key(bench.key("owner"), 1)
    owner = int.from_bytes(bench.chain.read(key, bench.chain.head.number - 1) or b"", "little")
    weighed = 1000 * TAO * 971_718_665_099_567_868 / 2**64
    assert share == pytest.approx(weighed / (weighed + owner), abs=1e-3)


def test_a_failing_epoch_does_not_stop_the_chain(
    bench: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench.subnet(1)
    to_epoch(bench)

    def broken(*args: Any) -> None:
        raise ValueError("no consensus")

    monkeypatch.setattr(subtensor_epoch, "_inputs", broken)
    to_epoch(bench)
    assert "the epoch of subnet 1 failed" in caplog.text
    kept = pending(bench)
    assert kept[0] >= 5 * OWNER_CUT
    monkeypatch.undo()
    to_epoch(bench)
    assert pending(bench) == (0, 0, 0)


def test_epochs_beyond_the_cap_wait_a_block(bench: Any) -> None:
    bench.subnet()
    bench.blocks(10)
    bench.sudo("sudo_set_network_rate_limit", rate_limit=0)
    bench.send(bench.bob, "SubtensorModule", "register_network", hotkey=bench.key("second"))
    bench.sudo("sudo_set_max_epochs_per_block", max_epochs_per_block=1)
    now = bench.chain.head.number
    for netuid in (1, 2):
        bench.state.put(S.LastEpochBlock, netuid, to=now - 10)
    bench.blocks(2)
    assert [bench.state.get(S.LastEpochBlock, netuid) for netuid in (1, 2)] == [now + 1, now + 2]


def test_the_legacy_rule_goes_by_the_blocks_number(make_bench: Make) -> None:
    bench = make_bench(tempo=4, tempo_rule="legacy")
    bench.subnet()
    ran = []
    for _ in range(16):
        bench.blocks(1)
        if bench.state.get(S.BlocksSinceLastStep, 1) == 0:
            ran.append(bench.chain.head.number)
    assert len(ran) >= 3
    assert all((block + 1 + 2) % 5 == 0 for block in ran)
    assert [late - early for early, late in pairwise(ran)] == [5] * (len(ran) - 1)


def test_a_legacy_chain_shows_its_clients_nothing_newer(make_bench: Make) -> None:
    old, new = make_bench(tempo_rule="legacy"), make_bench()
    for name in (b"LastEpochBlock", b"PendingEpochAt", b"SubnetEpochIndex"):
        assert name not in old.chain.runtime.metadata
        assert name in new.chain.runtime.metadata
    old.subnet()
    assert old.send(old.alice, "SubtensorModule", "set_tempo", netuid=1, tempo=400) == "CallDisabled"


def test_reveals_are_due_an_epoch_later_under_the_legacy_rule_too(make_bench: Make) -> None:
    bench = make_bench(tempo=4, tempo_rule="legacy")
    bench.subnet()
    assert bench.sudo("sudo_set_commit_reveal_weights_enabled", netuid=1, enabled=True) is None
    owner, salt = bench.key("owner"), [1, 2]
    while (bench.chain.head.number + 1 + 1 + 1) % 5:  # the next block is the first of an epoch
        bench.blocks(1)
    digest = commit_hash(owner, 1, [0], [1], salt, 0)
    assert bench.send(owner, "SubtensorModule", "commit_weights", netuid=1, commit_hash=digest) is None
    reveal = {"netuid": 1, "uids": [0], "values": [1], "salt": salt, "version_key": 0}
    bench.blocks(3)
    assert bench.send(owner, "SubtensorModule", "reveal_weights", **reveal) == "RevealTooEarly"
    assert bench.send(owner, "SubtensorModule", "reveal_weights", **reveal) is None


@pytest.mark.parametrize(("how", "kept"), [("Burn", 0), ("Recycle", 1)])
def test_what_the_owners_own_hotkeys_serve_is_nobodys(bench: Any, how: str, kept: int) -> None:
    (validator,) = bench.subnet(1)
    second = bench.key("the owner's second")
    assert bench.send(bench.alice, "SubtensorModule", "burned_register", netuid=1, hotkey=second) is None
    assert bench.sudo("sudo_set_recycle_or_burn", netuid=1, recycle_or_burn=(how, None)) is None
    stake = {"hotkey": validator, "netuid": 1, "amount_staked": 100 * TAO}
    assert bench.send(bench.bob, "SubtensorModule", "add_stake", **stake) is None
    to_epoch(bench)
    weights = {"netuid": 1, "dests": [2], "weights": [1], "version_key": 0}
    assert bench.send(validator, "SubtensorModule", "set_weights", **weights) is None
    out, blocks = bench.state.get(S.SubnetAlphaOut, 1), bench.chain.head.number
    to_epoch(bench)
    issued = bench.state.get(S.SubnetAlphaOut, 1) - out - (bench.chain.head.number - blocks) * TAO
    served = sum(bench.state.get(S.Emission, 1)[2:])
    assert bench.state.get(S.Incentive, 1)[2] == 65535
    assert served > 0
    assert bench.state.get(S.TotalHotkeyAlpha, second, 1) == 0
    assert issued == -kept * served
