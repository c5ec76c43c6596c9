"""A round's receipts under one root: exported from a real ledger, verified offline, refused when touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from substrateinterface import Keypair

from subnet.cli import main
from subnet.errors import BadReceipt, StoreError
from subnet.evidence import Evidence, export_round
from subnet.receipts import Receipt, signed
from subnet.store import Ledger, Result, Round
from subnet.types import Block, Hotkey, Netuid, Uid

GENESIS = "0x" + "ab" * 32
VALIDATOR = Hotkey(Keypair.create_from_uri("//Validator").ss58_address)
MINERS = [Keypair.create_from_uri(f"//Miner{i}") for i in range(3)]


def receipt_of(miner: Keypair, nonce: int, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "genesis_hash": GENESIS,
        "netuid": 2,
        "path": "/Classify",
        "request_digest": "11" * 32,
        "nonce_ns": nonce,
        "sender": VALIDATOR,
        "receiver": Hotkey(miner.ss58_address),
        "status": 200,
        "response_digest": "22" * 32,
        "artifact": "-",
        "time_ns": 1_760_000_000_100_000_000,
        "scheme": "sr25519",
    }
    return signed(miner, Receipt(**fields | changes)).to_bytes()


def record(path: Path, receipts: list[list[bytes]]) -> None:
    with Ledger(path, genesis_hash=GENESIS, netuid=Netuid(2), validator=VALIDATOR) as ledger:
        results = [
            Result(Hotkey(miner.ss58_address), Uid(uid), 1.0, receipts=tuple(bodies))
            for uid, (miner, bodies) in enumerate(zip(MINERS, receipts, strict=True))
        ]
        ledger.record(Round(1, Block(10), 1e9, 1e9 + 1, 3, 3), results, [])


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    record(path, [[receipt_of(miner, 10 * uid + i) for i in range(2)] for uid, miner in enumerate(MINERS)])
    return path


@pytest.fixture
def evidence(ledger: Path) -> Evidence:
    from subnet.store import History

    with History(ledger) as history:
        return export_round(history, 1)


def test_a_round_verifies_from_its_json_alone(evidence: Evidence) -> None:
    back = Evidence.from_json(evidence.to_json())
    found = back.verify()
    assert (found.receipts, found.miners) == (6, 3)


def test_one_entry_is_enough_for_whom_it_concerns(evidence: Evidence) -> None:
    entry = evidence.receipts[4]
    assert entry.verify(bytes.fromhex(evidence.root), evidence.size).receiver == MINERS[2].ss58_address


@pytest.mark.parametrize(
    "change",
    [
        {"root": "00" * 32},
        {"size": 5},
        {"netuid": 3},
        {"genesis_hash": "0x" + "00" * 32},
        {"validator": MINERS[0].ss58_address},
        {"protocol": "subnet-evidence/2"},
        {"receipts": ()},
    ],
)
def test_another_word_fails(evidence: Evidence, change: dict[str, Any]) -> None:
    with pytest.raises(BadReceipt):
        msgspec.structs.replace(evidence, **change).verify()


def test_a_forged_or_moved_or_dropped_receipt_fails(evidence: Evidence) -> None:
    entries = list(evidence.receipts)
    forged = msgspec.structs.replace(entries[0], receipt=receipt_of(MINERS[0], 99).hex())
    theirs = msgspec.structs.replace(entries[0], hotkey=Hotkey(MINERS[1].ss58_address))
    for receipts in (
        [forged, *entries[1:]],
        [theirs, *entries[1:]],
        [entries[1], entries[0], *entries[2:]],
        entries[:-1],
        [*entries, entries[-1]],
    ):
        with pytest.raises(BadReceipt):
            msgspec.structs.replace(evidence, receipts=tuple(receipts)).verify()


def test_a_root_over_an_unsigned_receipt_does_not_help(tmp_path: Path) -> None:
    body = msgspec.structs.replace(Receipt.from_bytes(receipt_of(MINERS[0], 1)), status=500).to_bytes()
    record(tmp_path / "l.sqlite", [[body], [], []])
    from subnet.store import History

    with History(tmp_path / "l.sqlite") as history, pytest.raises(BadReceipt):
        export_round(history, 1).verify()


def test_a_round_without_receipts_is_empty_and_holds(tmp_path: Path) -> None:
    record(tmp_path / "l.sqlite", [[], [], []])
    from subnet.store import History

    with History(tmp_path / "l.sqlite") as history:
        assert export_round(history, 1).verify().receipts == 0
        with pytest.raises(StoreError):
            export_round(history, 2)


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["receipts", *args])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_the_command_lists_exports_and_verifies(
    ledger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(str(ledger), "--json") == 0
    assert json.loads(capsys.readouterr().out) == [{"round": 1, "receipts": 6}]
    assert call(str(ledger), "--round", "1") == 0
    whole = capsys.readouterr().out
    out = tmp_path / "evidence.json"
    assert call(str(ledger), "--round", "1", "--out", str(out), "--json") == 0
    assert json.loads(capsys.readouterr().out)["root"] == json.loads(whole)["root"]
    assert json.loads(out.read_text()) == json.loads(whole)
    assert call(str(out), "--verify", "--json") == 0
    assert json.loads(capsys.readouterr().out)["miners"] == 3
    out.write_text(out.read_text().replace('"netuid":2', '"netuid":3'))
    assert call(str(out), "--verify") == BadReceipt.exit_code
    assert "error[receipt]" in capsys.readouterr().err


def test_the_command_refuses_what_makes_no_sense(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(str(ledger), "--verify", "--round", "1") == 2
    assert call(str(ledger), "--out", "x") == 2
    assert call(str(ledger) + ".none") != 0
    capsys.readouterr()
    assert call(str(ledger), "--verify") != 0
