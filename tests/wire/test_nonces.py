"""The table of accepted nonces: bounded, and no replay gets through a restart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet import nonces
from subnet.errors import Busy, StaleRequest, StoreError
from subnet.nonces import NonceTable


class Clock:
    """Stands in for the module's time: it goes on when the test says so."""

    def __init__(self) -> None:
        self.now_ns = 1_760_000_000_000_000_000

    def time_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(nonces, "time", made)
    return made


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=60))
@settings(max_examples=60)
def test_each_pair_is_accepted_once(pairs: list[tuple[str, int]]) -> None:
    table, seen, start = NonceTable(capacity=256), set(), time.time_ns()
    for hotkey, offset in pairs:
        assert table.check_and_store(hotkey, start + offset) is ((hotkey, offset) not in seen)
        seen.add((hotkey, offset))
    table.close()


def test_a_full_table_refuses_rather_than_forgets(clock: Clock) -> None:
    table, now = NonceTable(capacity=64), clock.now_ns
    for i in range(64):
        assert table.check_and_store("a", now + i)
    with pytest.raises(Busy):
        table.check_and_store("a", now + 64)
    assert not table.check_and_store("a", now)


def test_what_has_expired_makes_room(clock: Clock) -> None:
    table = NonceTable(capacity=64, retention=1.0)
    for i in range(64):
        assert table.check_and_store("a", clock.now_ns + i)
    clock.now_ns += 1_000_000_000
    with pytest.raises(Busy):
        table.check_and_store("a", clock.now_ns + 1)
    clock.now_ns += 64
    for i in range(64):
        assert table.check_and_store("a", clock.now_ns + i)


@pytest.mark.parametrize("nonce", [-1, 0, 1 << 64, 1 << 200])
def test_nonces_out_of_range(nonce: int) -> None:
    with pytest.raises(StaleRequest):
        NonceTable().check_and_store("a", nonce)


def test_a_new_file_refuses_what_an_earlier_process_may_have_accepted(tmp_path: Path, clock: Clock) -> None:
    table = NonceTable(tmp_path / "nonces")
    assert table.ready_in() == 2.0
    with pytest.raises(StaleRequest, match="restarted"):
        table.check_and_store("a", clock.now_ns + 2_000_000_000)
    clock.now_ns += 2_000_000_000
    assert table.ready_in() == 0.0
    assert table.check_and_store("a", clock.now_ns + 1)
    table.close()


def test_an_orderly_restart_forgets_nothing_and_waits_for_nothing(tmp_path: Path) -> None:
    table = NonceTable(tmp_path / "nonces")
    nonce = table.watermark_ns + 1
    assert table.check_and_store("a", nonce)
    table.close()
    again = NonceTable(tmp_path / "nonces")
    assert again.watermark_ns == table.watermark_ns
    assert not again.check_and_store("a", nonce)
    assert again.check_and_store("b", nonce)


def test_kill_9_forgets_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from subnet.nonces import NonceTable\n"
        "table = NonceTable(Path(sys.argv[1])); nonce = table.watermark_ns + 1\n"
        "assert table.check_and_store('a', nonce); print(nonce, flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "nonces")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    nonce = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    table = NonceTable(tmp_path / "nonces")
    assert not table.check_and_store("a", nonce)


def test_after_a_reboot_the_file_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    table = NonceTable(tmp_path / "nonces")
    nonce = table.watermark_ns + 1
    table.check_and_store("a", nonce)
    table.close()
    monkeypatch.setattr(nonces, "_boot_id", lambda: b"another boot")
    clock.now_ns += 1
    later = NonceTable(tmp_path / "nonces")
    assert later.watermark_ns > table.watermark_ns
    with pytest.raises(StaleRequest):
        later.check_and_store("a", nonce)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    table = NonceTable(tmp_path / "nonces")
    with pytest.raises(StoreError, match="another process"):
        NonceTable(tmp_path / "nonces")
    table.close()
    NonceTable(tmp_path / "nonces").close()


def test_a_garbled_file_is_begun_anew(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "nonces"
    path.write_bytes(os.urandom(10_000))
    table = NonceTable(path)
    assert table.ready_in() == 2.0
    table.close()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be opened"):
        NonceTable(tmp_path / "file" / "nonces")


def test_workers_that_share_a_table_accept_each_pair_once_between_them(tmp_path: Path) -> None:
    path = tmp_path / "shared.nonces"
    first = NonceTable(path, shared=True)
    base = first.watermark_ns + 1
    script = (
        "import random, sys\n"
        "from pathlib import Path\n"
        "from subnet.errors import Busy\n"
        "from subnet.nonces import NonceTable\n"
        "table = NonceTable(Path(sys.argv[1]), shared=True)\n"
        "offsets = list(range(2000))\n"
        "random.Random(sys.argv[3]).shuffle(offsets)\n"
        "def accepted(nonce):\n"
        "    while True:\n"
        "        try:\n"
        "            return table.check_and_store('a', nonce)\n"
        "        except Busy:\n"  # whose turn it is was taken off its processor
        "            continue\n"
        "sys.stdin.read()\n"  # all begin together
        "print(sum(accepted(int(sys.argv[2]) + i) for i in offsets))\n"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(base), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(3)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
    counts = []
    for worker in workers:
        assert worker.stdout is not None
        counts.append(int(worker.stdout.read()))
        worker.stdout.close()
        assert worker.wait(60) == 0
    assert sum(counts) == 2000
    assert not any(first.check_and_store("a", base + i) for i in range(2000))
    first.close()


def test_who_shares_and_who_does_not_keep_each_other_out(tmp_path: Path) -> None:
    path = tmp_path / "n"
    one, two = NonceTable(path, shared=True), NonceTable(path, shared=True)
    with pytest.raises(StoreError, match="another process"):
        NonceTable(path)
    with pytest.raises(StoreError, match="size"):
        NonceTable(path, shared=True, capacity=1 << 20)
    one.close()
    two.close()
    alone = NonceTable(path)
    with pytest.raises(StoreError, match="another process"):
        NonceTable(path, shared=True)
    alone.close()
    NonceTable(path, shared=True, capacity=1 << 20).close()  # nobody is left to mind another size


def test_a_worker_killed_in_its_turn_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "n"
    table = NonceTable(path, shared=True)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from subnet.nonces import NonceTable\n"
        "table = NonceTable(Path(sys.argv[1]), shared=True)\n"
        "table._take_turn()\n"
        "print('mine', flush=True)\n"
        "sys.stdin.read()\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert worker.stdout.readline() == "mine\n"
    nonce = table.watermark_ns + 1
    with pytest.raises(Busy):
        table.check_and_store("a", nonce)
    worker.send_signal(signal.SIGKILL)
    worker.wait(60)
    assert table.check_and_store("a", nonce)
    worker.stdin.close()
    worker.stdout.close()
    table.close()
