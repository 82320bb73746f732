"""What an egress proxy does that its guest has taken over: run in the jail, in the proxy's place.

Prints a JSON document of what was found. Alone in the jail: standard library, and what
tests/component/vmm/taken_over.py does in a VMM's place.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

from banger import taken_over  # type: ignore[attr-defined]  # the test puts it there


def main() -> None:
    inside = int(sys.argv[2])
    order = json.loads(Path(taken_over.__file__).with_name("order.json").read_text())
    attempt, call = taken_over.attempt, taken_over.call
    privileges = taken_over.try_privileges()
    del privileges["user namespace"]  # which the back end has as well
    found = {
        "pid": os.getpid(),
        "processes": taken_over.try_processes(order["pids"]),
        "back end": {
            "signal": attempt(signal.pidfd_send_signal, inside, signal.SIGKILL),
            "enter": attempt(call("setns", inside, taken_over.CLONE_NEWNET)),
        },
        "network": taken_over.try_network([], order["unix"]),
        "hidden": {path: attempt(os.stat, path) for path in order["hidden"]},
        "writable": taken_over.try_writing(list(taken_over.list_files([]))),
        "descriptors": taken_over.list_descriptors(),
        "environment": sorted(set(os.environ) - {"LC_CTYPE", "PWD"}),
        "no new privileges": taken_over.LIBC.prctl(taken_over.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
        "privileges": privileges,
        "names": attempt(socket.getaddrinfo, "localhost", 0),
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
