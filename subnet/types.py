"""What both sides speak of: uids, hotkeys, amounts, neurons and the metagraph.

Amounts are RAO, as the chain counts them (1 TAO = 10**9 RAO; alpha likewise); a
:class:`Metagraph` is a subnet at one block, immutable, its numbers as numpy columns.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, NewType

from subnet.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Uid = NewType("Uid", int)
"""A neuron's place on its subnet, 0 .. n-1."""
Netuid = NewType("Netuid", int)
"""A subnet's number."""
Hotkey = NewType("Hotkey", str)
"""An ss58 address (prefix 42) that signs for a neuron."""
Coldkey = NewType("Coldkey", str)
"""An ss58 address (prefix 42) that owns stake and hotkeys."""
Block = NewType("Block", int)
"""A block's number."""
Rao = NewType("Rao", int)
"""An amount in RAO: 10**-9 TAO, or 10**-9 alpha where a subnet's own token is meant."""

RAO_PER_TAO = 10**9
SS58_PREFIX = 42
U16_MAX = 65535


def tao(rao: int) -> Decimal:
    """RAO as TAO, exact."""
    return Decimal(int(rao)) / RAO_PER_TAO


def rao(amount: Decimal | int | str) -> Rao:
    """TAO as RAO; an amount finer than 1 RAO raises ValueError (floats are refused: write a string)."""
    if isinstance(amount, float):
        raise TypeError(f"{amount!r} is a float; write amounts of TAO as str, int or Decimal")
    scaled = Decimal(amount) * RAO_PER_TAO
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} TAO is not a whole number of RAO")
    return Rao(int(scaled))


TLS_PROTOCOL = 5
"""AxonInfo.protocol of a neuron that speaks TLS; 4 is what bittensor writes."""
TLS_ALGORITHM = 200
"""Certificate.algorithm where its ``public_key`` is the sha256 of the certificate that the neuron serves under."""


@dataclass(frozen=True, slots=True)
class AxonInfo:
    """Where a neuron says that it serves: ``ip`` as text (IPv4 or IPv6), ``port``, and the chain's other fields."""

    ip: str
    port: int
    ip_type: int = 4
    protocol: int = 4
    version: int = 0
    block: int = 0
    fingerprint: bytes | None = None
    """The sha256 of its certificate, where the neuron speaks TLS (:mod:`subnet.tls`)."""

    @property
    def url(self) -> str:
        """``http://host:port``, or https where there is a fingerprint; brackets around an IPv6 address."""
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"{'http' if self.fingerprint is None else 'https'}://{host}:{self.port}"

    def with_certificate(self, published: Certificate | None) -> AxonInfo:
        """As it is to be called, given the certificate that its neuron published."""
        if self.protocol != TLS_PROTOCOL or published is None or published.algorithm != TLS_ALGORITHM:
            return self
        return replace(self, fingerprint=published.public_key) if len(published.public_key) == 32 else self

    @classmethod
    def from_chain(cls, ip: int, port: int, ip_type: int, **rest: Any) -> AxonInfo:
        """From the chain's integers: ``ip`` is a u128, ``ip_type`` 4 or 6."""
        address = ipaddress.IPv4Address(ip) if ip_type == 4 else ipaddress.IPv6Address(ip)
        return cls(str(address), port, ip_type, **rest)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A neuron's TLS certificate as it published it: the public key's bytes, and the number of the algorithm."""

    public_key: bytes
    algorithm: int


@dataclass(frozen=True, slots=True)
class Neuron:
    """One uid at one block. Shares are the chain's u16 / 65535; stake and emission are RAO of alpha.

    Only ``uid`` and ``hotkey`` must be given, so that a peer can be named without a chain.
    """

    uid: Uid
    hotkey: Hotkey
    coldkey: Coldkey = Coldkey("")
    axon: AxonInfo | None = None
    stake: Rao = Rao(0)
    active: bool = True
    validator_permit: bool = False
    consensus: float = 0.0
    incentive: float = 0.0
    dividends: float = 0.0
    validator_trust: float = 0.0
    emission: Rao = Rao(0)
    last_update: Block = Block(0)
    block_at_registration: Block = Block(0)
    tao_stake: Rao = Rao(0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON takes them: amounts in RAO, shares from 0 to 1, blocks as numbers, the axon's URL."""
        return {
            "uid": self.uid,
            "hotkey": self.hotkey,
            "coldkey": self.coldkey,
            "axon": self.axon.url if self.axon else None,
            "stake_rao": self.stake,
            "tao_stake_rao": self.tao_stake,
            "active": self.active,
            "validator_permit": self.validator_permit,
            "validator_trust": self.validator_trust,
            "consensus": self.consensus,
            "incentive": self.incentive,
            "dividends": self.dividends,
            "emission_rao": self.emission,
            "last_update": self.last_update,
            "registered": self.block_at_registration,
        }


@dataclass(frozen=True)
class Metagraph:
    """A subnet's neurons at one block; row i of every column is uid i (n rows).

    Columns of u16 hold the chain's integers (65535 = 1.0); ``stake`` and ``emission`` are RAO
    of alpha, ``last_update`` and ``block_at_registration`` block numbers. Arrays are read-only.
    ``incentive`` and ``last_update`` are those of the mechanism ``mecid``. What a runtime does
    not have reads as 0 or None.
    """

    netuid: Netuid
    block: Block
    block_hash: str
    tempo: int
    hotkeys: tuple[Hotkey, ...]
    coldkeys: tuple[Coldkey, ...]
    axons: tuple[AxonInfo | None, ...]
    stake: npt.NDArray[np.uint64]
    active: npt.NDArray[np.bool_]
    validator_permit: npt.NDArray[np.bool_]
    consensus: npt.NDArray[np.uint16]
    incentive: npt.NDArray[np.uint16]
    dividends: npt.NDArray[np.uint16]
    validator_trust: npt.NDArray[np.uint16]
    emission: npt.NDArray[np.uint64]
    last_update: npt.NDArray[np.uint64]
    block_at_registration: npt.NDArray[np.uint64]
    owner_hotkey: Hotkey = Hotkey("")
    mecid: int = 0
    tao_stake: npt.NDArray[np.uint64] = field(default_factory=lambda: _zeros("uint64"))
    """RAO of TAO on the hotkey on the root network."""
    stake_weight: npt.NDArray[np.uint16] = field(default_factory=lambda: _zeros("uint16"))
    """u16: the share of all stake that the last epoch reckoned with."""
    tao_weight: float = 0.0
    """What TAO on the root network counts for in stake, beside alpha."""
    prometheus: tuple[AxonInfo | None, ...] = ()
    """Where neurons say that they serve metrics."""
    certificates: tuple[Certificate | None, ...] = ()
    """The TLS certificates that neurons published."""

    def __post_init__(self) -> None:
        n = len(self.hotkeys)
        for name in ("prometheus", "certificates"):
            object.__setattr__(self, name, getattr(self, name) or (None,) * n)
        for name in ("tao_stake", "stake_weight"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, _zeros(getattr(self, name).dtype, n))
        for name in _COLUMNS:
            column = getattr(self, name)
            if column.shape != (n,):
                raise ValueError(f"metagraph column {name} has shape {column.shape}, expected ({n},)")
            column.flags.writeable = False

    def __len__(self) -> int:
        return len(self.hotkeys)

    def __iter__(self) -> Iterator[Neuron]:
        return iter(self.neurons)

    @cached_property
    def neurons(self) -> tuple[Neuron, ...]:
        """The same as one :class:`Neuron` a uid, in uid order."""
        return tuple(
            Neuron(
                uid=Uid(i),
                hotkey=self.hotkeys[i],
                coldkey=self.coldkeys[i],
                axon=axon and axon.with_certificate(certificate),
                stake=Rao(int(self.stake[i])),
                active=bool(self.active[i]),
                validator_permit=bool(self.validator_permit[i]),
                consensus=int(self.consensus[i]) / U16_MAX,
                incentive=int(self.incentive[i]) / U16_MAX,
                dividends=int(self.dividends[i]) / U16_MAX,
                validator_trust=int(self.validator_trust[i]) / U16_MAX,
                emission=Rao(int(self.emission[i])),
                last_update=Block(int(self.last_update[i])),
                block_at_registration=Block(int(self.block_at_registration[i])),
                tao_stake=Rao(int(self.tao_stake[i])),
            )
            for i, (axon, certificate) in enumerate(zip(self.axons, self.certificates, strict=True))
        )

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, one row a uid, its index the uid. Raises ConfigError where pandas is not installed."""
        axons = [axon.url if axon else None for axon in self.axons]
        columns = {"hotkey": self.hotkeys, "coldkey": self.coldkeys, "axon": axons}
        return data_frame({**columns, **{name: getattr(self, name) for name in _COLUMNS}}, index="uid")

    @cached_property
    def _uid_by_hotkey(self) -> dict[str, Uid]:
        return {hotkey: Uid(i) for i, hotkey in enumerate(self.hotkeys)}

    def uid_of(self, hotkey: str) -> Uid | None:
        """The hotkey's uid at this block, or None if it is not registered."""
        return self._uid_by_hotkey.get(hotkey)

    def neuron(self, hotkey: str) -> Neuron | None:
        """The hotkey's neuron at this block, or None if it is not registered."""
        uid = self.uid_of(hotkey)
        return None if uid is None else self.neurons[uid]


_COLUMNS = (
    "stake",
    "active",
    "validator_permit",
    "consensus",
    "incentive",
    "dividends",
    "validator_trust",
    "emission",
    "last_update",
    "block_at_registration",
    "tao_stake",
    "stake_weight",
)


def _zeros(dtype: Any, n: int = 0) -> Any:
    import numpy as np

    return np.zeros(n, dtype)


def data_frame(columns: Mapping[str, Any], *, index: str) -> Any:
    """Columns as a pandas.DataFrame with the row number as its index. Raises ConfigError without pandas."""
    try:
        import pandas as pd
    except ImportError:
        raise ConfigError("pandas is not installed", remedy="Install it: pip install pandas") from None
    frame = pd.DataFrame(
        {name: list(column) if isinstance(column, tuple) else column for name, column in columns.items()}
    )
    return frame.rename_axis(index)
