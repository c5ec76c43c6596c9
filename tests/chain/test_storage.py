"""Storage keys against keys that a Substrate node is known to use."""

from __future__ import annotations

import pytest

from subnet.chain.storage import HASHERS, Item, item_prefix, twox128, u16
from subnet.errors import ChainMalformed
from subnet.keys import public_key_of

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"


def test_names_hash_as_substrate_documents() -> None:
    assert twox128("System").hex() == "26aa394eea5630e07c48ae0c9558cef7"
    assert twox128("Account").hex() == "b99d880ec681799c0cf30e8886371da9"
    assert item_prefix("Sudo", "Key").hex() == "5c0d1176a568c1f92944340dbfed9e9c530ebca703c85910e7164cb7d1c9e47b"


def test_alices_account_key_is_the_known_one() -> None:
    item = Item("System", "Account", item_prefix("System", "Account"), ("Blake2_128Concat",), None)
    assert item.key(public_key_of(ALICE)) == (
        "0x26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9"
        "de1e86a9a8c739864cf3cc5ec2bea59fd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
    )


@pytest.mark.parametrize(
    ("hasher", "digest"),
    [
        ("Identity", ""),
        ("Twox64Concat", "99e9d85137db46ef"),
        ("Twox128", "99e9d85137db46ef4bbea33613baafd5"),
        ("Blake2_128", "cae66941d9efbd404e4d88758ea67670"),
        ("Blake2_128Concat", "cae66941d9efbd404e4d88758ea67670"),
        ("Blake2_256", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"),
    ],
)
def test_hashers_on_nothing(hasher: str, digest: str) -> None:
    assert HASHERS[hasher](b"").hex() == digest


@pytest.mark.parametrize("hasher", ["Identity", "Twox64Concat", "Blake2_128Concat"])
def test_concat_hashers_end_in_their_input(hasher: str) -> None:
    assert HASHERS[hasher](b"netuid").endswith(b"netuid")


def test_agrees_with_substrate_interface() -> None:
    from substrateinterface.utils.hasher import blake2_128_concat, two_x64_concat, xxh128

    part = bytes(range(34))
    assert HASHERS["Blake2_128Concat"](part) == blake2_128_concat(part)
    assert HASHERS["Twox64Concat"](part) == two_x64_concat(part)
    assert twox128("SubtensorModule") == xxh128(b"SubtensorModule")


def test_wrong_number_of_parts_and_unknown_hashers_are_refused() -> None:
    item = Item("SubtensorModule", "Keys", b"", ("Identity", "Identity"), b"")
    assert item.key(u16(1), u16(258)) == "0x01000201"
    with pytest.raises(ChainMalformed, match="takes 2 keys"):
        item.key(u16(1))
    with pytest.raises(ChainMalformed, match="unknown hasher"):
        Item("SubtensorModule", "Keys", b"", ("Blake3",), b"").key(u16(1))
