"""What a VMM does that its guest has taken over: run in the jail, in the VMM's place.

The data disk, which QEMU is told of and Firecracker finds as `data`, holds a JSON document of what
to try. Prints a JSON document of what was found, and leaves a process behind that holds a lock on
the disk. Alone in the jail: standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS = 0x10000000, 0x40000000, 0x00020000
PR_GET_NO_NEW_PRIVS = 39
TUN_DEVICE, TUN_TAP, TUN_SET_INTERFACE = "/dev/net/tun", 0x0002, 0x400454CA
LIBC = ctypes.CDLL(None, use_errno=True)


def attempt(action: Callable[..., object], *arguments: object) -> str:
    """Return "done", or the name of the error."""
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def call(name: str, *arguments: object) -> Callable[[], None]:
    """A call of libc's that fails as Python's do."""

    def action() -> None:
        if getattr(LIBC, name)(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return action


def try_processes(pids: list[int]) -> dict[str, str]:
    found = {"everybody": attempt(os.kill, -1, 0)}
    for pid in pids:
        found[f"kill {pid}"] = attempt(os.kill, pid, signal.SIGKILL)
        found[f"pidfd {pid}"] = attempt(os.pidfd_open, pid)
        found[f"trace {pid}"] = attempt(call("ptrace", 16, pid, 0, 0))
    return found


def take_tap(name: str) -> None:
    with open(TUN_DEVICE, "r+b", buffering=0) as device:
        fcntl.ioctl(device, TUN_SET_INTERFACE, struct.pack("16sH22x", name.encode(), TUN_TAP))


def try_network(tcp: list[tuple[str, int]], unix: list[str]) -> dict[str, str]:
    found = {}
    for address, port in tcp:
        with contextlib.closing(socket.socket()) as sock:
            sock.settimeout(5)
            found[f"{address}:{port}"] = attempt(sock.connect, (address, port))
    for path in unix:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
            found[path] = attempt(sock.connect, path.replace("@", "\0"))
    return found


def list_files(system: list[str]) -> Iterator[str]:
    """Yield every file that is in no directory of the system's."""
    for folder, _, names in os.walk("/"):
        for name in names:
            path = os.path.join(folder, name)
            if not any(path == top or path.startswith(f"{top}/") for top in system):
                yield path


def try_writing(files: list[str]) -> list[str]:
    """Return the files that can be opened for writing, and the directories that take a new one."""
    writable = []
    for path in files:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY))
            writable.append(path)
    for folder in sorted({os.path.dirname(path) for path in files} | {"/", "/dev", "/usr", "/tmp"}):
        with contextlib.suppress(OSError):
            os.close(os.open(f"{folder}/new", os.O_WRONLY | os.O_CREAT, 0o600))
            writable.append(folder)
    return writable


def list_descriptors() -> dict[int, str]:
    found = {}
    for number in range(1024):
        with contextlib.suppress(OSError):
            found[number] = stat.filemode(os.fstat(number).st_mode)[0]
    return found


def try_privileges() -> dict[str, str]:
    return {
        "root": attempt(os.setuid, 0),
        "mount": attempt(call("mount", b"none", b"/dev", b"tmpfs", 0, None)),
        "remount": attempt(call("mount", None, b"/", None, 32 | 4096, None)),
        "network": attempt(call("unshare", CLONE_NEWNET)),
        "mounts": attempt(call("unshare", CLONE_NEWNS)),
        "chroot": attempt(os.chroot, "/dev"),
        "tap": attempt(take_tap, "another"),
        "device": attempt(os.mknod, "/dev/new", stat.S_IFCHR | 0o600, 0x101),
        "user namespace": attempt(call("unshare", CLONE_NEWUSER)),
    }


def leave_a_child(disk: str) -> None:
    """Start a process that would live on, with a lock on the disk."""
    lock = os.open(disk, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        time.sleep(600)
        os._exit(0)


def main() -> None:
    disks = [json.loads(word) for word in sys.argv if '"node-name": "data"' in word]
    disk = disks[0]["file"]["filename"] if disks else os.path.realpath("data")
    with open(disk, "rb") as file:
        order = json.loads(file.read().rstrip(b"\0"))
    files = sorted(list_files(order["system"]))
    descriptors = list_descriptors()
    found = {
        "pid": os.getpid(),
        "processes": try_processes(order["pids"]),
        "network": try_network([tuple(each) for each in order["tcp"]], order["unix"]),
        "files": files,
        "hidden": {path: attempt(os.stat, path) for path in order["hidden"]},
        "writable": try_writing(files),
        "descriptors": descriptors,
        "environment": sorted(set(os.environ) - {"LC_CTYPE", "PWD"}),
        "no new privileges": LIBC.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
        "privileges": try_privileges(),
    }
    leave_a_child(disk)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
