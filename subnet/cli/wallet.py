"""``subnet wallet``: make, import and list wallets, in files that bittensor's tools read too.

A mnemonic is shown once, on stdout, when its key is made, and goes nowhere else: not into a log, and only inside
the keyfile to the disk. No secret is ever taken as an argument.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.common import Json, LogJson, PasswordFile, Verbose, print_json
from subnet.cli.passwords import new_password, password_of, secret_input
from subnet.errors import ConfigError, KeyfileError
from subnet.keyfiles import decrypt, encrypt, is_encrypted, keyfile_bytes, parse_keyfile, read_file, write_new
from subnet.keys import WALLETS, canonical_ss58, hotkey_file, key_in, load_key, wallet_folder

if TYPE_CHECKING:
    from substrateinterface import Keypair

NAME = Annotated[str, typer.Argument(metavar="WALLET", help="The wallet's name.")]
NewHotkey = Annotated[
    str, typer.Option("--hotkey", metavar="NAME", help="The hotkey to make in it. [env: SUBNET_HOTKEY]")
]
NoColdkey = Annotated[bool, typer.Option("--no-coldkey", help="Only a hotkey, for a machine that holds no coldkey.")]
NoPassword = Annotated[bool, typer.Option("--no-password", help="Leave the coldkey unencrypted.")]
AsHotkey = Annotated[str | None, typer.Option("--as-hotkey", metavar="NAME", help="Import it as this hotkey.")]
SecretFile = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="Holds the mnemonic, seed or keyfile; - is stdin [default: ask]."),
]
Words = Annotated[int, typer.Option("--words", help="Words of a mnemonic: 12, 15, 18, 21 or 24.")]


def create(
    name: NAME,
    hotkey: NewHotkey = "default",
    no_coldkey: NoColdkey = False,
    no_password: NoPassword = False,
    password_file: PasswordFile = None,
    words: Words = 12,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Make a wallet: a coldkey, encrypted under a password, and a hotkey.

    A wallet that has a coldkey gets another hotkey. Mnemonics are shown once: write them down.
    """
    from substrateinterface import Keypair

    if words not in (12, 15, 18, 21, 24):
        raise ConfigError(f"a mnemonic can't have {words} words", remedy="Write 12, 15, 18, 21 or 24.")
    _plain(name, hotkey)
    folder, hot = wallet_folder(name), hotkey_file(name, hotkey)
    has_one = any(os.path.lexists(folder / file) for file in ("coldkey", "coldkeypub.txt"))  # be it on another machine
    cold = None if no_coldkey or has_one else folder / "coldkey"
    _refuse_existing(hot)
    password = None if cold is None or no_password else new_password(password_file, f"the coldkey of {name}")
    made: dict[str, Any] = {"wallet": name, "path": str(folder)}
    files: dict[Path, bytes] = {}
    for kind, path in (("coldkey", cold), ("hotkey", hot)):
        if path is not None:
            key = Keypair.create_from_mnemonic(Keypair.generate_mnemonic(words), 42)
            files |= _files(key, path, keyfile_bytes(key), password if kind == "coldkey" else None)
            made[kind] = _told(key, path, encrypted=kind == "coldkey" and not no_password)
            made[kind]["mnemonic"] = key.mnemonic
    _write_all(files)
    try:
        typer.echo(json.dumps(made) if as_json else _shown(made))
    except OSError as error:
        _take_back(files)
        remedy = "Choose a stdout that takes them; nothing was kept."
        raise KeyfileError(f"the words could not be shown: {error.strerror}", remedy=remedy) from None


def import_(
    name: NAME,
    as_hotkey: AsHotkey = None,
    file: SecretFile = None,
    no_password: NoPassword = False,
    password_file: PasswordFile = None,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Import a coldkey, or with --as-hotkey a hotkey: from its mnemonic, its seed or a keyfile.

    A keyfile that is encrypted stays so, under its own password.
    """
    _plain(name, as_hotkey or "default")
    path = wallet_folder(name) / "coldkey" if as_hotkey is None else hotkey_file(name, as_hotkey)
    _refuse_existing(path)
    data = secret_input(file, "Mnemonic, seed (0x...) or path of a keyfile, unseen: ")
    key, plain, kept = _imported(data, password_file)
    public = wallet_folder(name) / "coldkeypub.txt"
    known = _address(public) if as_hotkey is None else None
    if known not in (None, key.ss58_address):
        remedy = "Import it under another wallet's name."
        raise KeyfileError(
            f"{public} says that this wallet's coldkey is {known}, not {key.ss58_address}", remedy=remedy
        )
    encrypted = is_encrypted(kept)
    password = None
    if not encrypted and as_hotkey is None and not no_password:
        password = new_password(password_file, f"the coldkey of {name}")
    files = _files(key, path, kept if encrypted else plain, password)
    _write_all({path: data for path, data in files.items() if known is None or path != public})
    told = _told(key, path, encrypted=encrypted or password is not None)
    kind = "coldkey" if as_hotkey is None else "hotkey"
    if as_json:
        print_json({"wallet": name, "path": str(wallet_folder(name)), kind: told})
    else:
        typer.echo(f"{kind:7}  {told['address']}  {told['path']}")


def list_(as_json: Json = False, verbose: Verbose = False, log_json: LogJson = False) -> None:
    """List the wallets in ~/.bittensor/wallets, their addresses, and keyfiles that others may read."""
    folder = Path(WALLETS).expanduser()
    try:
        names = sorted(one.name for one in folder.iterdir() if os.path.isdir(one) and not one.name.startswith("."))
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise KeyfileError(f"{folder} can't be read: {error.strerror}") from None
    wallets = [_listed(folder / name) for name in names]
    if as_json:
        print_json(wallets)
        return
    if not wallets:
        typer.echo(f"There is no wallet in {folder}. `subnet wallet create NAME` makes one.")
    for wallet in wallets:
        typer.echo(f"{wallet['wallet']}")
        for kind, key in [("coldkey", wallet["coldkey"]), *((one["name"], one) for one in wallet["hotkeys"])]:
            state = "not here" if not key["held"] else "encrypted" if key["encrypted"] else "unencrypted"
            exposed = f"  OTHERS MAY READ IT: chmod 600 {key['path']}" if key["exposed"] else ""
            typer.echo(f"  {kind:16}  {key['address'] or '?':48}  {state}{exposed}")


SUBCOMMANDS: Mapping[str, Callable[..., Any]] = {"create": create, "import": import_, "list": list_}


def _imported(data: bytes, password_file: str | None) -> tuple[Keypair, bytes, bytes]:
    """The key, its keyfile in the clear, and the keyfile as it came (which may be encrypted)."""
    if is_encrypted(data) or data.lstrip()[:1] == b"{":
        named = Path("the keyfile")
        plain = decrypt(data, password_of(password_file)(named), named) if is_encrypted(data) else data
        return key_in(plain, named), plain, data
    text = " ".join(data.decode(errors="replace").split())
    path = Path(os.path.expanduser(text))
    if os.path.isfile(path) and not text.startswith("//"):
        return _imported(secret_input(path, ""), password_file)
    if not (text.startswith(("//", "0x")) or len(text.split()) >= 12):
        raise KeyfileError("that is neither a mnemonic, a seed nor a keyfile", remedy="Write 12 words, or 0x and hex.")
    key = load_key(text)
    plain = keyfile_bytes(key)
    return key, plain, plain


def _files(key: Keypair, path: Path, plain: bytes, password: str | None) -> dict[Path, bytes]:
    """A keyfile and its public half, by path."""
    public = path.with_name(f"{path.name}pub.txt")
    return {path: plain if password is None else encrypt(plain, password), public: keyfile_bytes(key, public=True)}


def _write_all(files: Mapping[Path, bytes]) -> None:
    """All of them or, where one can't be written, none: what nobody was shown must not stay."""
    written: list[Path] = []
    try:
        for path, data in files.items():
            write_new(path, data)
            written.append(path)
    except BaseException:
        _take_back(written)
        raise


def _take_back(written: Iterable[Path]) -> None:
    for path in written:
        with contextlib.suppress(OSError):
            path.unlink()


def _shown(made: Mapping[str, Any]) -> str:
    """The new keys and their words, in one piece: shown whole or not at all."""
    keys = [(kind, made[kind]) for kind in ("coldkey", "hotkey") if kind in made]
    lines = [f"{kind:7}  {key['address']}  {key['path']}\n         {key['mnemonic']}" for kind, key in keys]
    warning = "The words above are shown once. Whoever has them has the key: write them down, on paper."
    return "\n".join([*lines, "", warning])


def _plain(*names: str) -> None:
    """New names are of what every shell and file system takes as it is, and no public half's."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name) or name.endswith("pub.txt"):
            raise ConfigError(
                f"{name!r} can't name a wallet or hotkey", remedy="Write letters, digits, '.', '_' or '-', 64 at most."
            )


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):  # a link that leads nowhere is there too
        raise KeyfileError(
            f"{path} is there already, and a key is never written over",
            remedy="Choose another name (--hotkey for another hotkey), or move the file away yourself.",
        )


def _told(key: Keypair, path: Path, *, encrypted: bool) -> dict[str, Any]:
    return {"address": key.ss58_address, "path": str(path), "encrypted": encrypted}


def _listed(folder: Path) -> dict[str, Any]:
    try:
        files = sorted(path for path in (folder / "hotkeys").iterdir() if os.path.isfile(path))
    except OSError:
        files = []
    hotkeys = [one for one in files if not one.name.startswith(".") and not one.name.endswith("pub.txt")]
    return {
        "wallet": folder.name,
        "path": str(folder),
        "coldkey": _state(folder / "coldkey", folder / "coldkeypub.txt"),
        "hotkeys": [{"name": one.name} | _state(one, one.with_name(f"{one.name}pub.txt")) for one in hotkeys],
    }


def _state(path: Path, public: Path) -> dict[str, Any]:
    """What can be said of a key without its password: an unencrypted file names its address itself."""
    try:
        held, encrypted = True, is_encrypted(path.read_bytes()[:64])
        exposed = bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        held, encrypted, exposed = os.path.exists(path), False, False
    address = (_address(path) if held and not encrypted else None) or _address(public)
    return {"address": address, "path": str(path), "held": held, "encrypted": encrypted, "exposed": exposed}


def _address(path: Path) -> str | None:
    with contextlib.suppress(KeyfileError, ValueError):
        return canonical_ss58(str(parse_keyfile(read_file(path), path).get("ss58Address")))
    return None
