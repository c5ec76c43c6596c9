"""Serving: where neurons say that they listen."""

from __future__ import annotations

from typing import Any

from subnet.devnet.context import Context
from subnet.devnet.pallet import ensure
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.scale import octets, u8, u16, u32, u128

_LOOPBACK = {4: 0x7F000001, 6: 1}
_HIGHEST = {4: 2**32 - 1, 6: 2**128 - 1}
MAX_CERTIFICATE = 65  # a byte of algorithm and at most 64 of key


def _valid_address(ctx: Context, ip: int, ip_type: int, *, zero: bool) -> bool:
    if ip == 0 and not zero:
        return False
    if ip >= _HIGHEST[ip_type]:
        return False
    return ctx.spec.allow_loopback or ip != _LOOPBACK[ip_type]


def _passes_rate(ctx: Context, netuid: int, last: int) -> bool:
    limit = ctx.state.get(S.ServingRateLimit, netuid)
    return limit == 0 or last == 0 or ctx.block - last >= limit


def _check_axon(
    ctx: Context, who: bytes, netuid: int, version: int, ip: int, port: int, ip_type: int, *rest: Any, **more: Any
) -> None:
    state = ctx.state
    ensure(state.get(S.IsNetworkMember, who, netuid), Error.HotKeyNotRegisteredInNetwork)
    ensure(ip_type in _HIGHEST, Error.InvalidIpType)
    # 0.0.0.0 is accepted, as on the real chain
    ensure(_valid_address(ctx, ip, ip_type, zero=True), Error.InvalidIpAddress)
    before = state.get(S.Axons, netuid, who)
    ensure(_passes_rate(ctx, netuid, before["block"] if before else 0), Error.ServingRateLimitExceeded)
    ensure(port > 0, Error.InvalidPort)


@S.call(4, pays=False, check=_check_axon)
def serve_axon(
    ctx: Context,
    who: bytes,
    netuid: u16,
    version: u32,
    ip: u128,
    port: u16,
    ip_type: u8,
    protocol: u8,
    placeholder1: u8,
    placeholder2: u8,
) -> None:
    """Say where the calling hotkey serves; ip_type is 4 or 6, ip the address as an integer."""
    _check_axon(ctx, who, netuid, version, ip, port, ip_type)
    axon = {
        "block": ctx.block,
        "version": version,
        "ip": ip,
        "port": port,
        "ip_type": ip_type,
        "protocol": protocol,
        "placeholder1": placeholder1,
        "placeholder2": placeholder2,
    }
    ctx.state.put(S.Axons, netuid, who, to=axon)
    ctx.emit(S.AxonServed, netuid, who)


@S.call(40, pays=False, check=_check_axon)
def serve_axon_tls(
    ctx: Context,
    who: bytes,
    netuid: u16,
    version: u32,
    ip: u128,
    port: u16,
    ip_type: u8,
    protocol: u8,
    placeholder1: u8,
    placeholder2: u8,
    certificate: octets,
) -> None:
    """As serve_axon, with a certificate: a byte of algorithm, then the public key."""
    serve_axon(ctx, who, netuid, version, ip, port, ip_type, protocol, placeholder1, placeholder2)
    if 1 < len(certificate) <= MAX_CERTIFICATE:
        stored = {"algorithm": certificate[0], "public_key": certificate[1:]}
        ctx.state.put(S.NeuronCertificates, netuid, who, to=stored)


def _check_prometheus(ctx: Context, who: bytes, netuid: int, version: int, ip: int, port: int, ip_type: int) -> None:
    state = ctx.state
    ensure(ip_type in _HIGHEST, Error.InvalidIpType)
    ensure(_valid_address(ctx, ip, ip_type, zero=False), Error.InvalidIpAddress)
    ensure(state.get(S.IsNetworkMember, who, netuid), Error.HotKeyNotRegisteredInNetwork)
    before = state.get(S.Prometheus, netuid, who)
    ensure(_passes_rate(ctx, netuid, before["block"] if before else 0), Error.ServingRateLimitExceeded)
    ensure(port > 0, Error.InvalidPort)


@S.call(5, pays=False, check=_check_prometheus)
def serve_prometheus(ctx: Context, who: bytes, netuid: u16, version: u32, ip: u128, port: u16, ip_type: u8) -> None:
    """Say where the calling hotkey serves its metrics."""
    _check_prometheus(ctx, who, netuid, version, ip, port, ip_type)
    served = {"block": ctx.block, "version": version, "ip": ip, "port": port, "ip_type": ip_type}
    ctx.state.put(S.Prometheus, netuid, who, to=served)
    ctx.emit(S.PrometheusServed, netuid, who)
