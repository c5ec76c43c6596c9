"""What every test stands on: no settings from outside, and no deadlines that a busy machine misses."""

import os

import hypothesis

# Before any test module copies the environment for the processes that it starts.
_OURS = ("SUBNET_TEST_", "SUBNET_CI", "SUBNET_SCREENSHOTS")
for _name in [name for name in os.environ if name.startswith("SUBNET_") and not name.startswith(_OURS)]:
    del os.environ[_name]
for _name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "COLUMNS", "LINES"):  # what rich and typer go by
    os.environ.pop(_name, None)
os.environ["SUBNET_CACHE_DIR"] = "-"  # nobody's folders are written; the cache has tests of its own

# What a change breaks must not hang on the dice, nor on the machine's speed: the same examples each time,
# and no clock. HYPOTHESIS_PROFILE=explore draws new ones and remembers those that failed.
_CLOCKLESS = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow], "print_blob": True}
hypothesis.settings.register_profile("house", derandomize=True, **_CLOCKLESS)
hypothesis.settings.register_profile("explore", derandomize=False, max_examples=1000, **_CLOCKLESS)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))
