"""An epoch's consensus: :func:`subnet.scoring.yuma.epoch` on the state, once for each of a subnet's mechanisms.

Each mechanism has its own weights, bonds, incentive and share of the emission; what is the subnet's
(dividends, trust, permits …) is their mean, weighted by those shares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from subnet.devnet.context import Context
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import storage_index
from subnet.devnet.pallets.subtensor_commits import due
from subnet.devnet.pallets.subtensor_mechanisms import split_emission
from subnet.devnet.pallets.subtensor_networks import activity_cutoff, owner_uid
from subnet.devnet.pallets.subtensor_weights import stakes
from subnet.devnet.state import State

if TYPE_CHECKING:
    from subnet.scoring.yuma import EpochInput, EpochOutput, EpochParams

NEVER = 2**63 - 1
_ONE = 1 << 64  # of the runtime's U64F64
# what the subnet has one of, whatever its mechanisms: item, and the output's field
_MEANS: tuple[tuple[Any, str], ...] = (
    (S.Rank, "rank"),
    (S.Trust, "trust"),
    (S.Consensus, "consensus"),
    (S.Dividends, "dividends"),
    (S.Emission, "emission"),
    (S.ValidatorTrust, "validator_trust"),
    (S.PruningScores, "pruning_scores"),
    (S.StakeWeight, "stake_weight"),
)
_ANY: tuple[tuple[Any, str], ...] = ((S.Active, "active"), (S.ValidatorPermit, "validator_permit"))


def consensus(ctx: Context, netuid: int, emission: int) -> tuple[list[bytes], list[int], list[int]]:
    """Run and store the epoch of all mechanisms; returns hotkeys by uid, and what each is due (RAO) for serving
    and for validating."""
    from subnet.scoring.yuma import epoch

    state = ctx.state
    # a subnet has at least its owner's neuron, from its registration on
    hotkeys = [state.get(S.Keys, netuid, uid) for uid in range(state.get(S.SubnetworkN, netuid))]
    params = _params(ctx, netuid)
    outputs = []
    for mecid, part in enumerate(split_emission(state, netuid, emission)):
        output = epoch(_inputs(ctx, netuid, mecid, hotkeys, part), params, "head", exact=True)
        _store_mechanism(ctx, storage_index(netuid, mecid), output)
        weight = (part << 64) // emission if emission else _ONE * (mecid == 0)
        outputs.append((output, weight))
    _store_subnet(state, netuid, outputs)
    incentives = _sums([output.server_emission for output, _ in outputs])
    dividends = _sums([output.validator_emission for output, _ in outputs])
    return hotkeys, incentives, dividends


def _sums(vectors: list[Any]) -> list[int]:
    return [sum(map(int, amounts)) for amounts in zip(*vectors, strict=True)]


def _store_mechanism(ctx: Context, index: int, output: EpochOutput) -> None:
    state = ctx.state
    state.put(S.Incentive, index, to=output.incentive.tolist())
    rows = output.bonds.rows()
    for uid in range(output.active.size):
        state.put(S.Bonds, index, uid, to=rows.get(uid, []))
    emissions = [int(amount) for amount in output.server_emission]
    ctx.emit(S.IncentiveAlphaEmittedToMiners, index, emissions)


def _store_subnet(state: State, netuid: int, outputs: list[tuple[EpochOutput, int]]) -> None:
    for item, name in _MEANS:
        total = [0] * outputs[0][0].active.size
        for output, weight in outputs:
            total = [
                ((old << 64) + new * weight) >> 64
                for old, new in zip(total, getattr(output, name).tolist(), strict=True)
            ]
        state.put(item, netuid, to=total)
    for item, name in _ANY:
        columns = [getattr(output, name).tolist() for output, _ in outputs]
        state.put(item, netuid, to=[any(values) for values in zip(*columns, strict=True)])


def _params(ctx: Context, netuid: int) -> EpochParams:
    from subnet.scoring.yuma import EpochParams

    state = ctx.state
    low, high = state.get(S.AlphaValues, netuid)
    return EpochParams(
        tempo=state.get(S.Tempo, netuid),
        kappa=state.get(S.Kappa, netuid),
        bonds_penalty=state.get(S.BondsPenalty, netuid),
        bonds_moving_average=min(state.get(S.BondsMovingAverage, netuid), 1_000_000),
        yuma3=state.get(S.Yuma3On, netuid),
        liquid_alpha=state.get(S.LiquidAlphaOn, netuid),
        alpha_low=low,
        alpha_high=high,
        alpha_sigmoid_steepness=state.get(S.AlphaSigmoidSteepness, netuid),
        max_allowed_validators=state.get(S.MaxAllowedValidators, netuid),
        activity_cutoff=activity_cutoff(ctx, netuid),
        stake_threshold=state.get(S.StakeThreshold),
        owner_uid=owner_uid(state, netuid),
    )


def _inputs(ctx: Context, netuid: int, mecid: int, hotkeys: list[bytes], emission: int) -> EpochInput:
    from subnet.scoring.yuma import EpochInput, Sparse

    state, n, index = ctx.state, len(hotkeys), storage_index(netuid, mecid)
    weights = {uid: state.get(S.Weights, index, uid) for _, uid in state.keys(S.Weights, index)}
    bonds = {uid: state.get(S.Bonds, index, uid) for _, uid in state.keys(S.Bonds, index)}
    held = [stakes(state, hotkey, netuid) for hotkey in hotkeys]
    oldest = None
    if state.get(S.CommitRevealWeightsEnabled, netuid):
        oldest = [_oldest_commit(ctx, netuid, index, hotkey) for hotkey in hotkeys]
    return EpochInput(
        block=ctx.block,
        stake=[alpha for alpha, _ in held],  # type: ignore[arg-type]
        tao_stake=[root for _, root in held],  # type: ignore[arg-type]
        tao_weight=state.get(S.TaoWeight),
        weights=Sparse.of(weights),
        bonds=Sparse.of(bonds),
        last_update=_column(state, S.LastUpdate, index, n, 0),
        block_at_registration=[state.get(S.BlockAtRegistration, netuid, uid) for uid in range(n)],  # type: ignore[arg-type]
        validator_permit=_column(state, S.ValidatorPermit, netuid, n, False),
        last_step_block=state.get(S.LastMechansimStepBlock, netuid) or None,
        rao_emission=emission,
        oldest_commit=oldest,  # type: ignore[arg-type]
    )


def _oldest_commit(ctx: Context, netuid: int, index: int, hotkey: bytes) -> int:
    """The block of the oldest commit that may still be revealed."""
    commits = ctx.state.get(S.WeightCommits, index, hotkey) or ()
    return min((block for _, epoch, block, _ in commits if due(ctx, netuid, epoch) >= 0), default=NEVER)


def _column(state: State, item: Any, netuid: int, n: int, initial: Any) -> Any:
    values = state.get(item, netuid)
    return [*values[:n], *[initial] * (n - len(values))]
