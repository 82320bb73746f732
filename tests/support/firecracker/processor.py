"""A processor that knows what a test's kernel of a few instructions needs, and nothing else.

A kernel file is looked through for them in order: bytes for the serial port, and the reset.
"""

from __future__ import annotations

import re

STEP = re.compile(
    rb"\x66\xba\xf8\x03\xb0(?P<said>.)\xee"  # mov $0x3f8, %dx; mov $.., %al; out %al, %dx
    rb"|(?P<reset>\xb0\xfe\xe6\x64"  # mov $0xfe, %al; out %al, $0x64
    rb"|\x0f\x01\x1d....\xcc)",  # lidt; int3: a triple fault
    re.DOTALL,
)


def run_kernel(kernel: bytes) -> tuple[bytes, bool]:
    """Return what a kernel says on the serial port, and whether it resets the machine."""
    said = b""
    for step in STEP.finditer(kernel):
        if step["reset"]:
            return said, True
        said += step["said"]
    return said, False
