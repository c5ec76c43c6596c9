"""The checks of ``subnet doctor`` that go by what the chain says: latency, registration, stake, permit, version
key, commit-reveal, and how long ago weights were set."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from subnet.cli.findings import Finding
from subnet.types import RAO_PER_TAO, tao

if TYPE_CHECKING:
    from subnet.chain import Hyperparameters
    from subnet.store import Commit
    from subnet.types import Metagraph, Neuron

SLOW: Final = 0.5  # seconds for a call that reads one number
BEHIND: Final = 5  # blocks


@dataclass(frozen=True, slots=True)
class Typed:
    """How the remedies that spend are typed: who is registered or staked on, who pays, and on which chain."""

    netuid: int
    hotkey: str
    payer: str
    """``--wallet NAME`` or ``--key //Name``."""
    endpoint: str | None = None
    """Where it is another than the settings'."""

    def register(self) -> str:
        """The command that registers the hotkey."""
        return self._command("register")

    def stake(self, rao: int) -> str:
        """The command that puts so much more on it, in whole TAO."""
        return self._command(f"stake {-(-rao // RAO_PER_TAO)}")

    def _command(self, words: str) -> str:
        elsewhere = "" if self.endpoint is None else f" --endpoint {shlex.quote(self.endpoint)}"
        return f"subnet {words} --netuid {self.netuid} --hotkey {self.hotkey} {self.payer}{elsewhere}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one endpoint gave: seconds a call, its head and its genesis, or why there was nothing."""

    endpoint: str
    seconds: Sequence[float] = ()
    head: int = 0
    genesis: str = ""
    trouble: str = ""


def latency(measured: Sequence[Measured]) -> Iterator[Finding]:
    """How quick each endpoint is, and whether all of them are one chain at one height."""
    highest = max((one.head for one in measured), default=0)
    chains = {one.genesis for one in measured if one.genesis}
    for one in measured:
        if one.trouble:
            remedy = "Check --endpoint and that the node runs; name several, joined by commas."
            named = one.trouble if one.endpoint in one.trouble else f"{one.endpoint}: {one.trouble}"
            yield Finding("endpoint", "fail", named, remedy)
            continue
        took = f"{one.endpoint} answers in {median(one.seconds) * 1000:.0f} ms"
        if median(one.seconds) > SLOW:
            yield Finding("endpoint", "warn", took, "Choose a nearer endpoint, or run a node of your own.")
        elif one.head < highest - BEHIND:
            told = f"{took}, but is {highest - one.head} blocks behind another"
            yield Finding("endpoint", "warn", told, "Wait until its node has caught up, or leave it out.")
        else:
            yield Finding("endpoint", "ok", took)
    if len(chains) > 1:
        yield Finding(
            "endpoint", "fail", "the endpoints are different chains", "Name one network's; pin it by --genesis-hash."
        )


def registration(metagraph: Metagraph, typed: Typed) -> Finding:
    """Whether the hotkey has a uid."""
    neuron = metagraph.neuron(typed.hotkey)
    if neuron is None:
        told = f"{typed.hotkey} has no uid on subnet {metagraph.netuid}"
        return Finding("registration", "fail", told, typed.register())
    told = f"uid {neuron.uid} on subnet {metagraph.netuid} since block {neuron.block_at_registration}"
    return Finding("registration", "ok", told)


def stake(neuron: Neuron, rules: Hyperparameters, role: str, typed: Typed) -> Finding:
    """Whether a validator has what the chain asks of those who set weights, and any at all."""
    told = f"{tao(neuron.stake):,.3f} of stake"
    if role != "validator":
        return Finding("stake", "ok", f"{told}; a miner needs none")
    if neuron.stake < rules.stake_threshold:
        asked = f"{told}, and the chain asks {tao(rules.stake_threshold):,.3f} of who sets weights"
        return Finding("stake", "fail", asked, typed.stake(rules.stake_threshold - neuron.stake))
    if not neuron.stake:
        return Finding("stake", "fail", "no stake: without any it gets no permit", typed.stake(RAO_PER_TAO))
    return Finding("stake", "ok", told)


def permit(metagraph: Metagraph, neuron: Neuron, rules: Hyperparameters, role: str, typed: Typed) -> Finding:
    """Whether a validator may set weights, and how its stake ranks where it may not."""
    if role != "validator":
        return Finding("permit", "ok", "a miner needs none")
    if neuron.validator_permit or neuron.hotkey == metagraph.owner_hotkey:
        return Finding("permit", "ok", "it may set weights")
    rank = 1 + sum(int(one) > neuron.stake for one in metagraph.stake)
    told = f"no permit; its stake is number {rank}, and {rules.max_validators} may validate"
    if rank <= rules.max_validators:
        return Finding("permit", "warn", told, f"Permits are given at each epoch: wait {rules.tempo} blocks.")
    last = sorted(map(int, metagraph.stake), reverse=True)[rules.max_validators - 1]
    return Finding("permit", "fail", f"{told}, of {tao(last):,.3f} or more", typed.stake(last + 1 - neuron.stake))


def version_key(rules: Hyperparameters, built_for: int | None, kept: Sequence[Commit]) -> Finding:
    """Whether weights will be taken under the subnet's version key; ``kept``: open commits of the ledger."""
    asked = rules.weights_version_key
    if built_for is not None and built_for < asked:
        told = f"the subnet asks for version key {asked}, and this validator was made for {built_for}"
        return Finding("version-key", "fail", told, "Install the subnet's current code: its owner raised the key.")
    older = [commit for commit in kept if commit.version_key < asked]
    if older:
        told = f"{len(older)} open commits were made under an older version key than {asked}: the chain refuses them"
        return Finding("version-key", "warn", told, "The next epoch's weights take their place; nothing else helps.")
    return Finding("version-key", "ok", f"the subnet asks for {asked}, and `subnet run` sends what it asks for")


def commit_reveal(
    rules: Hyperparameters, head: int, due: Mapping[str, int], kept: Sequence[Commit] | None
) -> Iterator[Finding]:
    """``due``: the first block that takes the reveal of each commit on the chain, by its hash; ``kept``: those
    whose salt is on this disk, None where no ledger was found."""
    if not rules.commit_reveal_enabled:
        yield Finding("commit-reveal", "ok", "off: weights are set in the open")
        return
    salts = {commit.hash for commit in kept or () if commit.salt}
    for name, first in due.items():
        last, brief = first + rules.tempo, name[:12]
        if head > last:
            told = f"commit {brief} was to be revealed until block {last}: it is too late"
            yield Finding("commit-reveal", "fail", told, "Keep the validator running; its next commit takes its place.")
        elif kept is not None and name not in salts:
            told = f"the salt of commit {brief} is not in the ledger: it can't be revealed"
            remedy = "Run the validator with the --state that it had, or where it was; two must not share a hotkey."
            yield Finding("commit-reveal", "fail", told, remedy)
        elif head >= first:
            told = f"commit {brief} is due: to be revealed until block {last}"
            yield Finding("commit-reveal", "warn", told, "Start the validator, if it does not run: it reveals at once.")
        else:
            yield Finding("commit-reveal", "ok", f"commit {brief} is to be revealed from block {first} on")
    if not due:
        yield Finding("commit-reveal", "ok", f"on, {rules.reveal_period} epochs; no commit is open")


def mechanisms(silent: Mapping[int, bool]) -> Iterator[Finding]:
    """Whether a validator has weights in each mechanism; ``silent``: those beyond the first, True without any."""
    if not silent:
        return
    without = [mechanism for mechanism, none in silent.items() if none]
    told = f"the subnet has {len(silent) + 1}"
    if not without:
        yield Finding("mechanisms", "ok", f"{told}, and it has weights in each")
        return
    named = ", ".join(map(str, without))
    remedy = f"Run it with -o mechanisms={len(silent) + 1}; weigh_mechanism says what differs between them."
    yield Finding("mechanisms", "warn", f"{told}, and it has no weights in mechanism {named}", remedy)


def weights_age(neuron: Neuron, rules: Hyperparameters, head: int) -> Finding:
    """How long ago a validator set weights; after the cutoff it counts for nothing."""
    age = head - neuron.last_update
    told = f"set {age} blocks ago; it counts as inactive after {rules.activity_cutoff}"
    remedy = "Read the validator's log for weights_failed, or: subnet history weights."
    if age > rules.activity_cutoff:
        return Finding("weights", "fail", told, remedy)
    if age > 2 * (rules.tempo + 1) and age > rules.activity_cutoff // 2:
        return Finding("weights", "warn", told, remedy)
    return Finding("weights", "ok", told)
