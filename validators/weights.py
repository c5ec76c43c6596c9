"""From scores by hotkey to what ``set_weights`` takes, and when in an epoch to send it. Pure functions.

The scores of a subnet's neurons go through :func:`by_uid` (a hotkey that left, or came back after
leaving, has none) and :func:`normalise` (u16, within the subnet's limits); :func:`window` says from
which block on they are sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from subnet.scoring.weights import normalise
from subnet.store import Score
from subnet.types import U16_MAX, Hotkey, Metagraph, Uid

FORMS: Final = ("auto", "hash", "timelock")
"""How weights can be committed; auto is by time-lock where that works, by hash elsewhere."""
LEAD_SHARE: Final = 8
"""Weights are sent in the last 1/8 of an epoch: late, so that they are fresh, with time to try again."""
SHORTEST_LEAD: Final = 6
"""Blocks before the epoch, at the least: local subnets have epochs of a few short blocks."""


def current(scores: Mapping[Hotkey, Score], metagraph: Metagraph) -> dict[Hotkey, float]:
    """The scores that still hold: of hotkeys that have been on the subnet ever since they earned them."""
    kept = {}
    for hotkey, score in scores.items():
        neuron = metagraph.neuron(hotkey)
        if neuron is not None and neuron.block_at_registration == score.registered:
            kept[hotkey] = score.value
    return kept


def by_uid(scores: Mapping[Hotkey, float], metagraph: Metagraph) -> dict[Uid, float]:
    """The scores under the uids that the hotkeys hold now; every other uid has 0."""
    return {neuron.uid: scores.get(neuron.hotkey, 0.0) for neuron in metagraph.neurons}


def burned(shares: Mapping[Uid, float], burn: float, owner_uid: Uid, own_uid: Uid) -> dict[Uid, float]:
    """The shares with ``burn`` (0 to 1) of all weight on the owner's uid, whose incentive the chain burns.

    All of it where no other has a share above zero; the rest in proportion, without ``own_uid``.
    """
    paid = {uid: share for uid, share in shares.items() if math.isfinite(share) and share > 0}
    paid = {uid: share for uid, share in paid.items() if uid not in (owner_uid, own_uid)}
    largest = max(paid.values(), default=0.0)
    total = math.fsum(share / largest for share in paid.values())
    rest = {uid: share / largest / total * (1 - burn) for uid, share in paid.items()}
    return dict.fromkeys(shares, 0.0) | rest | {owner_uid: burn if paid else 1.0}


def as_weights(
    shares: Mapping[Uid, float],
    *,
    own_uid: Uid | None,
    min_allowed_weights: int = 0,
    max_weights_limit: int = U16_MAX,
) -> tuple[list[Uid], list[int]]:
    """Uids and u16 weights that the subnet accepts; empty if nobody has a score above zero.

    ``shares`` names every uid of the subnet; the chain asks for no more weights than there are
    neurons, and one's own does not count. Raises ValueError if ``max_weights_limit`` can't be kept.
    """
    others = sum(uid != own_uid for uid in shares)
    return normalise(
        shares,
        own_uid=own_uid,
        min_allowed_weights=min(min_allowed_weights, others),
        max_weight_limit=max_weights_limit,
    )


def window(epoch: int, tempo: int) -> int:
    """The first block in which weights for the epoch that runs in block ``epoch`` are sent."""
    lead = min(max(tempo // LEAD_SHARE, SHORTEST_LEAD), max(tempo - 1, 1))
    return max(epoch - lead, 0)
