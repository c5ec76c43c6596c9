"""Commitments and identities: what hotkeys, coldkeys and subnets publish, and within which bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.devnet.pallets.commitments import DATA, INFO, MAX_RAW, Commitments
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.scale import ScaleError
from tests.devnet.conftest import Bench

RAW = ("Raw5", b"hello")


def commit(bench: Bench, who: bytes, *fields: tuple[str, Any]) -> str | None:
    return bench.send(who, "Commitments", "set_commitment", netuid=1, info={"fields": list(fields)})


def test_a_commitment_is_stored_with_its_block(bench: Bench) -> None:
    (hotkey,) = bench.subnet(1)
    assert commit(bench, hotkey, RAW, ("Sha256", bytes(32))) is None
    stored = bench.state.get(Commitments.CommitmentOf, 1, hotkey)
    block = bench.chain.head.number
    assert stored == {"deposit": 0, "block": block, "info": {"fields": [RAW, ("Sha256", bytes(32))]}}
    assert bench.state.get(Commitments.LastCommitment, 1, hotkey) == block
    assert bench.events("Commitments") == [("Commitment", {"netuid": 1, "who": hotkey})]


def test_only_hotkeys_of_the_subnet_may_commit(bench: Bench) -> None:
    bench.subnet(1)
    assert commit(bench, bench.bob, RAW) == "AccountNotAllowedCommit"


def test_the_space_of_an_epoch_is_bounded_and_comes_back_with_the_next(bench: Bench) -> None:
    (hotkey,) = bench.subnet(1)
    assert bench.sudo_call("Commitments", "set_max_space", new_limit=700) is None
    big = ("BigRaw", b"x" * 512)
    while bench.state.get(S.BlocksSinceLastStep, 1):  # begin with a whole epoch ahead
        bench.blocks(1)
    assert commit(bench, hotkey, big) is None
    assert commit(bench, hotkey, RAW) is None  # counts for 100 bytes
    assert commit(bench, hotkey, RAW) == "SpaceLimitExceeded"
    bench.blocks(5)
    assert commit(bench, hotkey, big) is None


def test_time_locked_fields_are_refused_by_name(bench: Bench) -> None:
    (hotkey,) = bench.subnet(1)
    field = ("TimelockEncrypted", {"encrypted": b"x", "reveal_round": 1})
    assert commit(bench, hotkey, field) == "CallDisabled"


def test_the_flag_resets_bonds_on_the_hotkey_where_the_subnet_allows_it(bench: Bench) -> None:
    hotkey, _ = bench.subnet(2)
    uid = bench.state.get(S.Uids, 1, hotkey)
    bench.write(S.Bonds, 1, 2, to=[(0, 5), (uid, 7)])
    bench.write(S.BondsMovingAverage, 1, to=1_000_000)
    assert commit(bench, hotkey, ("ResetBondsFlag", None)) is None
    assert (uid, 7) in bench.state.get(S.Bonds, 1, 2)
    assert bench.sudo("sudo_set_bonds_reset_enabled", netuid=1, enabled=True) is None
    bench.write(S.Bonds, 1, 2, to=[(0, 5), (uid, 7)])
    assert commit(bench, hotkey, ("ResetBondsFlag", None)) is None
    assert bench.state.get(S.Bonds, 1, 2) == [(0, 5)]
    assert bench.state.get(Commitments.LastBondsReset, 1, hotkey) == bench.chain.head.number


fields = st.one_of(
    st.binary(max_size=MAX_RAW).map(lambda data: (f"Raw{len(data)}", data)),
    st.binary(max_size=512).map(lambda data: ("BigRaw", data)),
    st.binary(min_size=32, max_size=32).map(lambda data: ("Keccak256", data)),
    st.just(("ResetBondsFlag", None)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(fields, max_size=3))
def test_any_commitment_survives_its_encoding(some: list[tuple[str, Any]]) -> None:
    assert INFO.decode(INFO.encode({"fields": some})) == {"fields": some}


def test_more_than_the_bounds_is_not_decoded() -> None:
    with pytest.raises(ScaleError):
        INFO.decode(bytes([4 << 2]) + bytes(4))  # four empty fields
    with pytest.raises(ScaleError):
        DATA.encode(("BigRaw", bytes(513)))
    with pytest.raises(ScaleError):
        DATA.decode(bytes([137]))


IDENTITY = dict.fromkeys(("name", "url", "github_repo", "image", "discord", "description", "additional"), b"x")
SUBNET = dict.fromkeys(
    ("subnet_name", "github_repo", "subnet_contact", "subnet_url", "discord", "description", "logo_url", "additional"),
    b"y",
)


def test_an_identity_needs_a_registered_hotkey_and_short_fields(bench: Bench) -> None:
    bench.subnet(1)
    assert bench.send(bench.charlie, "SubtensorModule", "set_identity", **IDENTITY) == "HotKeyNotRegisteredInNetwork"
    long = {**IDENTITY, "url": b"x" * 257}
    assert bench.send(bench.bob, "SubtensorModule", "set_identity", **long) == "InvalidIdentity"
    assert bench.send(bench.bob, "SubtensorModule", "set_identity", **IDENTITY) is None
    assert ("ChainIdentitySet", bench.bob) in bench.events("SubtensorModule")
    assert bench.state.get(S.IdentitiesV2, bench.bob) == IDENTITY


def test_a_subnets_identity_is_its_owners_to_set(bench: Bench) -> None:
    bench.subnet()
    assert bench.send(bench.bob, "SubtensorModule", "set_subnet_identity", netuid=1, **SUBNET) == "NotSubnetOwner"
    long = {**SUBNET, "subnet_name": b"x" * 257}
    assert bench.send(bench.alice, "SubtensorModule", "set_subnet_identity", netuid=1, **long) == "InvalidIdentity"
    assert bench.send(bench.alice, "SubtensorModule", "set_subnet_identity", netuid=1, **SUBNET) is None
    assert bench.state.get(S.SubnetIdentitiesV3, 1) == SUBNET


def test_a_subnet_can_be_registered_with_its_identity(bench: Bench) -> None:
    send = {"hotkey": bench.key("owner"), "identity": SUBNET}
    assert bench.send(bench.alice, "SubtensorModule", "register_network_with_identity", **send) is None
    names = [name for name, _ in bench.events("SubtensorModule")]
    assert names == ["NetworkAdded", "SubnetIdentitySet"]
    assert bench.state.get(S.SubnetIdentitiesV3, 1) == SUBNET
