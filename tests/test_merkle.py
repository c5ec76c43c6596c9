"""Merkle trees against the roots that Certificate Transparency's reference tests publish, and by property."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.merkle import is_member, leaf_hash, proofs, root

# The eight inputs and the roots of their prefixes in the reference tests of RFC 6962's authors
# (google/certificate-transparency, merkletree tests).
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = st.lists(st.binary(max_size=40), min_size=1, max_size=70)


@pytest.mark.parametrize("size", range(1, 9))
def test_published_roots(size: int) -> None:
    assert root(INPUTS[:size]).hex() == ROOTS[size - 1]


def test_the_root_of_nothing() -> None:
    assert root([]) == sha256(b"").digest()
    assert proofs([]) == []


def split(leaves: list[bytes]) -> bytes:
    """The definition in section 2.1, word by word."""
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\1" + split(leaves[:k]) + split(leaves[k:])).digest()


@given(LEAVES)
def test_every_member_proves_itself(leaves: list[bytes]) -> None:
    top = root(leaves)
    assert top == split(leaves)
    for index, (leaf, proof) in enumerate(zip(leaves, proofs(leaves), strict=True)):
        assert is_member(leaf, index, len(leaves), proof, top)


@given(LEAVES, st.data())
def test_nothing_else_does(leaves: list[bytes], data: st.DataObject) -> None:
    top, size = root(leaves), len(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = proofs(leaves)[index]
    leaf = leaves[index]
    assert not is_member(leaf + b"x", index, size, proof, top)
    assert not is_member(leaf, index, size, (*proof, bytes(32)), top)
    assert not is_member(leaf, index, size, proof, leaf_hash(top))
    assert not is_member(leaf, size, size, proof, top)
    assert not is_member(leaf, -1, size, proof, top)
    if proof:
        assert not is_member(leaf, index, size, proof[:-1], top)
        place = data.draw(st.integers(0, len(proof) - 1))
        forged = (*proof[:place], sha256(proof[place]).digest(), *proof[place + 1 :])
        assert not is_member(leaf, index, size, forged, top)
    other = data.draw(st.integers(0, size - 1))
    if leaves[other] != leaf:
        assert not is_member(leaf, other, size, proof, top)


def test_an_inner_node_is_no_leaf() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert not is_member(left + right, 0, 1, (), root([b"a", b"b"]))
