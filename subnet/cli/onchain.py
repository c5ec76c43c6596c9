"""What the commands that act on a chain share: a connection, keys by flag, and a question before money moves."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from subnet.cli.common import print_json
from subnet.errors import ConfigError, Declined
from subnet.types import Hotkey, tao

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain import Call, Chain, Estimate

T = TypeVar("T")

PUBLIC = {
    "0x2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03": "finney",
    "0x8f9cf856bf558a14440e75569c9e58594757048d7b3a84b5d25f6bd978263105": "test",
}
"""Genesis hashes of networks where what is spent has a price, or annoys others, wherever their node runs."""
_UNASKED = "Add --yes if that is meant, or --dry-run to see what it costs."

HotkeyChoice = Annotated[
    str | None,
    typer.Option(
        "--hotkey",
        metavar="NAME",
        help="The hotkey: a name in the wallet, an address, or //Name. [env: SUBNET_HOTKEY]",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before spending on a real network.")]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the fee; send nothing.")]


def on_chain(endpoint: str, genesis_hash: str | None, work: Callable[[Chain], Awaitable[T]]) -> T:
    """Connect, do the work in a fresh event loop, and close."""
    from subnet.chain import Chain

    async def main() -> T:
        async with await Chain.connect(endpoint, genesis_hash=genesis_hash) as chain:
            return await work(chain)

    return asyncio.run(main())


@dataclass(frozen=True, slots=True)
class Order:
    """Where a command spends, and what it was told of --yes, --dry-run and --json. Raises ConfigError at once where it
    would have to ask and nobody is there."""

    endpoint: str
    genesis_hash: str | None
    yes: bool
    dry_run: bool
    as_json: bool

    def __post_init__(self) -> None:
        if not self.dry_run:
            may_spend(self.endpoint, yes=self.yes)

    def show_fee(
        self, call: Call, key: Keypair, doing: str, *, price: Callable[[Chain], Awaitable[int]] | None = None
    ) -> None:
        """What --dry-run prints: the call's fee and nonce, and the ``price`` in RAO that it has beside. Nothing is
        signed or sent. ``doing`` says what the call does: "stake 5 TAO on ..."."""

        async def ask(chain: Chain) -> tuple[Estimate, int | None]:
            return await chain.estimate(call, key), None if price is None else await price(chain)

        found, paid = on_chain(self.endpoint, self.genesis_hash, ask)
        if self.as_json:
            cost = {"fee_rao": found.fee, "nonce": found.nonce, "data": found.data}
            print_json({"dry_run": True, "call": found.call} | cost | ({} if paid is None else {"price_rao": paid}))
        else:
            beside = "" if paid is None else f"{tao(paid)} TAO and "
            typer.echo(f"Nothing was sent. To {doing} would cost {beside}a fee of {tao(found.fee)} TAO.")

    def spend(
        self,
        call: Call,
        key: Keypair,
        doing: str,
        *,
        then: Callable[[Chain, int | None], Awaitable[dict[str, Any]]],
        told: Callable[[dict[str, Any]], str],
        price: Callable[[Chain], Awaitable[int]] | None = None,
    ) -> None:
        """Ask, send the call and print what came of it, or with --dry-run what it would cost.

        ``then`` reads what is shown beside fee, block and extrinsic, with the price that was told before; ``told`` puts
        all of it into words.
        """
        if self.dry_run:
            self.show_fee(call, key, doing, price=price)
            return

        async def work(chain: Chain) -> dict[str, Any]:
            paid = None if price is None else await price(chain)
            question = doing[0].upper() + doing[1:] + ("?" if paid is None else f" for {tao(paid)} TAO?")
            await confirm(chain, question, self.endpoint, yes=self.yes, call=call, key=key)
            included = await chain.send(call, key)
            sent = {"fee_rao": included.fee, "block": included.block, "extrinsic": included.extrinsic_hash}
            return await then(chain, paid) | sent

        result = on_chain(self.endpoint, self.genesis_hash, work)
        if self.as_json:
            print_json(result)
        else:
            typer.echo(told(result))


def coldkey(key: str | None, wallet: str | None, password_file: str | None = None) -> Keypair:
    """The key that pays: ``--key``, else the wallet's coldkey, whose password is asked for or in a file.

    Raises ConfigError, KeyfileError.
    """
    from subnet.cli.passwords import password_of
    from subnet.keys import load_coldkey, load_key

    if key is not None:
        return load_key(key, password=password_of(password_file))
    if wallet is not None:
        return load_coldkey(wallet, password=password_of(password_file))
    raise ConfigError("no key to sign with", remedy="Add --wallet NAME, or --key //Alice on a local chain.")


def signing_key(key: str | None, wallet: str | None, hotkey: str | None, password_file: str | None = None) -> Keypair:
    """The hotkey to sign with: ``--key``, or ``--hotkey`` of ``--wallet``; the password of an encrypted one is asked
    for, or in a file. Raises ConfigError or KeyfileError."""
    from subnet.cli.passwords import password_of
    from subnet.keys import load_hotkey, load_key

    if key is not None:
        return load_key(key, password=password_of(password_file))
    if wallet is None or hotkey is None:
        raise ConfigError(
            "no key to sign with",
            remedy="Add --wallet NAME --hotkey NAME, or --key //Alice on a local chain.",
        )
    return load_hotkey(wallet, hotkey, password=password_of(password_file))


def hotkey_address(hotkey: str | None, key: str | None, wallet: str | None) -> Hotkey:
    """The hotkey that is meant: an address, a key, a name in the wallet; by default ``--key`` itself.

    Raises ConfigError, KeyfileError.
    """
    from subnet.keys import address_of, canonical_ss58, load_key, ss58_of

    if hotkey is None and key is not None:
        return ss58_of(load_key(key).public_key)
    if hotkey is None:
        raise ConfigError("no hotkey named", remedy="Add --hotkey: a name in the wallet, or an address.")
    try:
        return canonical_ss58(hotkey)
    except ValueError:  # then it is a name or a key
        if hotkey.startswith(("/", "0x", "~", ".")):
            return ss58_of(load_key(hotkey).public_key)
    if wallet is None:
        raise ConfigError(
            f"--hotkey {hotkey} is no address, and there is no --wallet to look it up in",
            remedy="Add --wallet NAME, or write the hotkey as an address or //Name.",
        )
    return address_of(wallet, hotkey)


def is_local(endpoint: str) -> bool:
    """Whether the endpoint, and each of several, is on this machine, so that its money is play money.

    Raises ConfigError for what is no endpoint.
    """
    from subnet.chain.dial import address

    return all(_is_loopback(address(one.strip())[0]) for one in endpoint.split(","))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def may_spend(endpoint: str, *, yes: bool) -> None:
    """Before anything is connected: ConfigError where money is real, nobody said --yes and nobody can be asked."""
    if not (yes or is_local(endpoint) or sys.stdin.isatty()):
        raise ConfigError(f"this spends real money on {endpoint}", remedy=_UNASKED)


async def confirm(
    chain: Chain, question: str, endpoint: str, *, yes: bool, call: Call | None = None, key: Keypair | None = None
) -> None:
    """Ask before spending, unless --yes was given or the chain is a local one; the fee of ``call`` is told.

    A node of a public network is asked about also where it runs on this machine. Raises Declined at a no, and
    ConfigError where nobody can be asked.
    """
    network = PUBLIC.get(chain.genesis_hash)
    if yes or (is_local(endpoint) and network is None):
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"this spends real money on {network or endpoint}", remedy=_UNASKED)
    fee = "" if call is None or key is None else f" The fee is {tao((await chain.estimate(call, key)).fee)} TAO."
    if not _says_yes(f"{question}{fee} ({network or endpoint})"):
        raise Declined("nothing was sent")


def _says_yes(question: str) -> bool:
    """Ctrl-C ends the question: asyncio's own handler would only cancel the task that waits in it, for good."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return typer.confirm(question, err=True)
    finally:
        signal.signal(signal.SIGINT, before)


def short(address: str) -> str:
    """An address as people compare it: its first and last letters."""
    return address if len(address) <= 14 else f"{address[:6]}…{address[-5:]}"
