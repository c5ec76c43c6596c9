"""Whom a round asks: from a metagraph snapshot to the neurons that are asked. Pure functions."""

from __future__ import annotations

import random
from collections.abc import Sequence

from subnet.types import Metagraph, Neuron


def everyone(metagraph: Metagraph, but: str = "") -> list[Neuron]:
    """All neurons that say where they serve, in uid order, without the hotkey ``but`` (one's own)."""
    return [
        neuron
        for neuron in metagraph.neurons
        if neuron.axon is not None and neuron.axon.port > 0 and neuron.hotkey != but
    ]


def at_random(peers: Sequence[Neuron], count: int, dice: random.Random) -> list[Neuron]:
    """``count`` of the peers (all, if there are fewer), each as likely as any other, in uid order."""
    chosen = dice.sample(list(peers), min(max(count, 0), len(peers)))
    return sorted(chosen, key=lambda neuron: neuron.uid)
