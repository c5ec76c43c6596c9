"""The runtime's own epoch, compiled for this machine: to time it, and to hold the exact form against it.

    python benchmarks/_runtime.py --subtensor CLONE --out runtime-epoch

Takes ``epoch/math.rs`` and the epoch's body in ``epoch/run_epoch.rs`` as they are out of a git clone of
github.com/opentensor/subtensor, at the commits that :mod:`subnet.scoring.yuma` follows, puts storage reads in the place
of a state given in numbers (``_runtime.rs`` beside this), and builds with cargo. It is the same arithmetic without
Substrate and wasm around it, and so the lower bound of what an epoch costs a node.

``benchmarks/yuma.py --runtime runtime-epoch`` prints its time; ``SUBNET_TEST_RUNTIME=runtime-epoch pytest
tests/scoring/test_runtime.py`` compares what it stores. Nothing of the runtime's source is kept in this project.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from subnet.scoring.yuma import EpochInput, EpochParams, Variant

COMMITS = {"293": "beda29a", "head": "14bc6f9"}
FIXED = 'git = "https://github.com/opentensor/substrate-fixed.git", tag = "v0.5.9"'
CARGO = """[package]
name = "runtime-epoch"
version = "0.0.0"
edition = "2024"

[dependencies]
substrate-fixed = {{ {fixed} }}

[profile.release]
opt-level = 3

[workspace]
"""
HELPERS = (
    "compute_ema_bonds_normal_sparse",
    "compute_bonds_sparse",
    "compute_liquid_alpha_values_sparse",
    "alpha_sigmoid",
    "compute_disabled_liquid_alpha",
)
# storage reads of either commit, and where the case has them
READS = {
    r"Self::get_float_(kappa|bonds_penalty)\(netuid\)": r"proportion(c.\1)",
    r"Self::get_subnetwork_n\(netuid\)": "c.n",
    r"Self::get_current_block_as_u64\(\)": "c.block",
    r"Self::get_tempo\(netuid\)\.into\(\)": "c.tempo",
    r"Self::get_activity_cutoff(\(netuid\) as u64|_blocks\(netuid\))": "c.activity_cutoff",
    r"Self::get_last_update\(\w+\)": "c.last_update.clone()",
    r"Self::get_block_at_registration\(netuid\)": "c.block_at_registration.clone()",
    r"Self::get_stake_weights_for_network\(netuid\)": "c.stakes()",
    r"Self::get_stake_threshold\(\)": "c.stake_threshold",
    r"Self::get_validator_permit\(netuid\)": "c.validator_permit.clone()",
    r"Self::get_max_allowed_validators\(netuid\)": "c.max_allowed_validators",
    r"Self::get_owner_uid\(netuid\)": "c.owner_uid",
    r"Self::get_(weights|bonds)_sparse\(\w+\)": r"c.sparse(&c.\1)",
    r"Self::get_bonds_sparse_fixed_proportion\(\w+\)": "c.proportional_bonds()",
    r"Self::get_bonds_moving_average\(netuid\)": "c.bonds_moving_average",
    r"Self::get_alpha_sigmoid_steepness\(netuid\)": "I32F32::saturating_from_num(c.alpha_sigmoid_steepness)",
    r"Self::get_alpha_values_32\(netuid\)": "(proportion(c.alpha_low), proportion(c.alpha_high))",
    r"Self::get_commit_reveal_weights_enabled\(netuid\)": "c.oldest_commit.is_some()",
    r"Yuma3On::<T>::get\(netuid\)": "c.yuma3",
    r"LiquidAlphaOn::<T>::get\(netuid\)": "c.liquid_alpha",
    r"LastMechansimStepBlock::<T>::get\(netuid\)": "c.last_step_block",
    r"let \(netuid, _\) = Self::get_netuid_and_subid\(netuid_index\)\.unwrap_or_default\(\);": "",
    r"Self::(compute_\w+|alpha_sigmoid)\b": r"\1",
    r"(compute_(?:bonds|liquid_alpha_values)_sparse\()netuid(?:_index)?\b": r"\1c",
    r"(&bonds_delta, &bonds, )netuid(?:_index)?\b": r"\1c",
    r"compute_disabled_liquid_alpha\(netuid\)": "compute_disabled_liquid_alpha(c)",
    r"netuid(?:_index)?: NetUid(?:StorageIndex)?": "c: &Case",
    r"AlphaBalance::from\((e\.saturating_to_num::<u64>\(\))\)": r"\1",
    r"(e\.saturating_to_num::<u64>\(\))\.into\(\)": r"\1",
    r"AlphaBalance": "u64",
}
# what is left out of the body: (from, up to), by commit
CUTS = {
    "293": [("let hotkeys", "// Access network stake as"), ("StakeWeight::<T>::insert", None)],
    "head": [
        (
            "let mut commit_blocks",
            "weights = vec_mask_sparse_matrix(\n                &weights,\n                &commit_blocks",
        ),
        ('log::trace!(\n                "Commit-reveal column', "}\n\n        // Normalize remaining weights."),
        ("let raw_stake", None),
    ],
}
STORED = """
    let bonds = new_validator_permits.iter().zip(&validator_permits).zip(&ema_bonds).map(|((new, old), row)| {{
        let row = row.iter().map(|(j, value)| (*j, fixed_proportion_to_u16(*value)));
        if *new {{ Some(row.collect()) }} else if {cleared} {{ Some(vec![]) }} else {{ None }}
    }});
    Output {{
        bonds: bonds.collect(),
        stake_weight: cloned_stake_weight,
        active,
        rank: {rank},
        trust: {trust},
        consensus: cloned_consensus,
        incentive: cloned_incentive,
        dividends: cloned_dividends,
        validator_trust: cloned_validator_trust,
        pruning_scores: {pruning},
        validator_permit: new_validator_permits.clone(),
        emission: cloned_emission,
        server_emission,
        validator_emission,
    }}
}}
"""


def function(source: str, name: str) -> str:
    found = re.search(r"\n    pub fn " + name + r"\(.*?\n    \}\n", source, re.DOTALL)
    if not found:
        sys.exit(f"no function {name} in run_epoch.rs: another commit?")
    return found.group(0)


def without(body: str, first: str, up_to: str | None) -> str:
    start = body.find(first)
    end = len(body) if up_to is None else body.find(up_to, start)
    if start < 0 or end < 0:
        sys.exit(f"no {first!r} in the epoch: another commit?")
    return body[:start] + body[end:]


def epoch_source(source: str, variant: Variant) -> str:
    """The epoch of ``run_epoch.rs`` as a function of a case."""
    body = function(source, "epoch" if variant == "293" else "epoch_mechanism")
    body = body[body.index("// Get current block.") :]
    for cut in CUTS[variant]:
        body = without(body, *cut)
    old = variant == "293"
    names = ("cloned_ranks", "cloned_trust", "cloned_pruning_scores") if old else ("vec![]",) * 3
    stored = STORED.format(
        cleared="*old" if old else "true", **dict(zip(("rank", "trust", "pruning"), names, strict=True))
    )
    commits = "" if old else "let commit_blocks = c.oldest_commit.clone().unwrap_or_default();"
    text = "".join(function(source, name) for name in HELPERS)
    head = f"use crate::*;\nuse crate::math_{variant}::*;\nuse crate::safe_math::*;\nuse substrate_fixed::types::*;\n"
    head += f"pub fn epoch(c: &Case) -> Output {{\n let (n, rao_emission) = (c.n, c.rao_emission);\n{commits}\n"
    text = head + body + stored + text
    for pattern, value in READS.items():
        text = re.sub(pattern, value, text)
    return text


def math_source(source: str) -> str:
    source = source.replace("use sp_runtime::", "use crate::sp_runtime::").replace("use sp_std::", "use std::")
    source = source.replace("use safe_math::", "use crate::safe_math::")
    return "use crate::log;\n" + re.sub(r"use (num_traits::float::Float|crate::alloc::borrow::ToOwned);", "", source)


def build(clone: Path, out: Path, fixed: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        crate = Path(folder)
        (crate / "src").mkdir()
        (crate / "Cargo.toml").write_text(CARGO.format(fixed=fixed))
        shutil.copy(Path(__file__).with_suffix(".rs"), crate / "src" / "main.rs")
        for variant, commit in COMMITS.items():
            math, epoch = (_show(clone, commit, name) for name in ("math", "run_epoch"))
            (crate / "src" / f"math_{variant}.rs").write_text(math_source(math))
            (crate / "src" / f"epoch_{variant}.rs").write_text(epoch_source(epoch, variant))  # type: ignore[arg-type]
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=crate, check=True)
        shutil.copy(crate / "target" / "release" / "runtime-epoch", out)


def _show(clone: Path, commit: str, name: str) -> str:
    path = f"{commit}:pallets/subtensor/src/epoch/{name}.rs"
    return subprocess.run(["git", "-C", clone, "show", path], check=True, capture_output=True, text=True).stdout


# --- using it ---


def numbers(state: EpochInput, rules: EpochParams, variant: Variant) -> str:
    """A case as the program reads it."""
    optional = [-1 if rules.owner_uid is None else rules.owner_uid, state.rao_emission, state.last_step_block or 0]
    out: list[Any] = [293 if variant == "293" else 0, state.n, state.block, rules.tempo, rules.activity_cutoff]
    out += [rules.kappa, rules.bonds_penalty, rules.bonds_moving_average, int(rules.yuma3), int(rules.liquid_alpha)]
    out += [rules.alpha_low, rules.alpha_high, rules.alpha_sigmoid_steepness, rules.max_allowed_validators]
    out += [rules.stake_threshold, *optional, state.tao_weight, *state.stake.tolist()]
    out += [0] * state.n if state.tao_stake is None else state.tao_stake.tolist()
    out += [*state.last_update.tolist(), *state.block_at_registration.tolist(), *map(int, state.validator_permit)]
    out += [0] if state.oldest_commit is None else [1, *state.oldest_commit.tolist()]
    for rows in (state.weights.rows(), state.bonds.rows()):
        out.append(len(rows))
        for uid, row in rows.items():
            out += [uid, len(row), *(number for pair in row for number in pair)]
    return " ".join(map(str, out))


def _run(program: Path, cases: Iterable[str], *args: str) -> list[Any]:
    command = [program.absolute(), *args]
    done = subprocess.run(command, input="\n".join(cases), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def outputs(program: Path, cases: Iterable[tuple[EpochInput, EpochParams, Variant]]) -> list[dict[str, Any]]:
    """What the runtime stores, under the names of EpochOutput; a row of ``bonds`` that it leaves alone is None."""
    return _run(program, [numbers(*case) for case in cases])


def median_ms(program: Path, state: EpochInput, rules: EpochParams, variant: Variant, repetitions: int) -> float:
    """Of one epoch."""
    return float(np.median(_run(program, [numbers(state, rules, variant)], str(repetitions))[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subtensor", type=Path, required=True, help="a git clone of github.com/opentensor/subtensor")
    parser.add_argument("--out", type=Path, required=True, help="the program to write")
    parser.add_argument("--substrate-fixed", type=Path, help="a checkout of it, instead of the runtime's own release")
    args = parser.parse_args()
    fixed = f'path = "{args.substrate_fixed.absolute()}"' if args.substrate_fixed else FIXED
    build(args.subtensor, args.out, fixed)


if __name__ == "__main__":
    main()
