"""A daemon whose host is a network namespace with a bridge.

Run as `python -m tests.vm.bridged_daemon SOCKET`. The program enters the namespaces, is the
helper there, at SOCKET, and starts the daemon as its ordinary user in a user namespace below.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from banger.daemon.__main__ import main
from banger.daemon.app import open_handlers
from banger.network.bridge import links, server, tap
from banger.network.bridge.addresses import NETWORK
from tests.component.network.bridge_host import device_maker, make_namespace, run

ENTER = ["unshare", "--user", "--map-root-user", "--net", "--mount"]


def enter(path: str) -> None:
    """Become root of a namespace, where the helper runs."""
    ids = (str(os.getuid()), str(os.getgid()))
    os.execvp(ENTER[0], [*ENTER, *_again("host", path, *ids)])


def _again(*words: str) -> list[str]:
    return [sys.executable, "-m", "tests.vm.bridged_daemon", *words]


def be_host(path: str, uid: str, gid: str) -> int:
    """Serve a daemon, which the ordinary user runs in a namespace below, until it ends."""
    run("ip link set lo up")
    nameserver = server.open_nameserver(NETWORK)
    links.ensure_bridge(NETWORK)
    served = server.Served(os.getuid(), NETWORK, device_maker(make_namespace()), nameserver)
    listener = server.open_listener(path, os.getuid())
    threading.Thread(target=server.serve, args=(listener, served), daemon=True).start()
    below = ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "--"]
    daemon = subprocess.Popen([*below, *_again("daemon", path)])
    signal.signal(signal.SIGTERM, lambda *_: daemon.terminate())
    return daemon.wait()


def be_daemon(path: str) -> int:
    """Run a daemon that asks this helper."""
    tap.HELPER = path
    return main(open_handlers)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["host", path, uid, gid]:
            sys.exit(be_host(path, uid, gid))
        case ["daemon", path]:
            sys.exit(be_daemon(path))
        case [path]:
            enter(path)
