"""``subnet doctor``: what keeps a neuron from its work, found before it costs anything, each with its remedy."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subnet import config as settings
from subnet.cli import findings, findings_chain
from subnet.cli.common import ENDPOINT, Endpoint, GenesisHash, Json, Key, LogJson, Verbose, Wallet, print_json
from subnet.cli.findings import Finding
from subnet.cli.findings_chain import Typed
from subnet.cli.ledgers import NetuidFilter, State
from subnet.cli.onchain import PUBLIC, HotkeyChoice, hotkey_address, is_local
from subnet.errors import ChainError, ConfigError, DoctorFailed, KeyfileError, StoreError, SubnetError

if TYPE_CHECKING:
    from subnet.chain import Chain, Hyperparameters
    from subnet.store import Commit
    from subnet.types import Metagraph, Neuron

HEAD_WAIT = 15.0  # seconds in which a chain makes a block
CALLS = 5


class Role(StrEnum):
    """What the neuron is."""

    AUTO = "auto"
    MINER = "miner"
    VALIDATOR = "validator"


RoleOption = Annotated[Role, typer.Option("--role", help="What the neuron is; auto goes by permit and axon.")]
Host = Annotated[str, typer.Option("--host", metavar="IP", help="The address that the miner is to listen on.")]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="The port that the miner is to listen on.")]
MetricsPort = Annotated[
    int | None, typer.Option("--metrics-port", min=1, max=65535, help="Ask the running neuron's /health too.")
]
VersionKey = Annotated[int | None, typer.Option("--version-key", min=0, help="The key your validator was made for.")]


def command(
    endpoint: Endpoint = ENDPOINT,
    genesis_hash: GenesisHash = None,
    netuid: NetuidFilter = None,
    key: Key = None,
    wallet: Wallet = None,
    hotkey: HotkeyChoice = None,
    role: RoleOption = Role.AUTO,
    host: Host = "0.0.0.0",  # noqa: S104 - every interface is what a public miner listens on
    port: Port = None,
    metrics_port: MetricsPort = None,
    version_key: VersionKey = None,
    state: State = None,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Look for what keeps a neuron from its work, and say what mends it.

    Clock, libraries, disk, keyfiles and endpoints; with --netuid and a hotkey also registration, stake, permit,
    version key, commits, weights and the announced axon. Exit code 13 if anything failed. It changes nothing.
    """
    from subnet.cli.run import default_state

    folder = (state or default_state()).expanduser()
    found: list[Finding] = []

    def note(*more: Finding) -> None:
        for one in more:
            found.append(one)
            if not as_json:
                _show(one)

    note(*findings.libraries(), findings.disk(folder), *_keyfiles(wallet, hotkey))
    if port is not None:
        note(findings.listening(host, port))
    if metrics_port is not None:
        note(*findings.health(metrics_port))
    address = None
    try:
        address = None if hotkey is None and key is None else str(hotkey_address(hotkey, key, wallet))
    except (ConfigError, KeyfileError) as error:
        if not any(one.check == "keyfile" and error.message == one.message for one in found):
            note(Finding("hotkey", "fail", error.message, error.remedy))

    async def ask() -> None:
        measured = [await _measure(one.strip(), genesis_hash) for one in endpoint.split(",")]
        note(*findings_chain.latency(measured))
        if not any(one.genesis for one in measured):
            note(Finding("chain", "skipped", "no endpoint answers: nothing was asked of the chain"))
            return
        from subnet.chain import Chain

        async with await Chain.connect(endpoint, genesis_hash=genesis_hash) as chain:
            note(await _clock(chain))
            if netuid is None or address is None:
                note(_unnamed(netuid, address))
                return
            elsewhere = None if endpoint == settings.load().settings.endpoint else endpoint
            typed = Typed(netuid, address, _payer(chain, wallet, endpoint), elsewhere)
            async for one in _neuron(chain, typed, role, version_key, folder):
                note(one)

    try:
        asyncio.run(ask())
    except ChainError as error:
        note(Finding("chain", "fail", error.message, error.remedy))
    failed = [one for one in found if one.level == "fail"]
    if as_json:
        print_json({"ok": not failed, "findings": [asdict(one) for one in found]})
    else:
        warned = sum(one.level == "warn" for one in found)
        typer.echo(f"\n{len(failed)} failed, {warned} to be watched, of {len(found)}.")
    if failed:
        raise typer.Exit(DoctorFailed.exit_code)


def _keyfiles(wallet: str | None, hotkey: str | None) -> Iterator[Finding]:
    from subnet.keys import canonical_ss58, hotkey_file, wallet_folder

    if wallet is None:
        return
    cold = wallet_folder(wallet) / "coldkey"
    if os.path.exists(cold):
        yield from findings.keyfiles(cold)
    if hotkey is None or hotkey.startswith(("/", "0x", "~", ".")):
        return
    try:
        canonical_ss58(hotkey)
    except ValueError:
        yield from findings.keyfiles(hotkey_file(wallet, hotkey))


def _unnamed(netuid: int | None, address: str | None) -> Finding:
    named = {"subnet": (netuid, "--netuid N"), "hotkey": (address, "--hotkey ADDRESS, or --wallet NAME --hotkey NAME")}
    missing = {what: flag for what, (value, flag) in named.items() if value is None}
    told = f"no {' and no '.join(missing)} to look at"
    return Finding("neuron", "skipped", told, f"Add {' and '.join(missing.values())}.")


def _payer(chain: Chain, wallet: str | None, endpoint: str) -> str:
    """Who pays for what a remedy costs: the wallet, or on a local chain its first development key."""
    if wallet is not None:
        return f"--wallet {shlex.quote(wallet)}"
    return "--key //Alice" if is_local(endpoint) and chain.genesis_hash not in PUBLIC else "--wallet NAME"


async def _measure(endpoint: str, genesis_hash: str | None) -> findings_chain.Measured:
    from subnet.chain import Chain

    try:
        async with await Chain.connect(endpoint, genesis_hash=genesis_hash) as chain:
            head, seconds = 0, []
            for _ in range(CALLS):
                begin = time.perf_counter()
                head = await chain.block_number()
                seconds.append(time.perf_counter() - begin)
            return findings_chain.Measured(endpoint, seconds, int(head), chain.genesis_hash)
    except SubnetError as error:
        return findings_chain.Measured(endpoint, trouble=error.message)


async def _clock(chain: Chain) -> Finding:
    """By a block that has just come: one that was there may be of any age."""
    stale: float | None = HEAD_WAIT
    try:
        async with asyncio.timeout(HEAD_WAIT):
            heads = chain.heads()
            await anext(heads)
            await anext(heads)
            stale = None
    except TimeoutError:
        pass
    now, stamp = time.time(), int(await chain.query("Timestamp", "Now") or 0)
    return findings.clock(now - stamp / 1000, stale)


async def _neuron(
    chain: Chain, typed: Typed, role: Role, built_for: int | None, folder: Path
) -> AsyncIterator[Finding]:
    netuid, hotkey = typed.netuid, typed.hotkey
    metagraph, rules = await asyncio.gather(chain.metagraph(netuid), chain.hyperparameters(netuid))
    yield findings_chain.registration(metagraph, typed)
    neuron = metagraph.neuron(hotkey)
    if neuron is None:
        return
    kept = _kept(folder, netuid, hotkey)
    is_validator = role is Role.VALIDATOR or (
        role is Role.AUTO and neuron.axon is None and (neuron.validator_permit or kept is not None)
    )
    is_what = "validator" if is_validator else "miner"
    yield findings_chain.stake(neuron, rules, is_what, typed)
    yield findings_chain.permit(metagraph, neuron, rules, is_what, typed)
    if is_validator:
        async for one in _validator(chain, metagraph, neuron, rules, kept, built_for):
            yield one
    elif neuron.axon is None:
        remedy = "Start the miner: subnet run announces its address."
        yield Finding("axon", "fail", "no axon is announced: nobody can ask this miner", remedy)
    else:
        yield await asyncio.to_thread(findings.reachable, neuron.axon.ip, neuron.axon.port)


async def _validator(
    chain: Chain,
    metagraph: Metagraph,
    neuron: Neuron,
    rules: Hyperparameters,
    kept: list[Commit] | None,
    built_for: int | None,
) -> AsyncIterator[Finding]:
    yield findings_chain.version_key(rules, built_for, kept or ())
    commits = await chain.weight_commits(rules.netuid, neuron.hotkey) if rules.commit_reveal_enabled else ()
    due = {one.hash: int(await chain.reveal_block(rules.netuid, one.block)) for one in commits}
    for one in findings_chain.commit_reveal(rules, metagraph.block, due, kept):
        yield one
    yield findings_chain.weights_age(neuron, rules, metagraph.block)
    for one in findings_chain.mechanisms(await _silent(chain, metagraph, neuron)):
        yield one


async def _silent(chain: Chain, metagraph: Metagraph, neuron: Neuron) -> dict[int, bool]:
    """The subnet's mechanisms beyond the first, and whether the chain has no weights of this neuron in each."""
    count = await chain.mechanism_count(metagraph.netuid)
    rows = {m: await chain.weights(metagraph.netuid, mecid=m) for m in range(1, count)}
    return {mechanism: neuron.uid not in row for mechanism, row in rows.items()}


def _kept(folder: Path, netuid: int, hotkey: str) -> list[Commit] | None:
    """The open commits in the validator's ledger; None where there is none that can be read."""
    from subnet.store import History, ledger_path

    path = ledger_path(folder, netuid, hotkey)
    if not os.path.exists(path):
        return None
    try:
        with History(path) as history:
            return history.commits()
    except StoreError:
        return None


def _show(finding: Finding) -> None:
    from subnet.telemetry import HARMLESS

    mark = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "skipped": "-   "}[finding.level]
    colour = {"ok": "green", "warn": "yellow", "fail": "red", "skipped": None}[finding.level]
    line = f"{finding.check:14} {finding.message.translate(HARMLESS)}"
    typer.echo(typer.style(mark, fg=colour) + f"  {line}")
    if finding.remedy and finding.level != "ok":
        typer.echo(f"      {finding.remedy.translate(HARMLESS)}")
