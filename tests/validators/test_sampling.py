"""Whom a round asks."""

from __future__ import annotations

import random

from subnet.types import AxonInfo
from subnet.validators.sampling import at_random, everyone
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
