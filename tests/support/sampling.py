"""Which part of a long suite a run tries.

Some suites take hours in full. A run tries a sample of each, chosen by one number, so that equal
numbers give equal samples and successive numbers cover everything. `scripts/enter` counts the
commits; BANGER_TEST_SAMPLE=N repeats the sample of an earlier run, which a failure names.
"""

from __future__ import annotations

import os

NUMBER = int(os.environ.get("BANGER_TEST_SAMPLE", "0"))
"""Of this run's sample: 0 or more."""
