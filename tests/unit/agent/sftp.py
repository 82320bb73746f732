"""An SFTP session on a stream of the agent."""

from __future__ import annotations

from pathlib import Path

from tests.support.sftp import SftpClient
from tests.unit.agent.wire import SFTP, Host, Value


def open_session(host: Host, directory: Path, *more: tuple[str, Value]) -> tuple[SftpClient, int]:
    """Open a session whose relative names begin at a directory; returns its stream, too."""
    stream = host.open(SFTP, ("CWD", str(directory)), *more)
    host.wait_event(stream)
    output = host.outcomes[stream].output[1]

    def take(size: int) -> bytes:
        while len(output) < size:
            last = host.outcomes[stream].last
            assert last is None, last
            host.step()
        taken = bytes(output[:size])
        del output[:size]
        return taken

    return SftpClient(lambda raw: host.write(stream, raw, eof=False), take), stream


def start_session(host: Host, directory: Path) -> SftpClient:
    """Open a session and exchange versions."""
    client, _ = open_session(host, directory)
    client.greet()
    return client
