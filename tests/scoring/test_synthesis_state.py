from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from subnet.scoring.synthesis import Synthesiser


def test_a_place_made_new_forgets_its_worker_and_nobody_else() -> None:
    synthesiser = Synthesiser(3, 2)
    for step in range(14):
        synthesiser.predict([1.0, 2.0, 4.0 + step], [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.5]])
        synthesiser.learn(1.5)
    before = synthesiser.state
    inferer, forecaster = before.without(1), before.without(4)
    assert np.isnan(inferer.regrets[1])
    assert np.isnan(forecaster.regrets[4])
    for after, worker in ((inferer, 1), (forecaster, 4)):
        others = [k for k in range(5) if k != worker]
        assert after.inclusions[worker] == 0
        assert np.isnan(after.one_out_regrets[worker]).all()
        assert np.isnan(after.one_out_regrets[:, worker]).all()
        assert_array_equal(after.regrets[others], before.regrets[others])
        assert_array_equal(after.inclusions[others], before.inclusions[others])
    assert np.isnan(inferer.naive_regrets[1])
    assert np.isnan(inferer.one_in_regrets[:, 1]).all()
    assert np.isnan(inferer.inferer_scores[:, 1]).all()
    assert_array_equal(inferer.forecaster_scores, before.forecaster_scores)
    assert np.isnan(forecaster.one_in_regrets[1]).all()
    assert np.isnan(forecaster.forecaster_fractions[1])
    assert_array_equal(forecaster.inferer_scores, before.inferer_scores)
    assert np.isfinite(before.regrets).all()
    with pytest.raises(IndexError):
        before.without(5)
