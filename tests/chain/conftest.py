"""Gives the tests of this folder the modules they share: chain_peers (bad nodes), conformance*, shapes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # import-mode=importlib leaves it out
