"""``python -m subnet.devnet``: another way to say ``subnet chain``."""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":
    # by name: the command line is a floor above, which nothing here may import
    sys.argv[1:1] = ["chain"]
    runpy.run_module("subnet.cli", run_name="__main__")
