"""What every test stands on: no settings from outside, and no deadlines that a busy machine misses."""

import os

import hypothesis
import pytest

# What a change breaks must not hang on the dice, nor on the machine's speed: the same examples each time,
# and no clock. HYPOTHESIS_PROFILE=explore draws new ones and remembers those that failed.
_CLOCKLESS = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow], "print_blob": True}
hypothesis.settings.register_profile("house", derandomize=True, **_CLOCKLESS)
hypothesis.settings.register_profile("explore", derandomize=False, **_CLOCKLESS)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


@pytest.fixture(autouse=True, scope="session")
def _no_outside_settings() -> None:
    for name in [n for n in os.environ if n.startswith("SUBNET_")]:
        del os.environ[name]
    os.environ["SUBNET_CACHE_DIR"] = "-"  # nobody's folders are written; the cache has tests of its own
