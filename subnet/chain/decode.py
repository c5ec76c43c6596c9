"""SCALE taken apart by hand, for what is read often: vectors, axons, weights, plain integers.

Bytes come from the chain as they are; each function checks lengths before it takes memory and
raises ChainMalformed for what can't be a value of its kind. The layouts are those of
SubtensorModule from spec 218 on (newtypes such as AlphaBalance are their inner integer).
"""

from __future__ import annotations

import logging
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from subnet.chain.scale import Cursor
from subnet.errors import ChainMalformed
from subnet.types import AxonInfo, Certificate

log = logging.getLogger(__name__)

MAX_NEURONS = 65_536
"""Uids are u16: a subnet can't hold more neurons, whatever a node says."""

_PAIR = np.dtype([("uid", "<u2"), ("value", "<u2")])
_PROMETHEUS = struct.Struct("<QI16sHB")  # block, version, ip, port, ip_type
_AXON = struct.Struct("<QI16sHBBBB")  # block, version, ip (u128), port, ip_type, protocol, two placeholders


def compact(data: bytes) -> tuple[int, int]:
    """A SCALE compact integer at the start of ``data``: (value, bytes read)."""
    cursor = Cursor(data)
    return cursor.compact(), cursor.at


def unsigned(data: bytes | None, size: int) -> int:
    """An unsigned integer of ``size`` bytes; absent reads as 0."""
    if data is None:
        return 0
    if len(data) != size:
        raise ChainMalformed(f"an integer has {len(data)} bytes instead of {size}")
    return int.from_bytes(data, "little")


def sequence(data: bytes | None, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A ``Vec`` of fixed-size numbers as a read-only view of ``data``, shape (length,)."""
    kind = np.dtype(dtype)
    if data is None:
        return np.zeros(0, kind)
    count, start = compact(data)
    if count > MAX_NEURONS or start + count * kind.itemsize != len(data):
        raise ChainMalformed(f"a vector says {count} elements of {kind} in {len(data)} bytes")
    return np.frombuffer(data, kind, count, start)


def column(data: bytes | None, dtype: npt.DTypeLike, n: int) -> npt.NDArray[Any]:
    """A per-neuron vector as an array of shape (n,).

    A chain may hold a shorter vector (one that came with an upgrade and has not been written
    since): the rest reads as 0. A longer one is malformed.
    """
    values = sequence(data, np.uint8 if np.dtype(dtype) == np.bool_ else dtype)
    if len(values) > n:
        raise ChainMalformed(f"a vector holds {len(values)} elements on a subnet of {n} neurons")
    full = np.zeros(n, dtype)
    full[: len(values)] = values
    return full


def pair_array(data: bytes | None) -> npt.NDArray[Any]:
    """A ``Vec<(u16, u16)>``, as Weights and Bonds are stored: fields ``uid`` and ``value``, a read-only view."""
    return sequence(data, _PAIR)


def pairs(data: bytes | None) -> list[tuple[int, int]]:
    """The same as (uid, value), in stored order."""
    rows = pair_array(data)
    return list(zip(rows["uid"].tolist(), rows["value"].tolist(), strict=True))


def account(data: bytes | None) -> bytes:
    """The 32 bytes of an AccountId32; absent reads as zeros."""
    if data is None:
        return bytes(32)
    if len(data) != 32:
        raise ChainMalformed(f"an account has {len(data)} bytes instead of 32")
    return data


def axon(data: bytes | None) -> AxonInfo | None:
    """A neuron's AxonInfo; None where it never served, or wrote an address that nobody can call.

    The chain lets a neuron write anything here, so an odd address is that neuron's fault, not
    the node's; only wrong lengths are malformed.
    """
    if data is None:
        return None
    if len(data) != _AXON.size:
        raise ChainMalformed(f"an axon has {len(data)} bytes instead of {_AXON.size}")
    block, version, ip, port, ip_type, protocol, _, _ = _AXON.unpack(data)
    return _address(ip, port, ip_type, protocol=protocol, version=version, block=block)


def prometheus(data: bytes | None) -> AxonInfo | None:
    """A neuron's PrometheusInfo, read as :func:`axon` reads an axon (``protocol`` 0)."""
    if data is None:
        return None
    if len(data) != _PROMETHEUS.size:
        raise ChainMalformed(f"a prometheus address has {len(data)} bytes instead of {_PROMETHEUS.size}")
    block, version, ip, port, ip_type = _PROMETHEUS.unpack(data)
    return _address(ip, port, ip_type, protocol=0, version=version, block=block)


def _address(ip: bytes, port: int, ip_type: int, **rest: int) -> AxonInfo | None:
    number = int.from_bytes(ip, "little")
    if number == 0 or port == 0 or ip_type not in (4, 6) or (ip_type == 4 and number >> 32):
        return None
    return AxonInfo.from_chain(number, port, ip_type, **rest)


def certificate(data: bytes | None) -> Certificate | None:
    """A NeuronCertificate: the public key's bytes and the algorithm's number."""
    if data is None:
        return None
    cursor = Cursor(data)
    found = Certificate(cursor.blob(), cursor.byte())
    cursor.finish()
    return found
