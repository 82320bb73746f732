"""E5: what is left to a guest that has taken over its VM's egress proxy, tried from inside.

A program of ours (proxy_taken_over.py) is started in the place of the proxy, with the arguments,
descriptors and jail that it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.host import programs
from banger.host.identity import wait_gone
from banger.model.egress import Egress, Profile
from banger.model.names import VmId
from banger.network.egress.control import set_proxy_policy
from banger.network.user.argv import CHAIN
from banger.network.user.kind import NETWORK
from banger.network.user.proxy import view
from banger.network.user.proxy.start import Proxy, start_proxy
from banger.network.user.slirp import start_slirp
from banger.network.user.tools import SLIRP
from tests.component.vmm import taken_over

DEADLINE_S = 120.0
INTERFACE = NETWORK.plan_interface(VmId("0123456789ab"))
PROGRAM = Path(__file__).with_name("proxy_taken_over.py")
PROXY = Path("network/user/proxy")


async def run_to_end(directory: Path, *, egress: Egress | None = None) -> tuple[Proxy, str]:
    """Run a proxy until it, or its back end, has ended; return it, and what it said."""
    log_file = directory / "proxy.log"
    binary = programs.find_tool(SLIRP)
    assert binary
    async with asyncio.timeout(DEADLINE_S):
        backend = await start_slirp(
            INTERFACE, binary=binary, log_file=directory / "slirp.log", is_private=True
        )
        with contextlib.closing(backend):
            proxy = await start_proxy(backend, directory / "proxy.sock", log_file)
            if egress is None:
                await wait_gone(proxy.process)
            else:
                await set_proxy_policy(proxy.control, egress)
        assert backend.monitor is not None
        for process in (backend.monitor, *proxy.processes):
            await wait_gone(process)
    return proxy, log_file.read_text()


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def take_over(
    directory: Path, order: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Run the program in the proxy's place; return what it found."""
    package = directory / "banger"
    (package / PROXY).mkdir(parents=True)
    shutil.copy(PROGRAM, package / PROXY / "__main__.py")
    shutil.copy(str(taken_over.__file__), package / "taken_over.py")
    (package / "order.json").write_text(json.dumps(order))
    find_package = view.find_package
    monkeypatch.setattr(
        view, "find_package", lambda name: str(package) if name == "banger" else find_package(name)
    )
    _, said = asyncio.run(run_to_end(directory))
    assert said.startswith("{"), said
    found: dict[str, Any] = json.loads(said)
    return found


def test_a_proxy_that_was_taken_over_reaches_nothing_of_its_user(
    short_dir: Path, victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """E5, G6: no process, file, socket with a path, variable or privilege.

    Nor anything to write to but the file of its own certificate, in its jail's memory.
    """
    secret, path = short_dir / "secret", str(short_dir / "s.sock")
    secret.write_text("a secret of the host")
    hidden = [str(secret), str(Path.home()), "/proc", "/sys", "/dev", "/run/user", "/var/lib"]
    order = {"pids": [os.getpid(), victim.pid], "unix": [path], "hidden": hidden}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        found = take_over(short_dir, order, monkeypatch)
    assert found["pid"] == 1
    assert set(found["processes"].values()) == {"ESRCH"}
    assert victim.poll() is None
    assert set(found["back end"].values()) <= {"EPERM", "EINVAL"}
    assert set(found["network"].values()) == {"ENOENT"}
    assert set(found["hidden"].values()) == {"ENOENT"}
    assert found["writable"] == [CHAIN]
    assert found["environment"] == ["PYTHONPATH"]
    assert found["no new privileges"] == 1
    assert sorted(found["descriptors"].values()) == ["-", "-", "-", "?", "c", "s", "s"]
    assert set(found["privileges"].values()) <= {"EPERM", "EINVAL", "ENOENT", "EROFS", "EACCES"}
    assert found["names"] == taken_over.attempt(socket.getaddrinfo, "localhost", 0)


def test_a_proxy_listens_where_its_policy_says_and_ends_with_its_back_end(short_dir: Path) -> None:
    """B3: an ordinary user's, at ports that root alone may listen at; its jail ends, too."""
    egress = Egress(profile=Profile.ALLOWLIST, rules=("allow one.example", "allow 192.0.2.1:1"))
    proxy, said = asyncio.run(run_to_end(short_dir, egress=egress))
    assert said == ""
    assert len(proxy.processes) == 2
