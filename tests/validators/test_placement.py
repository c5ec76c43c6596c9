"""Placement's pieces: hashing that moves little, distinct nodes, quorums as BOINC has them."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.validators.placement import (
    NOBODY,
    TRUSTED_AFTER,
    ChoicesPlacement,
    RandomPlacement,
    Ring,
    View,
    key_of,
    keys_of,
    least_loaded,
    missing,
    mixed,
    one_each,
    quorums,
    rendezvous,
)

DICE = np.random.default_rng(7)


def random_keys(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def view(count: int, **columns: object) -> View:
    made: dict[str, object] = {
        "now": 1000.0,
        "there": np.ones(count, bool),
        "room": np.full(count, 2, np.int8),
        "free_at": np.zeros(count, np.float32),
        "came_at": np.zeros(count, np.float32),
        "speed": np.ones(count, np.float32),
        "reliability": np.full(count, 0.9, np.float32),
        "streak": np.zeros(count, np.int32),
    }
    return View(**made | columns)  # type: ignore[arg-type]


def test_a_key_is_the_hash_of_the_content() -> None:
    wanted = hashlib.blake2b(b"unit", digest_size=8).digest()
    assert key_of("unit") == key_of(b"unit") == int.from_bytes(wanted, "little")
    assert keys_of(["unit", b"other"]).tolist() == [key_of("unit"), key_of("other")]


def test_mixing_is_splitmix64() -> None:
    # the first outputs of the published generator (Vigna, splitmix64.c) for state 1234567
    state = np.array([1234567], np.uint64)
    assert [int(mixed(state, n)[0]) for n in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_rendezvous_moves_only_what_it_must() -> None:
    units, nodes = random_keys(2000), random_keys(20, seed=2)
    before = rendezvous(units, nodes, 2)
    assert before.shape == (2000, 2)
    assert (before[:, 0] != before[:, 1]).all()
    shares = np.bincount(before.ravel(), minlength=20)
    assert abs(shares - 200).max() < 75  # 5 standard deviations
    left = rendezvous(units, np.delete(nodes, 7), 2)
    left += left >= 7  # by the old numbers
    stays = (before != 7).all(axis=1)
    assert (left[stays] == before[stays]).all()
    assert (np.sort(left[~stays])[:, 0] != 7).all()
    for was, now in zip(before[~stays], left[~stays], strict=True):
        assert set(was) - {7} <= set(now)  # the other replica stays where it is


def test_rendezvous_of_few_nodes_and_of_too_many_pairs() -> None:
    assert rendezvous(random_keys(3), random_keys(1), 2).shape == (3, 1)
    assert rendezvous(random_keys(3), random_keys(0), 2).shape == (3, 0)
    with pytest.raises(ValueError, match="too many at once"):
        rendezvous(random_keys(2**14), random_keys(2**13), 1)
    with pytest.raises(ValueError, match="replicas is 0"):
        rendezvous(random_keys(3), random_keys(3), 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(0, 2**32), st.sampled_from([0, 48, 60]))
def test_the_ring_gives_the_node_that_follows_the_hash(count: int, seed: int, crowd: int) -> None:
    keys = random_keys(count, seed) >> np.uint64(crowd)  # crowded: as if somebody had chosen the keys
    there = np.random.default_rng(seed).random(count) < 0.5
    ring = Ring(keys)
    ring.join(there)
    units = random_keys(30, seed + 1)
    found = ring.candidates(units, 3)
    if not there.any():
        assert (found == NOBODY).all()
        return
    alive = np.flatnonzero(there)
    for row, unit in zip(found, units, strict=True):
        for salt, node in enumerate(row):
            after = (keys[alive] - mixed(np.array([unit]), salt)).astype(np.uint64)  # the way round the ring
            assert keys[node] == keys[alive[np.argmin(after)]]
            assert there[node]


def test_the_least_loaded_is_the_one_likely_to_answer_soonest() -> None:
    candidates = np.array([[0, 1, 2]] * 2)
    had = np.array([[NOBODY, NOBODY], [NOBODY, 1]], np.int32)
    work = np.full(2, 100, np.float32)
    busy = view(3, free_at=np.array([1500, 1100, 1200], np.float32))
    assert least_loaded(candidates, work, had, busy).tolist() == [1, 2]  # not one that has had it
    unreliable = view(3, reliability=np.array([0.9, 0.1, 0.2], np.float32))
    assert least_loaded(candidates, work, had, unreliable).tolist() == [0, 0]
    fast = view(3, speed=np.array([1, 1, 3], np.float32))
    assert least_loaded(candidates, work, had, fast).tolist() == [2, 2]
    young = view(3, came_at=np.array([900, 900, 0], np.float32))
    assert least_loaded(candidates, work, had, young).tolist() == [2, 2]
    full = view(3, room=np.zeros(3, np.int8))
    assert least_loaded(candidates, work, had, full).tolist() == [NOBODY, NOBODY]
    assert least_loaded(np.full((2, 3), NOBODY), work, had, view(3)).tolist() == [NOBODY, NOBODY]


@given(st.lists(st.integers(-1, 9), max_size=40))
def test_a_node_gets_one_at_a_time_and_the_first_has_it(nodes: list[int]) -> None:
    given_ = one_each(np.array(nodes, np.int64), 10).tolist()
    assert given_ == [n if n not in nodes[:i] else NOBODY for i, n in enumerate(nodes)]


@pytest.mark.parametrize("policy", [RandomPlacement(), ChoicesPlacement(random_keys(50))])
def test_a_policy_gives_nobody_what_it_has_had_or_has_no_room_for(policy: RandomPlacement | ChoicesPlacement) -> None:
    room = np.arange(50) % 3
    seen = view(50, room=room.astype(np.int8), there=np.arange(50) % 2 == 0)
    had = DICE.integers(-1, 50, (400, 6)).astype(np.int32)
    policy.begin(seen)
    nodes = policy.place(DICE, random_keys(400), np.full(400, 60, np.float32), had, seen)
    found = nodes[nodes != NOBODY]
    assert found.size > 5
    assert np.unique(found).size == found.size
    assert (room[found] > 0).all()
    assert (found % 2 == 0).all()
    assert not (had == nodes[:, None])[nodes != NOBODY].any()
    policy.begin(view(50, there=np.zeros(50, bool)))
    assert (policy.place(DICE, random_keys(4), np.ones(4, np.float32), had[:4], seen) == NOBODY).all()


def test_the_same_unit_goes_to_the_same_nodes_whoever_asks() -> None:
    keys = random_keys(500)
    units, had = random_keys(20), np.full((20, 2), NOBODY, np.int32)
    places = []
    for dice in (np.random.default_rng(1), np.random.default_rng(2)):
        policy = ChoicesPlacement(keys)
        policy.begin(view(500))
        places.append(policy.place(dice, units, np.ones(20, np.float32), had, view(500)))
    assert (places[0] == places[1]).all()


def test_quorums_are_those_of_adaptive_replication() -> None:
    streak = np.repeat(np.array([0, TRUSTED_AFTER - 1, TRUSTED_AFTER, 100], np.int32), 20_000)
    asked = quorums(streak, np.random.default_rng(3), least=2).reshape(4, -1)
    assert (asked[:2] == 2).all()
    assert (asked[2] == 2).mean() == pytest.approx(1 / 10, abs=0.01)
    assert (asked[3] == 2).mean() == pytest.approx(1 / 100, abs=0.004)


def test_what_is_missing() -> None:
    quorum, agreeing, under_way = (np.array(a, np.int8) for a in ([2, 2, 2, 1, 3], [0, 1, 1, 0, 1], [2, 0, 1, 0, 0]))
    assert missing(quorum, agreeing, under_way).tolist() == [0, 1, 0, 1, 2]


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="quorum is 0"):
        RandomPlacement(0)
    with pytest.raises(ValueError, match="choices is 65"):
        ChoicesPlacement(random_keys(3), choices=65)
