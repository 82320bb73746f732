"""Start a program whose peak of memory is its own.

The kernel lets a program begin with the peak of the process that started it (`ru_maxrss`), and a
worker of the tests may have had gigabytes. `*APART` before a command puts a shell between the two.
"""

from __future__ import annotations

APART = ("sh", "-c", '"$@"; exit $?', "sh")
