"""Whom a round asks."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.types import AxonInfo, Hotkey, Neuron, Uid
from subnet.validators.sampling import (
    POLICIES,
    Sampler,
    at_random,
    best,
    by_staleness,
    by_uncertainty,
    everyone,
    without_repeats,
)
from tests.memory_chain import metagraph_of, neuron

GRAPH = metagraph_of(
    [
        neuron("5Me"),
        neuron("5A"),
        neuron("5Silent", axon=None),
        neuron("5B"),
        neuron("5Zero", axon=AxonInfo("10.0.0.1", 0)),
    ]
)


def test_everyone_is_all_that_serve_but_oneself() -> None:
    assert [(n.uid, n.hotkey) for n in everyone(GRAPH, but="5Me")] == [(1, "5A"), (3, "5B")]
    assert [n.uid for n in everyone(GRAPH)] == [0, 1, 3]


def test_at_random_draws_without_repeats_in_uid_order() -> None:
    peers = everyone(GRAPH)
    dice = random.Random(1)
    draws = [tuple(n.uid for n in at_random(peers, 2, dice)) for _ in range(50)]
    assert set(draws) == {(0, 1), (0, 3), (1, 3)}
    assert at_random(peers, 9, dice) == peers
    assert at_random(peers, 0, dice) == []


def peers_of(count: int) -> list[Neuron]:
    return [Neuron(Uid(uid), Hotkey(f"5{uid:03d}"), axon=AxonInfo("10.0.0.1", 8091)) for uid in range(count)]


def names(peers: Sequence[Neuron]) -> set[str]:
    return {peer.hotkey for peer in peers}


def test_nobody_is_asked_twice_before_everybody_was() -> None:
    sampler, peers = Sampler("uniform", 4, dice=random.Random(1)), peers_of(10)
    turns = [[sampler.choose(peers, {}, now=100.0 * turn + i) for i in range(3)] for turn in range(1, 21)]
    for turn in turns:
        assert [len(one) for one in turn] == [4, 4, 2]
        assert set().union(*map(names, turn)) == names(peers)
    assert len({tuple(sorted(names(turn[0]))) for turn in turns}) > 5  # in another order each time


def test_a_turn_goes_on_after_a_restart() -> None:
    peers, former = peers_of(10), Sampler("uniform", 6, dice=random.Random(2))
    asked = former.choose(peers, {}, now=50.0)
    later = Sampler("uniform", 6, dice=random.Random(3))
    later.asked, later.turn = {peer.hotkey: 50.5 for peer in asked}, former.turn  # as the ledger has it
    assert names(later.choose(peers, {}, now=60.0)) == names(peers) - names(asked)


def test_newcomers_join_a_turn_and_who_left_is_forgotten() -> None:
    sampler, peers = Sampler("uniform", 5, dice=random.Random(4)), peers_of(8)
    first = sampler.choose(peers[:5], {}, now=1.0)
    assert names(sampler.choose(peers, {}, now=2.0)) == names(peers) - names(first)
    sampler.choose(peers[:2], {}, now=3.0)
    assert len(sampler.asked) == 2


def test_a_clock_that_is_put_back_repeats_nobody() -> None:
    sampler, peers = Sampler("uniform", 3, dice=random.Random(5)), peers_of(9)
    asked = [sampler.choose(peers, {}, now) for now in (100.0, 40.0, 10.0)]
    assert set().union(*map(names, asked)) == names(peers)


def test_who_waits_longer_is_asked_more_and_nobody_never() -> None:
    sampler, peers, counts = Sampler("stale", 4, dice=random.Random(6)), peers_of(40), Counter[str]()
    for now in range(200):
        counts.update(names(sampler.choose(peers, {}, float(now))))
    assert len(counts) == 40
    assert max(counts.values()) < 2 * min(counts.values())  # 20 times each, about
    waits = {peer.hotkey: 1000.0 if peer.uid < 10 else 1.0 for peer in peers}
    drawn = Counter(peer.uid < 10 for i in range(50) for peer in by_staleness(peers, 12, waits, random.Random(i)))
    assert drawn[True] == 50 * 9  # all places but one for each other stratum


def test_who_was_never_asked_waits_longest() -> None:
    peers = peers_of(8)
    waits = {peer.hotkey: 10.0 for peer in peers[2:]}
    drawn = [by_staleness(peers, 1, waits, random.Random(i)) for i in range(30)]
    assert {peer.uid for one in drawn for peer in one} == {0, 1}


def test_the_uncertain_are_asked_most_and_the_certain_still() -> None:
    peers = peers_of(20)
    errors = {peer.hotkey: 0.5 if peer.uid < 5 else 0.001 for peer in peers}
    dice = random.Random(7)
    drawn = Counter(peer.uid < 5 for _ in range(2000) for peer in by_uncertainty(peers, 1, errors, dice))
    assert 0.85 < drawn[True] / 2000 < 0.97  # 0.9 * 0.986 + 0.1 * 5/20
    certain = Counter(peer.uid for _ in range(3000) for peer in by_uncertainty(peers, 1, errors, dice))
    assert len(certain) == 20


def test_a_miner_of_few_scores_counts_as_the_most_uncertain() -> None:
    peers, dice = peers_of(4), random.Random(8)
    errors = {Hotkey("5000"): 0.001, Hotkey("5001"): 0.001, Hotkey("5002"): 1.0}
    drawn = Counter(peer.uid for _ in range(2000) for peer in by_uncertainty(peers, 1, errors, dice))
    assert abs(drawn[3] - drawn[2]) < 200
    assert drawn[3] > 5 * drawn[0]


def test_without_known_errors_everybody_is_as_likely() -> None:
    peers, dice = peers_of(4), random.Random(9)
    for errors in ({}, {peer.hotkey: 0.0 for peer in peers}):
        drawn = Counter(peer.uid for _ in range(1000) for peer in by_uncertainty(peers, 2, errors, dice))
        assert min(drawn.values()) > 400


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="none of all, uniform, stale, uncertain"):
        Sampler("everybody", 0)


@given(
    policy=st.sampled_from(POLICIES[1:]),
    sizes=st.lists(st.integers(0, 12), max_size=8),
    size=st.integers(0, 15),
    errors=st.dictionaries(st.integers(0, 11), st.floats(0, 1e154)),
    seed=st.integers(0, 9),
)
@settings(max_examples=40)
def test_any_policy_asks_each_at_most_once_a_round_and_as_many_as_it_can(
    policy: str, sizes: list[int], size: int, errors: dict[int, float], seed: int
) -> None:
    sampler = Sampler(policy, size, dice=random.Random(seed))
    for now, count in enumerate(sizes):
        peers = peers_of(count)
        chosen = sampler.choose(peers, {Hotkey(f"5{uid:03d}"): error for uid, error in errors.items()}, float(now))
        assert len(names(chosen)) == len(chosen) <= min(size, count)
        assert [peer.uid for peer in chosen] == sorted(peer.uid for peer in chosen)
        if policy != "uniform":
            assert len(chosen) == min(size, count)
        elif size and count:
            assert chosen


def test_without_repeats_says_when_a_turn_began() -> None:
    peers, dice = peers_of(3), random.Random(1)
    assert without_repeats(peers, 3, {"5000"}, dice) == (peers[1:], False)
    assert without_repeats(peers, 3, names(peers), dice) == (peers, True)


def test_the_best_are_drawn_by_their_scores() -> None:
    peers = peers_of(6)
    scores = {Hotkey("5001"): 3.0, Hotkey("5002"): 1.0, Hotkey("5003"): 0.5, Hotkey("5004"): 0.0, Hotkey("5005"): -1.0}
    firsts = Counter(best(peers, scores, 2)[0].uid for _ in range(400))
    assert set(firsts) == {1, 2}
    assert firsts[1] > firsts[2]
    assert names(best(peers, scores, 5)) == {"5001", "5002", "5003"}
    assert len(best(peers, {}, 2)) == 2
    assert best([], {}, 2) == []
