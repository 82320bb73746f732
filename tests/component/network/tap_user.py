"""What a VMM does with a TAP, as a program: run by banger-tap, in a jail or without one.

Opens the TAP by its name. `connect PORT ADDRESS...` prints whether a TCP connection to each address
is accepted, for a guest behind the TAP; the last address is expected to. `count N` reads N frames,
slowly, and prints how many came in their order.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from pathlib import Path

from banger.model.names import VmId
from banger.network.user.kind import NETWORK
from tests.component.network.frames import Guest, TapLink

SET_INTERFACE, TAP_WITH_HEADERS = 0x400454CA, 0x0002 | 0x1000 | 0x4000
INTERFACE = NETWORK.plan_interface(VmId("0123456789ab"))


def open_tap() -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, SET_INTERFACE, struct.pack("16sH14x", b"tap0", TAP_WITH_HEADERS))
    return tap


def count_in_order(tap: int, wanted: int) -> int:
    """Read numbered ARP frames with a pause now and then; return how many came in a row."""
    seen = 0
    while seen < wanted:
        frame = os.read(tap, 1 << 17)[10:]
        if frame[12:14] != b"\x08\x06":
            continue
        if struct.unpack("!I", frame[14:18])[0] != seen:
            return seen
        seen += 1
        if seen % 5000 == 0:
            time.sleep(0.02)  # more than the queue of a TAP comes meanwhile
    return seen


def main() -> None:
    tap = open_tap()
    status = Path("/proc/self/status").read_text()
    capabilities = status.split("CapEff:\t")[1].split()[0]
    print("capabilities", int(capabilities, 16), flush=True)
    if sys.argv[1] == "connect":
        guest = Guest(TapLink(tap), INTERFACE)
        *closed, world = sys.argv[3:]
        for address, wait_s in [*((each, 0.3) for each in closed), (world, 20.0)]:
            reached = guest.can_connect(address, int(sys.argv[2]), wait_s=wait_s)
            print(address, reached, flush=True)
    else:
        print("in order", count_in_order(tap, int(sys.argv[2])), flush=True)


if __name__ == "__main__":
    main()
