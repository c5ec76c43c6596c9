"""The local node in the shape of another runtime version, so that the client meets old chains as they were.

:func:`wear` changes the declarations of this process's :mod:`subnet.devnet` to those of a version: which
storage items, calls, events and errors there are and under which numbers, the signed extensions, what the
pool refuses and by which code, what runtime APIs answer. The facts stand in ``<name>.json`` beside this file;
what they hold and the local node does not is left out, so a shape has no more than the node itself. What the
calls do stays the node's, but for :data:`QUIRKS`. Since declarations belong to a process, so does a shape:
``python tests/chain/shapes/node.py 218`` runs one.

"shuffled" is head's shape with every number moved: pallets, calls, events, errors. A client that went by any
index would get nowhere on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from subnet.devnet import scale as s
from subnet.devnet.pallets import system

FOLDER = Path(__file__).parent
NAMES = ("218", "293", "343", "head", "shuffled")
OLDER = ("218", "293", "343")  # epochs by the block's number
LOW_STAKE = "NotEnoughStakeToSetWeights"
_AXON = {
    "HotKeyNotRegisteredInNetwork": 10,
    "InvalidIpAddress": 11,
    "ServingRateLimitExceeded": 12,
    "InvalidPort": 13,
    "InvalidIpType": 255,
}
POOL: dict[str, dict[str, dict[str, int]]] = {
    # what each version's transaction extension refuses, by call and error; the rest fails in the block
    "218": {
        "set_weights": {LOW_STAKE: 3},
        "commit_weights": {LOW_STAKE: 1},
        "reveal_weights": {LOW_STAKE: 2},
    },
    "293": {
        "set_weights": {LOW_STAKE: 1},
        "commit_weights": {LOW_STAKE: 1},
        "reveal_weights": {LOW_STAKE: 1},
        "serve_axon": _AXON,
        "serve_axon_tls": _AXON,
    },
    "343": {
        "set_weights": {LOW_STAKE: 1},
        "set_mechanism_weights": {LOW_STAKE: 1},
        "commit_weights": {LOW_STAKE: 1},
        "reveal_weights": {LOW_STAKE: 1, "NoWeightsCommitFound": 16, "RevealTooEarly": 17, "InputLengthsUnequal": 18},
        "serve_axon": _AXON,
        "serve_axon_tls": _AXON,
        "register_network": {"NetworkTxRateLimitExceeded": 6},
    },
}
KEPT: dict[str, dict[str, tuple[int, ...]]] = {
    # fields that an event had, by their places in today's
    "218": {"StakeAdded": (0, 1, 2, 3, 4), "StakeRemoved": (0, 1, 2, 3, 4), "StakeMoved": (0, 1, 2, 3, 4)},
    "293": {"BatchWeightItemFailed": (1,)},
    "343": {"BatchWeightItemFailed": (1,)},
}
SHARES = {"AlphaV2": "Alpha", "TotalHotkeySharesV2": "TotalHotkeyShares"}
RENAMED: dict[str, dict[str, str]] = {
    "218": {
        "StakeThreshold": "WeightsMinStake",
        "PendingServerEmission": "PendingEmission",
        **SHARES,
        "sudo_set_stake_threshold": "sudo_set_weights_min_stake",
    },
    "293": {"PendingServerEmission": "PendingEmission", **SHARES},
    "343": SHARES,
}
"""Items and calls that do today what another name did then."""


@dataclass(frozen=True)
class Shape:
    """What a runtime version declares, by name."""

    name: str
    spec_version: int
    signed_extensions: tuple[str, ...]
    errors: tuple[str, ...]
    events: dict[str, int]
    calls: dict[str, int]
    admin_calls: dict[str, int]
    storage: frozenset[str]

    @classmethod
    def load(cls, name: str) -> Shape:
        """A shape by its name, one of :data:`NAMES`."""
        facts = json.loads((FOLDER / f"{'head' if name == 'shuffled' else name}.json").read_text())
        facts.pop("source")
        for field in ("signed_extensions", "errors"):
            facts[field] = tuple(facts[field])
        facts["storage"] = frozenset(facts["storage"])
        shape = cls(name=name, **facts)
        return shape._shuffled() if name == "shuffled" else shape

    def _shuffled(self) -> Shape:
        return replace(
            self,
            errors=tuple(reversed(self.errors)),
            events={name: 255 - number for name, number in self.events.items()},
            calls={name: 255 - number for name, number in self.calls.items()},
            admin_calls={name: 255 - number for name, number in self.admin_calls.items()},
        )


def _floor(number: dict[str, int]) -> int:
    """A SafeFloat's bits as a U64F64."""
    power = 10 ** abs(number["exponent"])
    scaled = number["mantissa"] << 64
    return scaled * power if number["exponent"] >= 0 else scaled // power


class _Whole(s.Int):
    """Shares, which today are a SafeFloat, as the u64 that they were at first."""

    def encode(self, value: Any) -> bytes:
        return super().encode(_floor(value) >> 64)

    def read(self, reader: s.Reader) -> Any:
        return {"mantissa": super().read(reader), "exponent": 0}


class _Fixed(s.Struct):
    """Shares as the U64F64 that they were then."""

    def encode(self, value: Any) -> bytes:
        return super().encode({"bits": _floor(value)})

    def read(self, reader: s.Reader) -> Any:
        return {"mantissa": super().read(reader)["bits"] * 10**20 >> 64, "exponent": -20}


class _ByBlock(s.Vec[Any]):
    """Open commits, which today keep epoch and block, with the block where it stood then. The window in which a
    commit may be revealed is not told: where its first block stood, the node keeps its epoch."""

    def encode(self, value: Any) -> bytes:
        return super().encode([(digest, block, epoch, zero) for digest, epoch, block, zero in value])

    def read(self, reader: s.Reader) -> Any:
        return [(digest, epoch, block, zero) for digest, block, epoch, zero in super().read(reader)]


def wear(shape: Shape) -> None:
    """Change this process's local node to the shape; before anything else of it is imported, and for good."""
    system.SPEC_VERSION = shape.spec_version  # read by others as they are imported
    from subnet.devnet import chain, runtime
    from subnet.devnet.context import Context
    from subnet.devnet.pallets.admin import AdminUtils
    from subnet.devnet.pallets.subtensor import SubtensorModule

    errors = IntEnum("Error", shape.errors, start=0)  # type: ignore[misc]
    numbers = {SubtensorModule.errors: errors}
    _storage(shape, SubtensorModule)
    _calls(shape, SubtensorModule, shape.calls)
    _calls(shape, AdminUtils, shape.admin_calls)
    kept = _events(shape, SubtensorModule)
    SubtensorModule.errors = errors  # type: ignore[assignment]
    if shape.name in POOL:
        _pool(shape, SubtensorModule)
    if shape.name in QUIRKS:
        QUIRKS[shape.name](SubtensorModule)
    if shape.name == "shuffled":
        for pallet in runtime.PALLETS:
            pallet.index = 200 - pallet.index
    runtime.FORMAT = _format(shape.signed_extensions)

    class Shaped(runtime.Runtime):
        def error(self, failure: Any) -> Any:
            found = numbers.get(type(failure.error))
            if found is None:
                return super().error(failure)
            if failure.error.name not in found.__members__:
                return "Other", None
            failure.error = found[failure.error.name]
            return super().error(failure)

    emit = Context.emit

    def emit_kept(self: Context, event: Any, *values: Any) -> None:
        places = kept.get(event, tuple(range(len(values))))
        if places is not None:
            emit(self, event, *(values[place] for place in places))

    Context.emit = emit_kept  # type: ignore[method-assign]
    one = Shaped("legacy" if shape.name in OLDER else "head")
    chain.runtime = lambda rule: one


def _storage(shape: Shape, pallet: Any) -> None:
    renamed = RENAMED.get(shape.name, {})
    for name, item in pallet.storage.items():
        item.bind(pallet.name, renamed.get(name, name))
    pallet.storage = {item.name: item for item in pallet.storage.values() if item.name in shape.storage}
    for then in SHARES.values() if shape.name in OLDER else ():
        item = pallet.storage[then]
        item.value = _Whole("u64") if shape.name == "218" else _Fixed("substrate_fixed::FixedU128", bits=s.U128)
        item.default_bytes = bytes(item.value.smallest)
    if shape.name in OLDER:
        pallet.storage["WeightCommits"].value = _ByBlock(pallet.storage["WeightCommits"].value.inner)
    if shape.name in OLDER:
        pallet.constants = {name: one for name, one in pallet.constants.items() if name != "InitialStartCallDelay"}


def _calls(shape: Shape, pallet: Any, numbers: dict[str, int]) -> None:
    renamed = RENAMED.get(shape.name, {})
    for spec in pallet.calls.values():
        spec.name = renamed.get(spec.name, spec.name)
    found = [spec for spec in pallet.calls.values() if spec.name in numbers]
    pallet.calls = {}
    for spec in found:
        spec.index = numbers[spec.name]
        pallet.add_call(spec)


def _events(shape: Shape, pallet: Any) -> dict[Any, tuple[int, ...] | None]:
    """Renumber the events; which fields of each are kept, or None for events that the version does not have."""
    kept: dict[Any, tuple[int, ...] | None] = {}
    for name, event in list(pallet.events.items()):
        if name not in shape.events:
            kept[event] = None
            del pallet.events[name]
            continue
        event.index = shape.events[name]
        if (places := KEPT.get(shape.name, {}).get(name)) is not None:
            event.fields = [event.fields[place] for place in places]
            kept[event] = places
    return kept


def _pool(shape: Shape, pallet: Any) -> None:
    """The pool refuses what the version's did, by its codes; what it let in then fails in the block."""
    from subnet.devnet.pallet import DispatchFailed
    from subnet.devnet.pool import Invalid

    def limited(check: Callable[..., None], codes: dict[str, int]) -> Callable[..., None]:
        def run(ctx: Any, who: bytes, **args: Any) -> None:
            try:
                check(ctx, who, **args)
            except DispatchFailed as failure:
                code = codes.get(failure.error.name)
                if code is not None:
                    raise Invalid(f"Custom error: {code}") from None

        return run

    for spec in pallet.calls.values():
        codes = POOL[shape.name].get(spec.name)
        spec.check = limited(spec.check, codes) if spec.check is not None and codes else None


def _format(names: tuple[str, ...]) -> Any:
    """An extrinsic's format with these extensions; those that the node does not know carry no bytes."""
    from subnet.devnet.extrinsic import EXTENSIONS, UNCHECKED
    from subnet.devnet.metadata import ExtrinsicFormat, SignedExtension

    known = {one.name: one for one in EXTENSIONS}
    used = tuple(known.get(name) or SignedExtension(name, s.Struct(f"runtime::{name}"), s.UNIT) for name in names)
    parts = {**UNCHECKED.params, "Extra": s.Tuple(*(one.extra for one in used))}
    return ExtrinsicFormat(s.Named("::".join(UNCHECKED.path), UNCHECKED.inner, **parts), used)


def _as_218(pallet: Any) -> None:
    """register_network takes a mechanism and starts the subnet; runtime APIs answer in bytes."""
    from subnet.devnet import runtime
    from subnet.devnet.pallets.subtensor_networks import start_call, subnets

    register = pallet.calls[59]
    function = register.function

    def register_network(ctx: Any, who: bytes, hotkey: bytes, mechid: int) -> None:
        before = set(subnets(ctx.state))
        function(ctx, who, hotkey)
        for netuid in set(subnets(ctx.state)) - before:
            start_call(ctx, who, netuid)

    register.args = {**register.args, "mechid": s.U16}
    register.function = register_network
    for api in runtime.APIS:
        if api.__name__ in (
            "NeuronInfoRuntimeApi",
            "SubnetInfoRuntimeApi",
            "StakeInfoRuntimeApi",
            "DelegateInfoRuntimeApi",
        ):
            for name, method in api.methods.items():
                api.methods[name] = replace(method, output=s.BYTES, function=_encoded(method))


def _encoded(method: Any) -> Callable[..., bytes]:
    return lambda *args: method.output.encode(method.function(*args))


def _started_after_a_constant(pallet: Any) -> None:
    """The delay before start_call is a constant of the runtime."""
    from subnet.devnet.pallet import Constant

    pallet.constants = {**pallet.constants, "DurationOfStartCall": Constant(s.U64, START_DELAY)}


START_DELAY = 3
"""Blocks from a subnet's registration to start_call, on chains of every shape that has the call."""
QUIRKS: dict[str, Callable[[Any], None]] = {
    "218": _as_218,
    "293": _started_after_a_constant,
    "343": _started_after_a_constant,
}
