"""What the field has published about Yuma consensus, found again in the lab.

Consensus protects while less than half of the stake colludes (kappa = 0.5): Luus, Steeves, Shaabana, Hu, Liu,
"Stake-Based Consensus for Utility Scoring" (bittensor.com). Copied weights earn more than honest ones where they are
public; commit-reveal makes copies stale, and helps only as far as miners' performance changes within the reveal
period: Opentensor's documentation, "The Weight Copying Problem" and "Commit Reveal". docs/decisions/016-lab.md has
the figures measured here.
"""

from __future__ import annotations

import pytest

from subnet.lab import Actor, Cabal, Honest, Scenario, WeightCopier
from subnet.lab.engine import run
from subnet.lab.trials import Trial, measure
from subnet.scoring.yuma import EpochParams


def cabal(stake: float, kappa: int = 32767) -> float:
    scenario = Scenario(attacks=[Cabal(stake=stake)], epochs=30, params=EpochParams(kappa=kappa))
    return measure(Trial(scenario, 0, seed=0)).gain


@pytest.mark.parametrize(("kappa", "bound"), [(0.5, 0.5), (0.4, 0.4), (0.6, 0.4)])
def test_consensus_protects_against_a_cabal_with_stake_under_kappa_and_not_over_it(kappa: float, bound: float) -> None:
    """Above kappa = 0.5 the bound is 1 - kappa: a cabal of that stake denies the honest miners their majority."""
    under, over = cabal(bound - 0.05, int(kappa * 65535)), cabal(bound + 0.05, int(kappa * 65535))
    assert under < -0.5
    assert over > 0.5


def test_a_cabal_s_votes_are_clipped_and_its_miners_paid_as_the_honest_judge_them() -> None:
    record = run(Scenario(attacks=[Cabal(stake=0.4)], epochs=60), 0)
    assert record.vtrust[-1, 1] < 0.1
    assert record.vtrust[-1, 0] > 0.95


def per_stake(reveal: int, drift: float, **attack: float) -> float:
    """Dividends of a unit of the copier's stake over those of the honest, once bonds have settled."""
    scenario = Scenario(
        attacks=[WeightCopier(stake=0.1, **attack)], honest=Honest(drift=drift), reveal=reveal, epochs=160
    )
    record = run(scenario, 0)
    copier, honest = (record.validator[80:, g].sum() / record.stake[80:, g].sum() for g in (1, 0))
    return float(copier / honest)


def test_a_weight_copier_out_earns_the_honest_without_commit_reveal_and_not_with_it() -> None:
    assert per_stake(reveal=0, drift=0.2) > 1.002
    assert per_stake(reveal=4, drift=0.2) < 0.998


def test_commit_reveal_does_not_help_where_miners_never_change() -> None:
    assert per_stake(reveal=4, drift=0.0) > 1.002


def test_the_later_a_copy_the_less_it_earns() -> None:
    earned = [per_stake(reveal=0, drift=0.2, late=late) for late in (0, 6)]
    assert earned == sorted(earned, reverse=True)


def test_an_honest_clone_gains_nothing() -> None:
    scenario = Scenario(attacks=[Actor(miners=4, validators=1, stake=0.1)], epochs=20)
    for seed in range(3):
        outcome = measure(Trial(scenario, 0, seed))
        assert outcome.gain == 0
        assert outcome.harm == 0
