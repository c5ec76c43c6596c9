"""What every test stands on: no settings from outside, and no deadlines that a busy machine misses."""

import os

import hypothesis
import pytest

hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


@pytest.fixture(autouse=True, scope="session")
def _no_outside_settings() -> None:
    for name in [n for n in os.environ if n.startswith("SUBNET_")]:
        del os.environ[name]
