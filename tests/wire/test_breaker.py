"""Circuit breakers on a clock of their own."""

from __future__ import annotations

import pytest

from subnet.breaker import MAX_PEERS, Breakers


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def breakers() -> tuple[Breakers, Clock]:
    clock = Clock()
    return Breakers(3, pause=10.0, longest=25.0, clock=clock), clock


def fail(circuits: Breakers, times: int, key: str = "a") -> None:
    for _ in range(times):
        circuits.failed(key)


def test_failures_in_a_row_open_it_and_an_answer_between_starts_anew() -> None:
    circuits, _ = breakers()
    fail(circuits, 2)
    circuits.answered("a")
    fail(circuits, 2)
    assert circuits.wait("a") == 0.0
    circuits.failed("a")
    assert circuits.wait("a") == 10.0
    assert circuits.wait("b") == 0.0


def test_after_the_pause_one_may_look_and_its_outcome_decides() -> None:
    circuits, clock = breakers()
    fail(circuits, 3)
    for pause in (20.0, 25.0, 25.0):  # twice as long each time, at most the longest
        clock.now += circuits.wait("a")
        assert circuits.wait("a") == 0.0
        assert circuits.wait("a") > 0.0  # the others wait for what it finds
        circuits.failed("a")
        assert circuits.wait("a") == pause
    clock.now += 25.0
    assert circuits.wait("a") == 0.0
    circuits.answered("a")
    assert circuits.wait("a") == circuits.wait("a") == 0.0


def test_queries_that_were_under_way_when_it_opened_do_not_lengthen_it() -> None:
    circuits, _ = breakers()
    fail(circuits, 30)
    assert circuits.wait("a") == 10.0


def test_a_look_that_was_called_off_lets_the_next_one_look() -> None:
    circuits, clock = breakers()
    fail(circuits, 3)
    clock.now += 10.0
    assert circuits.wait("a") == 0.0
    circuits.unknown("a")
    assert circuits.wait("a") == 0.0


def test_the_memory_is_bounded() -> None:
    circuits, _ = breakers()
    for i in range(MAX_PEERS + 10):
        fail(circuits, 3, str(i))
    assert circuits.wait("0") == 0.0
    assert circuits.wait(str(MAX_PEERS)) == 10.0
    assert len(circuits._circuits) == MAX_PEERS


@pytest.mark.parametrize(("failures", "pause"), [(0, 1.0), (1, 0.0), (1, 100.0), (1, float("nan"))])
def test_what_can_t_work_is_refused(failures: int, pause: float) -> None:
    with pytest.raises(ValueError, match="can't work"):
        Breakers(failures, pause)
