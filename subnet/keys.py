"""Hotkeys and coldkeys: where they come from, what they sign, and how an address is written.

A key is substrate-interface's ``Keypair``. It comes from a development URI (``//Alice``), a
32-byte seed, a mnemonic, or a keyfile as the ecosystem stores it (JSON with ``secretSeed``, in
``~/.bittensor/wallets/<wallet>/hotkeys/<hotkey>`` and ``.../<wallet>/coldkey``; subnet.keyfiles). Signing and
verifying go straight to the libraries below ``Keypair``, because its ``verify`` also accepts a
message wrapped in ``<Bytes>`` and so would accept two messages for one signature.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from subnet.errors import KeyfileError
from subnet.keyfiles import Password, parse_keyfile, read_file
from subnet.types import SS58_PREFIX, Hotkey

if TYPE_CHECKING:
    from substrateinterface import Keypair

WALLETS: Final = "~/.bittensor/wallets"
SCHEMES: Final = {"ed25519": 0, "sr25519": 1}
"""Signature schemes by name, with the number that substrate calls them by."""

# The all-zero account is what unset storage reads as. Its bytes are the neutral point, for which
# anyone can make a signature that both curves' libraries accept.
_NOBODY = bytes(32)
_NAMES = {number: name for name, number in SCHEMES.items()}


def scheme_of(key: Keypair) -> str:
    """``"sr25519"`` or ``"ed25519"``; KeyfileError for a key of another kind (ecdsa)."""
    try:
        return _NAMES[int(key.crypto_type)]
    except KeyError:
        raise KeyfileError(f"{key.ss58_address} is neither an sr25519 nor an ed25519 key") from None


def sign_bytes(key: Keypair, message: bytes) -> bytes:
    """64 bytes of signature over exactly ``message``, under the key's own scheme."""
    if key.private_key is None:
        raise KeyfileError(f"{key.ss58_address} holds no private key, so it can't sign")
    if scheme_of(key) == "sr25519":
        import sr25519

        return bytes(sr25519.sign((key.public_key, key.private_key), message))
    import ed25519_zebra

    return bytes(ed25519_zebra.ed_sign(key.private_key, message))


def verify_bytes(scheme: str, public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` (64 bytes) is ``public_key``'s over exactly ``message``; never raises on bad input."""
    if len(signature) != 64 or len(public_key) != 32 or public_key == _NOBODY:
        return False
    try:
        if scheme == "sr25519":
            import sr25519

            return bool(sr25519.verify(signature, message, public_key))
        if scheme == "ed25519":
            import ed25519_zebra

            return bool(ed25519_zebra.ed_verify(signature, message, public_key))
    except (TypeError, ValueError):  # bytes that are no point of the curve
        return False
    return False


@lru_cache(maxsize=8192)
def public_key_of(address: str) -> bytes:
    """The 32 public bytes of an ss58 address of any prefix; ValueError if it is none."""
    from scalecodec.utils.ss58 import ss58_decode

    if len(address) > 50 or not address.isalnum():  # the decoder below would strip blanks
        raise ValueError("not an ss58 address")
    try:
        public = bytes.fromhex(ss58_decode(address))
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ValueError("not an ss58 address") from error
    if len(public) != 32:
        raise ValueError("not the ss58 address of a 32-byte key")
    return public


@lru_cache(maxsize=8192)
def ss58_of(public_key: bytes) -> Hotkey:
    """The address of 32 public bytes under prefix 42, the chain's own way to write it."""
    from scalecodec.utils.ss58 import ss58_encode

    return Hotkey(ss58_encode(public_key, SS58_PREFIX))


def canonical_ss58(address: str) -> Hotkey:
    """The same key's address under prefix 42; ValueError if ``address`` is none.

    One key has an address for each prefix, so nothing may be counted by an address as written.
    """
    return ss58_of(public_key_of(address))


def load_key(text: str, *, scheme: str = "sr25519", password: Password | None = None) -> Keypair:
    """A key from a URI (``//Alice``), a seed (``0x`` and 64 hex digits), a mnemonic, or a keyfile's path.

    ``scheme`` is the key's kind where the text does not say (a keyfile does); ``password`` gives that of an encrypted
    keyfile. Raises KeyfileError; the message never repeats the secret.
    """
    from substrateinterface import Keypair

    number = SCHEMES[scheme]
    try:
        if text.startswith("//") and not os.path.isfile(text):  # one slash is a path: its slip would be a known key
            if scheme == "ed25519":
                return Keypair.create_from_seed(_ed25519_seed(text), SS58_PREFIX, number)
            return Keypair.create_from_uri(text, SS58_PREFIX, number)
        if text.startswith("0x"):
            return Keypair.create_from_seed(text, SS58_PREFIX, number)
        if len(text.split()) in (12, 15, 18, 21, 24):
            return Keypair.create_from_mnemonic(text, SS58_PREFIX, number)
    except Exception as error:  # the libraries below raise whatever they like
        raise KeyfileError(f"that key can't be read ({type(error).__name__})") from None
    if _may_be_told(text):
        return read_keyfile(Path(os.path.expanduser(text)), password=password)
    raise KeyfileError(
        "that is no key: neither //Name, nor 0x and 64 digits, nor a mnemonic's 12 to 24 words, nor a keyfile",
        remedy="Count the digits or words; a file of another folder is named with its path.",
    )


def load_hotkey(wallet: str, hotkey: str, path: str | None = None, *, password: Password | None = None) -> Keypair:
    """The hotkey's key from ``<path>/<wallet>/hotkeys/<hotkey>`` (path: ~/.bittensor/wallets). Raises KeyfileError."""
    return read_keyfile(hotkey_file(wallet, hotkey, path), password=password)


def address_of(wallet: str, hotkey: str, path: str | None = None) -> Hotkey:
    """A hotkey's address, without its password: an encrypted one's is in its public file. Raises KeyfileError."""
    file = hotkey_file(wallet, hotkey, path)
    try:
        return ss58_of(read_keyfile(file).public_key)
    except KeyfileError:
        public = file.with_name(f"{file.name}pub.txt")
        if not public.is_file():
            raise
    try:
        return canonical_ss58(str(parse_keyfile(read_file(public), public).get("ss58Address")))
    except ValueError:
        raise KeyfileError(f"{public} holds no address") from None


def load_coldkey(wallet: str, path: str | None = None, *, password: Password | None = None) -> Keypair:
    """The coldkey's key from ``<path>/<wallet>/coldkey``; ``password`` is asked for that of an encrypted one.

    Raises KeyfileError, also if it is encrypted and there is nobody to ask, or the password is wrong.
    """
    return read_keyfile(wallet_folder(wallet, path) / "coldkey", password=password)


def wallet_folder(wallet: str, path: str | None = None) -> Path:
    """Where a wallet's keyfiles are. KeyfileError for a name that can't be one."""
    return Path(path or WALLETS).expanduser() / _plain(wallet)


def hotkey_file(wallet: str, hotkey: str, path: str | None = None) -> Path:
    """A hotkey's keyfile. KeyfileError for names that can't be."""
    return wallet_folder(wallet, path) / "hotkeys" / _plain(hotkey)


def read_keyfile(path: Path, *, password: Password | None = None) -> Keypair:
    """A key from a JSON keyfile with ``secretSeed``, ``secretPhrase`` or ``privateKey``; ``password`` gives that of
    an encrypted one. Raises KeyfileError."""
    return key_in(read_file(path, password), path)


def key_in(data: bytes, path: Path) -> Keypair:
    """The key in a keyfile's bytes, unencrypted ones; ``path`` is what an error calls them. Raises KeyfileError."""
    from substrateinterface import Keypair

    fields = parse_keyfile(data, path)
    number = _scheme_number(fields.get("cryptoType"), path)
    try:
        if fields.get("secretSeed"):
            key = Keypair.create_from_seed(fields["secretSeed"], SS58_PREFIX, number)
        elif fields.get("secretPhrase"):
            key = Keypair.create_from_mnemonic(fields["secretPhrase"], SS58_PREFIX, number)
        elif fields.get("privateKey"):
            key = Keypair.create_from_private_key(
                fields["privateKey"],
                public_key=fields.get("publicKey"),
                ss58_format=SS58_PREFIX,
                crypto_type=number,
            )
        else:
            raise KeyfileError(f"{path} holds no secret, only a public key")
    except KeyfileError:
        raise
    except Exception as error:
        raise KeyfileError(f"{path} holds a secret that can't be read ({type(error).__name__})") from None
    stated = fields.get("ss58Address")
    if stated and stated != key.ss58_address:
        raise KeyfileError(f"{path} says {stated}, but its secret belongs to {key.ss58_address}")
    return key


def _ed25519_seed(uri: str) -> str:
    """The seed of a hard-derived development key (``//Alice``, ``//Alice//1``).

    substrate-interface derives sr25519 keys only; this is Substrate's ed25519 rule (sp_core's
    ``DeriveJunction`` and ``ed25519::derive_hard_junction``): blake2b-256 over SCALE("Ed25519HDKD"), seed, code.
    """
    from bip39 import bip39_to_mini_secret
    from substrateinterface.constants import DEV_PHRASE

    seed = bytes(bip39_to_mini_secret(DEV_PHRASE, "", "en"))
    for part in uri.removeprefix("//").split("//"):
        if not part or "/" in part:
            raise ValueError("ed25519 keys have hard junctions only")
        text = bytes([len(part.encode()) << 2]) + part.encode()
        code = int(part).to_bytes(8, "little") if part.isdigit() else text
        if len(code) > 32:
            code = hashlib.blake2b(code, digest_size=32).digest()
        seed = hashlib.blake2b(b"\x2cEd25519HDKD" + seed + code.ljust(32, b"\0"), digest_size=32).digest()
    return "0x" + seed.hex()


def _may_be_told(text: str) -> bool:
    """Whether it is or looks like a file's path: what does not may be a secret with a slip in it."""
    return os.path.isfile(os.path.expanduser(text)) or ("/" in text and not any(map(str.isspace, text)))


def _plain(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise KeyfileError(f"{name!r} is no name of a wallet or hotkey")
    return name


def _scheme_number(stated: object, path: Path) -> int:
    """Files of bittensor 11 say the number, others the name, old ones nothing: those are sr25519."""
    if stated in (None, ""):
        return SCHEMES["sr25519"]
    for name, number in SCHEMES.items():
        if str(stated).lower() in (name, str(number)):
            return number
    raise KeyfileError(f"{path} is neither an sr25519 nor an ed25519 key")
