"""The commit hash against vectors laid out by hand, against scalecodec, and against the local chain."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject
from scalecodec.type_registry import load_type_registry_preset

from subnet.chain import weights
from subnet.chain.weights import WeightCommit, commit_hash, storage_index
from subnet.devnet.pallets.subtensor_commits import commit_hash as node_hash
from subnet.keys import load_key, public_key_of

ALICE = load_key("//Alice").ss58_address
PUBLIC = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
U16S = st.lists(st.integers(0, 65535), max_size=70)

SCALE = RuntimeConfigurationObject()
SCALE.update_type_registry(load_type_registry_preset("legacy"))


@pytest.mark.parametrize(
    ("netuid", "mechanism", "body"),
    [
        # account | index | 2 uids: 1, 258 | 2 weights: 65535, 7 | 1 salt: 4660 | version key 5
        (2, 0, PUBLIC + "0200" + "08" + "01000201" + "08" + "ffff0700" + "04" + "3412" + "0500000000000000"),
        (2, 3, PUBLIC + "0230" + "08" + "01000201" + "08" + "ffff0700" + "04" + "3412" + "0500000000000000"),
    ],
)
def test_the_bytes_that_are_hashed(netuid: int, mechanism: int, body: str) -> None:
    found = commit_hash(ALICE, netuid, [1, 258], [65535, 7], [0x1234], version_key=5, mechanism=mechanism)
    assert found == blake2b(bytes.fromhex(body), digest_size=32).digest()


def test_a_vector_that_stays() -> None:
    found = commit_hash(ALICE, 1, [0, 1], [100, 200], [1, 2, 3], version_key=843000)
    assert found.hex() == "51c6b0b4002874a3e320081d94bc3c451a5dfdfcb537bd7cc5a27638e80da801"


@given(st.integers(0, 4095), st.integers(0, 15), U16S, U16S, U16S, st.integers(0, 2**64 - 1))
@settings(max_examples=60)
def test_as_scalecodec_encodes_it_and_as_the_node_computes_it(
    netuid: int, mechanism: int, uids: list[int], values: list[int], salt: list[int], key: int
) -> None:
    parts: list[tuple[str, Any]] = [
        ("[u8; 32]", "0x" + PUBLIC),
        ("u16", storage_index(netuid, mechanism)),
        *(("Vec<u16>", one) for one in (uids, values, salt)),
        ("u64", key),
    ]
    body = b"".join(bytes(SCALE.create_scale_object(kind).encode(value).data) for kind, value in parts)
    found = commit_hash(ALICE, netuid, uids, values, salt, version_key=key, mechanism=mechanism)
    assert found == blake2b(body, digest_size=32).digest()
    assert found == node_hash(public_key_of(ALICE), storage_index(netuid, mechanism), uids, values, salt, key)


@given(st.integers(0, 2**30 - 1))
@settings(max_examples=60)
def test_compact(number: int) -> None:
    assert weights.compact(number) == bytes(SCALE.create_scale_object("Compact<u32>").encode(number).data)


def test_a_commit_can_be_kept() -> None:
    import json

    commit = WeightCommit.fresh(ALICE, 2, [0, 1], [1, 65535], version_key=3, mechanism=1)
    again = WeightCommit.from_dict(json.loads(json.dumps(commit.as_dict())))
    assert again == commit
    assert again.hash == commit.hash
    assert len(commit.salt) == weights.SALT


def test_each_commit_has_a_salt_of_its_own() -> None:
    assert len({WeightCommit.fresh(ALICE, 2, [0], [1]).hash for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "change", [{"salt": None}, {"hotkey": "5"}, {"netuid": -1}, {"uids": [70000]}, {"more": 1}, {"version_key": "x"}]
)
def test_what_is_no_commit(change: dict[str, Any]) -> None:
    kept = WeightCommit.fresh(ALICE, 2, [0], [1]).as_dict()
    with pytest.raises(ValueError):  # noqa: PT011 - whichever part is wrong
        WeightCommit.from_dict(kept | change)


def test_mechanism_0_goes_by_the_names_that_older_runtimes_know() -> None:
    main = WeightCommit(ALICE, 2, (0,), (1,), (9,), 4)
    other = WeightCommit(ALICE, 2, (0,), (1,), (9,), 4, mechanism=1)
    assert str(weights.commit_weights(main)) == "SubtensorModule.commit_weights"
    assert str(weights.commit_weights(other)) == "SubtensorModule.commit_mechanism_weights"
    assert weights.commit_weights(other).params == {"netuid": 2, "mecid": 1, "commit_hash": other.hash}
    assert weights.reveal_weights(other).params == {
        "netuid": 2,
        "mecid": 1,
        "uids": [0],
        "values": [1],
        "salt": [9],
        "version_key": 4,
    }
    assert main.hash != other.hash


def test_what_a_batch_does_not_hold() -> None:
    main, other = WeightCommit(ALICE, 2, (0,), (1,), (9,)), WeightCommit(ALICE, 3, (0,), (1,), (9,))
    with pytest.raises(ValueError, match="one subnet"):
        weights.batch_reveal_weights([main, other])
    for form in (weights.batch_commit_weights, weights.batch_reveal_weights):
        with pytest.raises(ValueError, match="mechanism 0"):
            form([WeightCommit(ALICE, 2, (0,), (1,), (9,), mechanism=1)])
    with pytest.raises(ValueError, match="65535"):
        weights.set_weights(1, [0], [65536])
