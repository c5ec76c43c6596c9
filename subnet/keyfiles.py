"""Keyfiles as bittensor's wallets hold them: JSON, encrypted under a password or not, never written over.

``<wallets>/<wallet>/coldkey`` (encrypted as a rule), ``coldkeypub.txt``, ``hotkeys/<hotkey>`` and
``hotkeys/<hotkey>pub.txt``. The encryption is the ecosystem's: ``$NACL``, then NaCl's secretbox
(XSalsa20-Poly1305: a nonce of 24 bytes before the ciphertext) under argon2i of the password with libsodium's
"sensitive" limits (512 MiB of memory, some seconds) and one salt for everybody. That salt is its weak point:
whoever has many wallets' files can try a password on all of them at once, so only a long one protects.
bittensor 11.3 reads what is written here, and the other way round (tests/clients/test_wallets.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from subnet.errors import KeyfileError

if TYPE_CHECKING:
    from substrateinterface import Keypair

Password = Callable[[Path], str]
"""Asks for the password of the file; raises KeyfileError where there is nobody to ask."""

MARK: Final = b"$NACL"
_OLDER: Final = (b"$ANSIBLE_VAULT", b"gAAAAA")  # wallets of before 2022
_SALT: Final = bytes.fromhex("137183dff15a09bc9c90b5518739e9b1")
_OPERATIONS = 8  # libsodium's crypto_pwhash_argon2i_OPSLIMIT_SENSITIVE
_MEMORY = 1 << 29  # bytes; its MEMLIMIT_SENSITIVE
_CAP: Final = 65_536  # bytes; a keyfile has some hundred


def is_encrypted(data: bytes) -> bool:
    """Whether a keyfile's bytes are encrypted, in whatever way."""
    return data.startswith((MARK, *_OLDER))


def encrypt(data: bytes, password: str) -> bytes:
    """A keyfile's bytes, encrypted as bittensor does; takes 512 MiB and some seconds."""
    from nacl.secret import SecretBox

    return MARK + bytes(SecretBox(_box_key(password)).encrypt(data))


def decrypt(data: bytes, password: str, path: Path) -> bytes:
    """The bytes that :func:`encrypt` took. Raises KeyfileError for a wrong password or a damaged file."""
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    if not data.startswith(MARK):
        remedy = "Decrypt and encrypt it anew with btcli, or import its mnemonic: subnet wallet import."
        raise KeyfileError(f"{path} is encrypted as wallets before 2022 were", remedy=remedy)
    try:
        return bytes(SecretBox(_box_key(password)).decrypt(data[len(MARK) :]))
    except (CryptoError, ValueError):
        remedy = "Type it again; nobody can restore a lost one, but the mnemonic can: subnet wallet import."
        raise KeyfileError(f"the password does not open {path}", remedy=remedy) from None


def read_file(path: Path, password: Password | None = None) -> bytes:
    """A keyfile's bytes in the clear. Raises KeyfileError."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode) or info.st_size > _CAP:
            raise KeyfileError(f"{path} is no keyfile")
        data = path.read_bytes()
    except OSError as error:
        remedy = "Run as the user whom it belongs to." if isinstance(error, PermissionError) else None
        raise KeyfileError(f"{path} can't be read: {error.strerror}", remedy=remedy) from None
    if not is_encrypted(data):
        return data
    if password is None:
        raise KeyfileError(
            f"{path} is encrypted",
            remedy="Commands that sign ask for its password, or read it from --password-file.",
        )
    return decrypt(data, password(path), path)


def parse_keyfile(data: bytes, path: Path) -> dict[str, Any]:
    """A keyfile's fields by name. Raises KeyfileError."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise KeyfileError(f"{path} is not JSON") from None
    if not isinstance(fields, dict):
        raise KeyfileError(f"{path} is not a JSON object")
    return fields


def keyfile_bytes(key: Keypair, *, public: bool = False) -> bytes:
    """A key as a keyfile holds it, in the clear; with ``public`` only what everybody may know."""
    named = "0x" + key.public_key.hex()
    fields: dict[str, Any] = {"accountId": named, "publicKey": named, "ss58Address": key.ss58_address}
    fields["cryptoType"] = int(key.crypto_type)
    if not public:
        seed = key.seed_hex if isinstance(key.seed_hex, str) else key.seed_hex and bytes(key.seed_hex).hex()
        seed = f"0x{seed.removeprefix('0x')}" if seed else None
        private = seed if fields["cryptoType"] == 0 else "0x" + key.private_key.hex()  # ed25519: the seed is the key
        secret = {"privateKey": private, "secretPhrase": key.mnemonic, "secretSeed": seed}
        fields |= {name: value for name, value in secret.items() if value}
    return json.dumps(fields).encode()


def write_new(path: Path, data: bytes) -> None:
    """Write a keyfile that only its owner may read, whole or not at all, and never over another.

    Folders that are missing are made, for the owner alone. Raises KeyfileError.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        for folder in reversed(path.parents):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, path)  # unlike a rename, it fails where there is a file
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
    except FileExistsError:
        raise KeyfileError(
            f"{path} is there already, and a key is never written over",
            remedy="Choose another name, or move the file away yourself.",
        ) from None
    except OSError as error:
        remedy = "Check that its folder is yours to write and that there is room."
        raise KeyfileError(f"{path} can't be written: {error.strerror}", remedy=remedy) from None


def _box_key(password: str) -> bytes:
    from nacl.pwhash import argon2i

    return bytes(argon2i.kdf(32, password.encode(), _SALT, opslimit=_OPERATIONS, memlimit=_MEMORY))
