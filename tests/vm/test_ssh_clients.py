"""Clients that are not OpenSSH: paramiko, which knows no ProxyUseFdpass, and asyncssh."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path

import asyncssh
import paramiko
import pytest

from banger.client.sshproxy import reach_front
from tests.support.installations import Installation


@pytest.fixture
def proxy(banger: Installation, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("PYTHONPATH", banger.environ["PYTHONPATH"])
    return [sys.executable, "-P", "-m", "banger.client.sshproxy"]


def test_paramiko_runs_and_copies(system: str, proxy: list[str], tmp_path: Path) -> None:
    """H7: through the proxy's own pipes, with no key."""
    sock = paramiko.ProxyCommand(shlex.join([*proxy, f"{system}.vm"]))
    transport = paramiko.Transport(sock)
    with sock.process:
        with transport:
            transport.start_client(timeout=60)
            assert transport.auth_none("root") == []
            channel = transport.open_session()
            channel.exec_command("cat; echo err >&2; exit 3")
            channel.sendall(b"x" * 300_000)
            channel.shutdown_write()
            assert channel.makefile("rb").read() == b"x" * 300_000
            assert channel.makefile_stderr("rb").read() == b"err\n"
            assert channel.recv_exit_status() == 3
            with paramiko.SFTPClient.from_transport(transport) as sftp:
                (tmp_path / "file").write_bytes(b"y" * 300_000)
                sftp.put(str(tmp_path / "file"), "/root/paramiko")
                assert sftp.stat("/root/paramiko").st_size == 300_000
        transport.join(60)  # ends the proxy


def test_signals_and_their_ends_are_told(banger: Installation, system: str) -> None:
    """H1, H7: as RFC 4254 has them, which OpenSSH's client does not send."""

    async def check() -> None:
        sock = await asyncio.to_thread(reach_front, banger.layout, system)
        options = {"known_hosts": None, "username": "root", "client_keys": None, "config": None}
        async with await asyncssh.connect(sock=sock, **options) as client:
            trap = "trap 'echo caught; exit 4' USR1; echo ready; while :; do sleep 0.1; done"
            async with client.create_process(trap) as process:
                assert await process.stdout.readline() == "ready\n"
                process.send_signal("USR1")
                assert await process.stdout.readline() == "caught\n"
                assert (await process.wait()).exit_status == 4
            async with client.create_process("echo ready; exec sleep 1000") as process:
                assert await process.stdout.readline() == "ready\n"
                process.terminate()
                done = await process.wait()
                assert (done.exit_signal or ("",))[0] == "TERM"

    asyncio.run(check())
