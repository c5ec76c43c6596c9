from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from subnet.errors import ConfigError
from subnet.examples.forecast.topic import (
    KNOWN,
    Topic,
    TopicFile,
    month_of,
    read_topic,
    series,
    write_topic,
)


def test_the_series_is_the_one_that_statsmodels_carries() -> None:
    months = series()
    assert months.shape == (732,)
    assert months[:3].tolist() == [23.11, 24.20, 25.37]  # January to March 1950
    assert months[-1] == pytest.approx(22.07)
    assert np.isfinite(months).all()
    with pytest.raises(ValueError, match="read-only"):
        months[0] = 0.0


def test_a_step_opens_closes_and_is_known_when_the_next_one_opens() -> None:
    topic = Topic(origin=1000.0, seconds=10.0, window=0.5, reveal=0.3)
    assert [topic.step_at(now) for now in (999.0, 1000.0, 1009.9, 1010.0)] == [-1, 0, 0, 1]
    assert (topic.opens(3), topic.closes(3), topic.revealed(3), topic.known(3)) == (1030.0, 1035.0, 1038.0, 1040.0)


def test_nobody_sees_a_month_before_its_time() -> None:
    topic = Topic(origin=1000.0, seconds=10.0)
    assert len(topic.history(2)) == KNOWN + 2
    assert topic.truth(2, now=1029.9) is None
    assert topic.truth(2, now=1030.0) == series()[KNOWN + 2]


def test_after_the_last_month_the_steps_begin_anew() -> None:
    topic = Topic()
    assert topic.index(732 - KNOWN) == KNOWN
    assert topic.month(0) == "1996-01"
    assert month_of(0) == "1950-01"


def test_a_topic_goes_through_its_file(tmp_path: Path) -> None:
    topic, path = Topic(origin=12.5, seconds=2.0), tmp_path / "topic.json"
    later = TopicFile(str(path))
    write_topic(path, topic)
    assert later() == topic
    assert TopicFile("")() == Topic()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"seconds": 0}',
        '{"origin": NaN}',
        '{"window": 0.9, "reveal": 0.3}',
        '{"second": 2}',
        '{"origin": "x"}',
    ],
)
def test_what_is_no_topic_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "topic.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="holds no topic"):
        read_topic(path)


def test_without_a_file_it_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as missing:
        TopicFile(str(tmp_path / "none.json"))()
    assert '"origin"' in missing.value.remedy


def test_without_statsmodels_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as missing:
        series.__wrapped__()
    assert "examples" in missing.value.remedy
