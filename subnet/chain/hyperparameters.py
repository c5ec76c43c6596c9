"""A subnet's hyperparameters at one block, read in one round trip by the names of their items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from subnet.chain.decode import unsigned
from subnet.chain.session import Entry, Session, Snapshot
from subnet.chain.storage import u16
from subnet.errors import NoSuchSubnet
from subnet.types import Block, Netuid, Rao


@dataclass(frozen=True)
class Hyperparameters:
    """What the subnet's owner set, and what the runtime set for all.

    Shares are u16 (65535 = 1.0), times are blocks, amounts are RAO. Where the runtime does not
    have an item (yet, or any more) its field reads 0 or False: the feature is off.
    """

    netuid: Netuid
    block_hash: str
    tempo: int
    """Blocks between epochs."""
    kappa: int
    """u16: the share of stake that must agree on a weight."""
    rho: int
    immunity_period: int
    """Blocks in which a new neuron is not pruned."""
    min_allowed_weights: int
    max_weights_limit: int
    """u16: the largest share of one weight; 65535 is no limit."""
    weights_version_key: int
    weights_rate_limit: int
    """Blocks between two set_weights of one validator."""
    activity_cutoff: int
    """Blocks without an update after which a validator counts as inactive."""
    max_validators: int
    max_uids: int
    bonds_moving_average: int
    """Of 1,000,000."""
    bonds_penalty: int
    bonds_reset: bool
    commit_reveal_enabled: bool
    reveal_period: int
    """Epochs between a commit and its reveal."""
    yuma3: bool
    liquid_alpha: bool
    alpha_low: int
    alpha_high: int
    burn: Rao
    """What a registration costs now."""
    min_burn: Rao
    max_burn: Rao
    registration_allowed: bool
    max_registrations_per_block: int
    target_registrations_per_interval: int
    serving_rate_limit: int
    """Blocks between two serve_axon of one neuron."""
    pow_registration_allowed: bool
    difficulty: int
    min_difficulty: int
    max_difficulty: int
    adjustment_interval: int
    """Blocks between two adjustments of burn and difficulty, on runtimes that adjust them so."""
    adjustment_alpha: int
    """Of 2**64: how slowly an adjustment follows."""
    alpha_sigmoid_steepness: int
    """Thousandths; may be negative."""
    stake_threshold: int
    """RAO of stake weight below which weights are refused."""
    started: bool
    """Whether start_call has run: before it there is no emission. True where the runtime has no start_call (up to
    spec 218): subnets there run from the first."""
    registered_at: Block
    """The block of register_network."""


_SIZES = {  # field: (item, bytes of its integer)
    "tempo": ("Tempo", 2),
    "kappa": ("Kappa", 2),
    "rho": ("Rho", 2),
    "immunity_period": ("ImmunityPeriod", 2),
    "min_allowed_weights": ("MinAllowedWeights", 2),
    "max_weights_limit": ("MaxWeightsLimit", 2),
    "weights_version_key": ("WeightsVersionKey", 8),
    "weights_rate_limit": ("WeightsSetRateLimit", 8),
    "max_validators": ("MaxAllowedValidators", 2),
    "max_uids": ("MaxAllowedUids", 2),
    "bonds_moving_average": ("BondsMovingAverage", 8),
    "bonds_penalty": ("BondsPenalty", 2),
    "reveal_period": ("RevealPeriodEpochs", 8),
    "burn": ("Burn", 8),
    "min_burn": ("MinBurn", 8),
    "max_burn": ("MaxBurn", 8),
    "max_registrations_per_block": ("MaxRegistrationsPerBlock", 2),
    "target_registrations_per_interval": ("TargetRegistrationsPerInterval", 2),
    "serving_rate_limit": ("ServingRateLimit", 8),
    "difficulty": ("Difficulty", 8),
    "min_difficulty": ("MinDifficulty", 8),
    "max_difficulty": ("MaxDifficulty", 8),
    "adjustment_interval": ("AdjustmentInterval", 2),
    "adjustment_alpha": ("AdjustmentAlpha", 8),
    "alpha_sigmoid_steepness": ("AlphaSigmoidSteepness", 2),
    "registered_at": ("NetworkRegisteredAt", 8),
}
_SWITCHES = {
    "bonds_reset": "BondsResetOn",
    "commit_reveal_enabled": "CommitRevealWeightsEnabled",
    "yuma3": "Yuma3On",
    "liquid_alpha": "LiquidAlphaOn",
    "registration_allowed": "NetworkRegistrationAllowed",
    "pow_registration_allowed": "NetworkPowRegistrationAllowed",
    "started": "SubtokenEnabled",
}


def read_hyperparameters(session: Session, netuid: int, at: str | None) -> Hyperparameters:
    """A job: all hyperparameters at block hash ``at`` (None: the head). Raises NoSuchSubnet."""
    key = (u16(netuid),)
    items = [item for item, _ in _SIZES.values()] + [*_SWITCHES.values(), "NetworksAdded", "AlphaValues"]
    cutoffs = ["ActivityCutoff", "ActivityCutoffFactorMilli"]
    thresholds = [Entry("StakeThreshold"), Entry("WeightsMinStake")]
    snapshot = session.read([*(Entry(item, key) for item in [*items, *cutoffs]), *thresholds], at)
    if not unsigned(snapshot[Entry("NetworksAdded", key)], 1):
        raise NoSuchSubnet(f"there is no subnet {netuid}")
    numbers: dict[str, Any] = {
        name: unsigned(snapshot[Entry(item, key)], size) for name, (item, size) in _SIZES.items()
    }
    switches: dict[str, Any] = {name: bool(unsigned(snapshot[Entry(item, key)], 1)) for name, item in _SWITCHES.items()}
    switches["started"] |= not snapshot.has(_SWITCHES["started"])
    alphas = unsigned(snapshot[Entry("AlphaValues", key)], 4)
    numbers["alpha_sigmoid_steepness"] = (numbers["alpha_sigmoid_steepness"] ^ 0x8000) - 0x8000  # an i16
    return Hyperparameters(
        netuid=Netuid(netuid),
        block_hash=snapshot.block_hash,
        activity_cutoff=_activity_cutoff(snapshot, key, numbers["tempo"]),
        alpha_low=alphas & 0xFFFF,
        alpha_high=alphas >> 16,
        stake_threshold=sum(unsigned(snapshot[threshold], 8) for threshold in thresholds),
        **numbers,
        **switches,
    )


def _activity_cutoff(snapshot: Snapshot, key: tuple[bytes, ...], tempo: int) -> int:
    """In blocks; newer runtimes hold it as thousandths of the tempo."""
    if snapshot.has("ActivityCutoffFactorMilli"):
        return unsigned(snapshot[Entry("ActivityCutoffFactorMilli", key)], 4) * tempo // 1000
    return unsigned(snapshot[Entry("ActivityCutoff", key)], 2)
