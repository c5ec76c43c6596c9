"""The genesis file: subnets, neurons and balances declared in TOML, as typed structs.

Only the file's form is checked here (names, types, amounts, sizes); :mod:`subnet.devnet.genesis` puts
what it says into a chain's first block. Every error names the file, the line, the field and what to do.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from subnet.devnet.accounts import DEVELOPMENT
from subnet.errors import DevnetError

TAO = 10**9
MAX_FILE = 4 * 1024 * 1024  # bytes
MAX_SUBNETS, MAX_NEURONS, MAX_BALANCES = 128, 256, 10_000  # subnets; neurons of one; entries
MAX_AMOUNT = 21_000_000  # TAO

Struct = TypeVar("Struct", bound=msgspec.Struct)
Place = tuple[str | int, ...]
"""Where in the file something stands: ``("subnets", 0, "neurons", 2)``."""


class Neuron(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A neuron: keys are URIs (``//Bob``), ss58 addresses or 0x and 64 hex digits; ``stake`` is TAO."""

    hotkey: str
    coldkey: str = ""
    stake: Decimal = Decimal(0)
    permit: bool = False
    axon: str = ""
    weights: Mapping[str, Decimal] = {}
    take: Decimal | None = None


class Subnet(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A subnet; its uid 0 is ``owner_hotkey``, its neurons follow in their order."""

    owner: str = "//Alice"
    owner_hotkey: str = ""
    netuid: int | None = None
    started: bool = True
    hyperparameters: Mapping[str, Any] = {}
    neurons: list[Any] = []


class Genesis(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a genesis file declares; ``balances`` are TAO, on top of the development accounts'."""

    sudo: str = "//Alice"
    balances: Mapping[str, Decimal] = {}
    network: Mapping[str, Any] = {}
    subnets: list[Any] = []


class GenesisFile:
    """A genesis file that has been read: what it declares, its digest, and where in it things stand."""

    def __init__(self, path: Path) -> None:
        """Read and check the file; DevnetError for what is not right in it."""
        self.path = path
        data = _read(path)
        self.digest = hashlib.sha256(data).hexdigest()
        try:
            text = data.decode()
            found = tomllib.loads(text, parse_float=Decimal)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
            raise DevnetError(
                f"{path} is no TOML: {error}", remedy="Mend that line; strings stand in quotes."
            ) from None
        self._lines = _lines(text)
        self.declared = self._convert(found, Genesis, ())
        self.subnets: list[tuple[Subnet, list[Neuron]]] = []
        self._few("subnets", self.declared.subnets, MAX_SUBNETS, ())
        self._few("balances", self.declared.balances, MAX_BALANCES, ())
        for number, raw in enumerate(self.declared.subnets):
            place: Place = ("subnets", number)
            subnet = self._convert(raw, Subnet, place)
            self._few("neurons", subnet.neurons, MAX_NEURONS - 1, place)
            neurons = [self._convert(one, Neuron, (*place, "neurons", i)) for i, one in enumerate(subnet.neurons)]
            self.subnets.append((subnet, neurons))

    def error(self, place: Place, what: str, remedy: str) -> DevnetError:
        """An error about the field or table at ``place``."""
        line = self._lines.get(place) or self._lines.get(place[:-1])
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        where = f"{self.path}, line {line}" if line else str(self.path)
        return DevnetError(f"{where}: {name + ': ' if name else ''}{what}", remedy=remedy)

    def account(self, text: str, place: Place) -> bytes:
        """The public key that a URI, an ss58 address or 0x and 64 hex digits stand for."""
        for account in DEVELOPMENT:
            if text == account.uri:
                return account.public_key
        try:
            if text.startswith("//"):
                from substrateinterface import Keypair

                return bytes(Keypair.create_from_uri(text).public_key)
            if re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
                return bytes.fromhex(text[2:])
            from subnet.keys import public_key_of

            return public_key_of(text)
        except ValueError:
            raise self.error(
                place, f"{text[:80]!r} is no account", "Give a URI (//Bob), an ss58 address, or 0x and 64 hex digits."
            ) from None

    def rao(self, amount: Decimal, place: Place) -> int:
        """An amount of TAO in RAO."""
        if not amount.is_finite() or not 0 <= amount <= MAX_AMOUNT or amount * TAO % 1:
            raise self.error(
                place, f"{amount} is no amount of TAO", f"Give 0 to {MAX_AMOUNT:,} with at most nine decimal places."
            )
        return int(amount * TAO)

    def address(self, text: str, place: Place) -> tuple[int, int, int]:
        """IP as a number, 4 or 6, and port of ``"127.0.0.1:8091"`` or ``"[::1]:8091"``."""
        host, _, port = text.rpartition(":")
        try:
            ip = ip_address(host.removeprefix("[").removesuffix("]"))
            if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
                raise ValueError
        except ValueError:
            raise self.error(
                place, f"{text[:80]!r} is no address", 'Give IP and port: "127.0.0.1:8091" or "[::1]:8091".'
            ) from None
        return int(ip), ip.version, int(port)

    def _convert(self, raw: Any, kind: type[Struct], place: Place) -> Struct:
        names = kind.__struct_fields__
        if isinstance(raw, dict):
            for name in raw:
                if name not in names:
                    raise self.error((*place, name), "no such field", suggestion(name, names))
        try:
            return msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            text, _, path = str(error).partition(" - at ")
            field = re.match(r"`\$\.(\w+)", path)
            at = (*place, field[1]) if field else place
            raise self.error(at, text.replace("`", ""), f"The fields are {', '.join(names)}.") from None

    def _few(self, name: str, values: Any, most: int, place: Place) -> None:
        if len(values) > most:
            raise self.error((*place, name), f"{len(values)} of them", f"Declare at most {most}.")


def suggestion(name: str, known: Any) -> str:
    """What to do about a name that is not among the known ones."""
    close = difflib.get_close_matches(name, known, n=1)
    return (f"Did you mean {close[0]}? " if close else "") + f"There are: {', '.join(known)}."


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise DevnetError(
            f"can't read {path}: {error.strerror}", remedy="Check the path given with --genesis."
        ) from None
    if len(data) > MAX_FILE:
        raise DevnetError(f"{path} is larger than {MAX_FILE} bytes", remedy="Declare fewer neurons or balances.")
    return data


_HEADER = re.compile(r"^\s*(\[\[?)\s*([\w.]+)\s*\]")
_KEY = re.compile(r"""^\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*=""")


def _lines(text: str) -> dict[Place, int]:
    """The line of each table and of each field, for the way people write TOML; what is not found has no line."""
    found: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            *parents, last = header[2].split(".")
            place: Place = ()
            for name in parents:
                place = (*place, name)
                if place in counts:
                    place = (*place, counts[place])
            place = (*place, last)
            if header[1] == "[[":
                counts[place] = counts.get(place, -1) + 1
                place = (*place, counts[place])
            table = place
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, key[1] or key[2] or key[3] or ""), number)
    return found
