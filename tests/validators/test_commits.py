"""Commit, then reveal: nothing is lost between the two, and nothing is revealed that the chain does not hold."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from subnet import follower
from subnet import service as shared
from subnet.chain import Included, WeightCommit
from subnet.errors import ChainRefused, ChainTimeout, ChainUnreachable, ConfigError, ExtrinsicFailed, StoreError
from subnet.store import Ledger
from subnet.types import Uid
from subnet.validators import commits as commits_module
from subnet.validators import setter as under_test
from subnet.validators.epochs import Tally
from subnet.validators.setter import WeightPolicy
from tests.memory_chain import NETUID, MemoryChain, neuron
from tests.validators.test_setter import ME, Bench, _score, events
from tests.waiting import until

HASH = WeightPolicy(commit="hash")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(shared, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(under_test, "_BREATH", 0.001)


@pytest.fixture
def chain() -> MemoryChain:
    """Head 100, epochs of ten blocks; what is committed from 104 on is revealed from 110 on."""
    made = MemoryChain([neuron("5Owner"), neuron(ME, validator_permit=True, axon=None), neuron("5A"), neuron("5B")])
    made.rules["commit_reveal_enabled"] = True
    return made


def open_ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "v", genesis_hash="0x77", netuid=NETUID, validator=ME)


@pytest.fixture
async def bench(chain: MemoryChain, tmp_path: Path) -> AsyncIterator[Bench]:
    with open_ledger(tmp_path) as ledger:
        made = Bench(chain, ledger, policy=HASH)
        made.ledger = ledger  # type: ignore[attr-defined]
        yield made
        await made.loops.stop()


def calls(chain: MemoryChain) -> list[str]:
    return [name for name, _ in chain.calls]


async def test_weights_are_committed_late_and_revealed_in_the_next_epoch(
    bench: Bench, chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    chain.rules["weights_version_key"] = 7
    bench.start()
    await bench.at(109)
    assert calls(chain) == ["commit_weights"]
    (committed,) = events(caplog, "weights_committed")
    assert (committed.block, committed.due, committed.form) == (104, 110, "hash")
    await bench.at(110)
    await until(lambda: bench.setter.counts["ok"] == 1)
    await bench.at(113)
    assert calls(chain) == ["commit_weights", "reveal_weights"]
    ((revealed,),) = chain.named("reveal_weights")
    assert (revealed.uids, revealed.weights, revealed.version_key) == ((2, 3), (65535, 32768), 7)
    assert chain.rows[Uid(1)] == [(2, 65535), (3, 32768)]
    (kept,) = bench.ledger.weights()  # type: ignore[attr-defined]
    assert (kept.block, kept.uids, kept.weights) == (110, (2, 3), (65535, 32768))
    assert [one.outcome for one in bench.ledger.commits(ended=True)] == ["revealed"]  # type: ignore[attr-defined]
    assert bench.setter.counts == {"committed": 1, "ok": 1}


async def test_the_salt_is_on_disk_before_the_commit_is_sent(bench: Bench, chain: MemoryChain) -> None:
    send, seen = chain.commit_weights, []

    async def watched(hotkey: Any, commit: WeightCommit, **sending: Any) -> Included:
        seen.extend(one.salt == commit.salt for one in bench.ledger.commits() if one.hash == commit.hash)  # type: ignore[attr-defined]
        return await send(hotkey, commit, **sending)

    chain.commit_weights = watched  # type: ignore[method-assign]
    bench.start()
    await bench.at(104)
    await until(lambda: bench.setter.counts["committed"] == 1)
    assert seen == [True]


async def test_a_restart_between_commit_and_reveal_reveals(chain: MemoryChain, tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        first = Bench(chain, ledger, policy=HASH)
        first.start()
        await first.at(106)
        await first.loops.stop()
    with open_ledger(tmp_path) as ledger:
        second = Bench(chain, ledger, policy=HASH)
        second.scores = {"5B": _score("5B", 1.0)}  # type: ignore[dict-item]  # not what was committed
        second.start()
        await second.at(110)
        await until(lambda: second.setter.counts["ok"] == 1)
        await second.loops.stop()
    assert calls(chain) == ["commit_weights", "reveal_weights"]
    assert chain.rows[Uid(1)] == [(2, 65535), (3, 32768)]


@pytest.mark.parametrize("death", [ChainTimeout("no answer"), ChainUnreachable("gone")])
async def test_a_commit_whose_answer_got_lost_is_found_not_sent_twice(
    bench: Bench, chain: MemoryChain, death: Exception
) -> None:
    send = chain.commit_weights

    async def lost(hotkey: Any, commit: WeightCommit, **sending: Any) -> Included:
        await send(hotkey, commit, **sending)
        raise death

    chain.commit_weights = lost  # type: ignore[method-assign]
    bench.start()
    chain.advance(4)
    await until(lambda: bench.setter.counts["committed"] == 1)
    await bench.at(110)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert calls(chain) == ["commit_weights", "reveal_weights"]


async def test_a_commit_that_never_arrived_is_sent_again_under_a_salt_of_its_own(
    bench: Bench, chain: MemoryChain
) -> None:
    send, sent = chain.commit_weights, []

    async def swallowed(hotkey: Any, commit: WeightCommit, **sending: Any) -> Included:
        sent.append(commit.salt)
        if len(sent) == 1:
            raise ChainTimeout("never arrived")
        return await send(hotkey, commit, **sending)

    chain.commit_weights = swallowed  # type: ignore[method-assign]
    bench.start()
    chain.advance(4)
    await until(lambda: bench.setter.counts["committed"] == 1)
    await bench.at(110)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert len(set(sent)) == 2
    await bench.at(104 + commits_module.LANDS_WITHIN + 10)
    await until(lambda: "never-landed" in {one.outcome for one in bench.ledger.commits(ended=True)})  # type: ignore[attr-defined]
    assert bench.setter.counts["missed"] == 0


async def test_a_reveal_that_is_refused_is_tried_again_in_the_next_block(
    bench: Bench, chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    bench.start()
    await bench.at(109)
    chain.refusals = [ExtrinsicFailed("busy", name="Full", where="pool", remedy="Wait.")]
    await bench.at(110)
    await until(lambda: bench.setter.counts["reveal-failed"] == 1)
    await bench.at(111)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert events(caplog, "reveal_failed")[0].remedy == "Wait."
    assert not events(caplog, "weights_lost")


async def test_a_reveal_that_never_passes_is_given_up_after_its_epoch_and_told(
    bench: Bench, chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused(*_: Any, **__: Any) -> Included:
        raise ExtrinsicFailed("no", name="RevealTooEarly", where="pool")

    chain.reveal_weights = refused  # type: ignore[method-assign]
    bench.start()
    await bench.at(105)
    chain.rules["weights_rate_limit"] = 1000  # so that no later commit takes its place
    await bench.at(123)
    await until(lambda: events(caplog, "weights_lost"))
    assert events(caplog, "weights_lost")[0].outcome == "expired"
    assert bench.setter.counts["missed"] == 1
    assert bench.ledger.commits() == []  # type: ignore[attr-defined]


async def test_what_the_chain_does_not_list_is_never_revealed(
    bench: Bench, chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    bench.start()
    await bench.at(109)
    chain.commits.clear()  # reverted, or dropped
    chain.rows[Uid(1)] = [(Uid(3), 65535)]
    await bench.at(111)
    await until(lambda: events(caplog, "weights_lost"))
    assert "reveal_weights" not in calls(chain)
    assert events(caplog, "weights_lost")[0].outcome == "not-listed"


async def test_a_reveal_whose_answer_got_lost_is_seen_in_the_chains_row(bench: Bench, chain: MemoryChain) -> None:
    reveal = chain.reveal_weights

    async def lost(hotkey: Any, commit: WeightCommit, **sending: Any) -> Included:
        await reveal(hotkey, commit, **sending)
        raise ChainTimeout("no answer")

    chain.reveal_weights = lost  # type: ignore[method-assign]
    bench.start()
    await bench.at(109)
    chain.advance()
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert calls(chain).count("reveal_weights") == 1


async def test_time_locked_weights_are_looked_for_until_the_chain_has_opened_them(
    bench: Bench, chain: MemoryChain, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    chain.has_drand = True
    sealing = Bench(chain, bench.ledger, policy=WeightPolicy(commit="timelock"))  # type: ignore[attr-defined]
    sealing.start()
    await sealing.at(111)
    assert sealing.setter.counts == {"committed": 1}
    chain.open_sealed()
    await sealing.at(112)
    await until(lambda: sealing.setter.counts["ok"] == 1)
    await sealing.loops.stop()
    assert calls(chain) == ["commit_timelocked_weights"]
    assert events(caplog, "weights_committed")[0].form == "timelock"


async def test_a_time_locked_commit_that_is_not_opened_is_told(
    bench: Bench, chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    chain.has_drand = True
    sealing = Bench(chain, bench.ledger, policy=WeightPolicy(commit="timelock"))  # type: ignore[attr-defined]
    sealing.start()
    await sealing.at(120)
    await until(lambda: events(caplog, "weights_lost"))
    await sealing.loops.stop()
    assert events(caplog, "weights_lost")[0].outcome == "not-opened"
    assert events(caplog, "weights_lost")[0].committed == 104


@pytest.mark.parametrize("installed", [True, False])
async def test_auto_takes_hashes_where_the_chain_opens_no_time_locks(
    bench: Bench, chain: MemoryChain, installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits_module, "_has_drand", lambda: installed)
    auto = Bench(chain, bench.ledger)  # type: ignore[attr-defined]
    auto.start()
    await auto.at(110)
    await until(lambda: auto.setter.counts["ok"] == 1)
    await auto.at(114)
    await until(lambda: auto.setter.counts["committed"] == 2)
    await auto.loops.stop()
    tried = ["commit_timelocked_weights"] if installed else []
    assert calls(chain) == [*tried, "commit_weights", "reveal_weights", "commit_weights"]


async def test_of_two_that_are_due_the_newer_is_revealed(bench: Bench, chain: MemoryChain) -> None:
    bench.start()
    await bench.at(104)
    await until(lambda: bench.setter.counts["committed"] == 1)
    await bench.loops.stop()
    with_more = Bench(chain, bench.ledger, policy=HASH)  # type: ignore[attr-defined]
    with_more.scores = {"5B": _score("5B", 1.0)}  # type: ignore[dict-item]
    await with_more.setter._commits.commit([Uid(3)], [65535], 0, epoch=110, head=105)
    with_more.start()
    await with_more.at(110)
    await until(lambda: with_more.setter.counts["ok"] == 1)
    await with_more.loops.stop()
    assert chain.rows[Uid(1)] == [(3, 65535)]
    outcomes = [one.outcome for one in bench.ledger.commits(ended=True)]  # type: ignore[attr-defined]
    assert outcomes == ["superseded", "revealed"]


EQUAL = [(Uid(2), 65535), (Uid(3), 32768)]


async def test_a_dropped_commit_is_lost_though_the_row_was_its_own_before(
    bench: Bench, chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    chain.rows[Uid(1)] = list(EQUAL)
    bench.start()
    await bench.at(109)
    chain.commits.clear()
    await bench.at(110)
    await until(lambda: events(caplog, "weights_lost"))
    assert events(caplog, "weights_lost")[0].outcome == "not-listed"
    assert bench.setter.counts == {"committed": 1, "missed": 1}


async def test_a_lost_answer_to_a_reveal_is_told_by_its_event_where_the_row_tells_nothing(
    bench: Bench, chain: MemoryChain
) -> None:
    chain.rows[Uid(1)] = list(EQUAL)
    reveal = chain.reveal_weights

    async def lost(hotkey: Any, commit: WeightCommit, **sending: Any) -> Included:
        await reveal(hotkey, commit, **sending)
        raise ChainTimeout("no answer")

    chain.reveal_weights = lost  # type: ignore[method-assign]
    bench.start()
    await bench.at(109)
    chain.advance()
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert calls(chain).count("reveal_weights") == 1


async def test_a_reveal_that_is_not_seen_is_looked_at_again(
    bench: Bench, chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    bench.start()
    await bench.at(109)
    chain.garble = True
    await bench.at(112)
    await until(lambda: bench.setter.counts["unseen"] == 1)
    assert events(caplog, "reveal_failed")[0].code == "weights.unseen"
    chain.rows[Uid(1)] = list(EQUAL)  # as where a node answered from behind its own head
    await bench.at(113)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert bench.setter.counts == {"committed": 1, "unseen": 1, "ok": 1}
    assert calls(chain).count("reveal_weights") == 1


async def test_a_reveal_that_was_undone_is_sent_again(bench: Bench, chain: MemoryChain) -> None:
    bench.start()
    await bench.at(109)
    listed = list(chain.commits)
    chain.garble = True
    await bench.at(110)
    await until(lambda: bench.setter.counts["unseen"] == 1)
    chain.garble = False
    chain.commits.extend(listed)  # its block was replaced by one without it
    await bench.at(111)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert calls(chain).count("reveal_weights") == 2


async def test_a_reveal_that_is_never_seen_is_lost_with_its_epoch(
    bench: Bench, chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    bench.start()
    await bench.at(105)
    chain.garble, chain.rules["weights_rate_limit"] = True, 1000
    await bench.at(123)
    await until(lambda: events(caplog, "weights_lost"))
    assert events(caplog, "weights_lost")[0].outcome == "unseen"
    assert bench.setter.counts == {"committed": 1, "unseen": 1, "missed": 1}


@pytest.fixture
async def sealing(bench: Bench, chain: MemoryChain) -> AsyncIterator[Bench]:
    """Time-locked commits, of weights that the chain's row shows already."""
    chain.has_drand = True
    chain.rows[Uid(1)] = list(EQUAL)
    made = Bench(chain, bench.ledger, policy=WeightPolicy(commit="timelock"))  # type: ignore[attr-defined]
    yield made
    await made.loops.stop()


async def test_a_sealed_commit_is_not_taken_for_an_opened_one(sealing: Bench, caplog: pytest.LogCaptureFixture) -> None:
    sealing.start()
    await sealing.at(119)
    assert sealing.setter.counts == {"committed": 2}
    await sealing.at(120)
    await until(lambda: events(caplog, "weights_lost"))
    assert [one.outcome for one in events(caplog, "weights_lost")] == ["not-opened"]
    assert sealing.setter.counts["ok"] == 0


async def test_an_opened_commit_is_told_by_its_event(sealing: Bench, chain: MemoryChain) -> None:
    sealing.start()
    await sealing.at(112)
    chain.open_sealed()
    await sealing.at(113)
    await until(lambda: sealing.setter.counts["ok"] == 1)


async def test_a_commit_that_the_chain_could_not_open_is_lost(
    sealing: Bench, chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    sealing.start()
    await sealing.at(112)
    chain.sealed.clear()  # it could not be decrypted, or its weights were refused: there is no event
    await sealing.at(113)
    await until(lambda: events(caplog, "weights_lost"))
    assert events(caplog, "weights_lost")[0].outcome == "not-opened"
    assert sealing.setter.counts == {"committed": 1, "missed": 1}


@pytest.mark.parametrize("remembers", [0, 110, 112, 113])
async def test_a_commit_that_was_opened_while_nobody_looked_is_found_in_its_block(
    sealing: Bench, bench: Bench, chain: MemoryChain, remembers: int, caplog: pytest.LogCaptureFixture
) -> None:
    sealing.start()
    await sealing.at(106)
    await sealing.loops.stop()
    chain.advance(6)
    chain.open_sealed()  # in block 112
    chain.advance(1)
    chain.remembers = remembers
    sealing.start()
    await until(lambda: not bench.ledger.commits())  # type: ignore[attr-defined]
    (ended,) = bench.ledger.commits(ended=True)  # type: ignore[attr-defined]
    if remembers == 113:  # nobody can tell any more
        assert (ended.outcome, sealing.setter.counts["unseen"]) == ("unseen", 1)
        assert events(caplog, "reveal_failed")[0].remedy
    else:
        assert (ended.outcome, bench.ledger.weights()[0].block) == ("revealed", 112)  # type: ignore[attr-defined]


async def test_one_of_a_former_epoch_that_was_opened_is_not_lost(sealing: Bench, chain: MemoryChain) -> None:
    sealing.start()
    await sealing.at(106)
    await sealing.loops.stop()
    chain.advance(6)
    chain.open_sealed()
    chain.advance(2)
    await sealing.setter._commits.commit([Uid(2)], [65535], 0, epoch=120, head=114)
    chain.advance(7)
    sealing.start()
    await until(lambda: sealing.setter.counts["ok"] == 1)
    assert sealing.setter.counts["missed"] == 0


async def test_a_commit_that_a_fork_took_away_is_made_again(bench: Bench, chain: MemoryChain) -> None:
    bench.start()
    await bench.at(105)
    await until(lambda: bench.setter.counts["committed"] == 1)
    chain.commits.clear()
    chain.change(1, last_update=90)
    await bench.at(107)
    await until(lambda: bench.setter.counts["committed"] == 2)
    await bench.at(110)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert bench.setter.counts == {"committed": 2, "unseen": 1, "ok": 1}
    assert chain.rows[Uid(1)] == EQUAL


async def test_a_reveal_that_a_fork_took_away_is_made_again(bench: Bench, chain: MemoryChain) -> None:
    bench.start()
    await bench.at(109)
    listed = list(chain.commits)
    await bench.at(110)
    await until(lambda: bench.setter.counts["ok"] == 1)
    chain.commits.extend(listed)
    chain.rows.clear()
    await bench.at(115)
    await until(lambda: bench.setter.counts["ok"] == 2)
    assert calls(chain).count("reveal_weights") == 2
    assert chain.rows[Uid(1)] == EQUAL
    assert bench.health.troubles == []


async def test_a_reveal_that_a_fork_took_away_from_a_former_life_is_made_again(
    chain: MemoryChain, tmp_path: Path
) -> None:
    with open_ledger(tmp_path) as ledger:
        first = Bench(chain, ledger, policy=HASH)
        first.start()
        await first.at(109)
        listed = list(chain.commits)
        await first.at(110)
        await until(lambda: first.setter.counts["ok"] == 1)
        await first.loops.stop()
    chain.commits.extend(listed)
    chain.rows.clear()
    with open_ledger(tmp_path) as ledger:
        second = Bench(chain, ledger, policy=HASH)
        second.start()
        await second.at(113)
        await second.loops.stop()
        assert second.setter.counts == {"unseen": 1, "ok": 1}
        assert second.health.troubles == []
    assert calls(chain) == ["commit_weights", "reveal_weights", "reveal_weights"]
    assert chain.rows[Uid(1)] == EQUAL


async def test_a_reveal_is_looked_back_at_while_it_could_be_made_anew(bench: Bench, chain: MemoryChain) -> None:
    looks = []
    lists = chain.weight_commits

    async def counted(*arguments: Any, **named: Any) -> Any:
        looks.append(chain.head)
        return await lists(*arguments, **named)

    bench.start()
    await bench.at(110)
    await until(lambda: bench.setter.counts["ok"] == 1)
    chain.rules["commit_reveal_enabled"] = False
    chain.weight_commits = counted  # type: ignore[method-assign]
    await bench.at(150)
    assert 110 < max(looks) <= 121


async def test_a_trouble_of_reveals_ends_where_weights_go_openly(bench: Bench, chain: MemoryChain) -> None:
    bench.start()
    await bench.at(109)
    chain.commits.clear()
    await bench.at(111)
    assert [one.name for one in bench.health.troubles] == ["reveals"]
    chain.rules["commit_reveal_enabled"] = False
    await bench.at(114)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert bench.health.troubles == []


async def test_a_reveal_on_a_subnet_that_takes_none_any_more_is_not_tried_again(
    bench: Bench, chain: MemoryChain
) -> None:
    bench.start()
    await bench.at(109)
    chain.rules["commit_reveal_enabled"] = False
    chain.refusals = [ExtrinsicFailed("no", name="CommitRevealDisabled", where="pool")]
    await bench.at(113)
    assert calls(chain) == ["commit_weights", "reveal_weights"]
    await bench.at(114)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert bench.health.troubles == []


async def test_what_a_node_has_forgotten_does_not_keep_the_next_weights_back(bench: Bench, chain: MemoryChain) -> None:
    reveal, weights = chain.reveal_weights, chain.weights

    async def lost(hotkey: Any, commit: WeightCommit, **sending: Any) -> Included:
        await reveal(hotkey, commit, **sending)
        chain.reveal_weights = reveal  # type: ignore[method-assign]
        raise ChainTimeout("no answer")

    async def forgotten(netuid: int, block: int | None = None, *, mecid: int = 0) -> Any:
        if block == 110:
            raise ChainRefused("State already discarded", rpc_code=4003)
        return await weights(netuid, block, mecid=mecid)

    chain.reveal_weights, chain.weights = lost, forgotten  # type: ignore[method-assign]
    bench.start()
    await bench.at(109)
    chain.advance()
    await until(lambda: bench.setter.counts["unseen"] == 1)
    await bench.at(120)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert calls(chain) == ["commit_weights", "reveal_weights"] * 2


async def test_a_reveal_that_was_noted_in_part_is_one_set_of_weights(bench: Bench, chain: MemoryChain) -> None:
    """As after ``kill -9`` between the two."""
    ledger: Ledger = bench.ledger  # type: ignore[attr-defined]
    update, died = ledger.update_commit, []

    def dies(hash_: str, **changes: Any) -> None:
        if changes.get("outcome") == "revealed" and not died:
            died.append(hash_)
            raise StoreError("the disk is full")
        update(hash_, **changes)

    ledger.update_commit = dies  # type: ignore[method-assign]
    bench.start()
    await bench.at(109)
    chain.advance()
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert [kept.block for kept in ledger.weights()] == [110]


async def test_where_it_was_opened_is_not_searched_for_in_each_block(bench: Bench, chain: MemoryChain) -> None:
    chain.tempo = 100
    bench.start()
    await bench.at(199)
    looks = []
    lists = chain.weight_commits

    async def counted(*arguments: Any, **named: Any) -> Any:
        looks.append(chain.head)
        return await lists(*arguments, **named)

    chain.weight_commits = counted  # type: ignore[method-assign]
    chain.garble = True
    await bench.at(240)
    assert bench.setter.counts == {"committed": 1, "unseen": 1}
    assert len(looks) < 50


async def test_a_chain_that_was_reset_is_committed_to_anew(
    bench: Bench, chain: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "RESET_CHECK", 0.001)
    bench.start()
    await bench.at(105)
    await until(lambda: bench.setter.counts["committed"] == 1)
    chain.head, chain.last_epoch = 40, 40  # as from a snapshot: the commit is gone
    chain.commits.clear()
    chain.change(1, last_update=1)
    await bench.at(44)
    await until(lambda: bench.setter.counts["committed"] == 2)
    await bench.at(50)
    await until(lambda: bench.setter.counts["ok"] == 1)
    (second,) = bench.ledger.commits(ended=True)  # type: ignore[attr-defined]
    assert (second.block, second.outcome) == (44, "revealed")
    (first,) = bench.ledger.commits()  # type: ignore[attr-defined]
    assert (first.block, first.due) == (None, None)
    await bench.at(53 + commits_module.LANDS_WITHIN)
    outcomes = {one.hash: one.outcome for one in bench.ledger.commits(ended=True)}  # type: ignore[attr-defined]
    assert outcomes[first.hash] == "never-landed"
    assert "missed" not in bench.setter.counts


def test_an_unknown_form_is_refused(chain: MemoryChain, tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger, pytest.raises(ConfigError):
        commits_module.Commits(
            chain,
            None,
            NETUID,
            ledger,
            form="x",
            mechanism=0,
            sending={},
            tally=Tally(0),
        )
