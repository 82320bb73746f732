"""A real front as a process, and requests to it as a program or a browser sends them."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.component.daemon.running import DEADLINE_S, with_sources

Environ = Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """An answer that has come whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Front:
    """A front, and a token that it accepts."""

    port: int
    token: str
    output: Path

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send a request as a program does; `headers` replace its own, None leaves one out."""
        sent = {"Host": self.host, "Authorization": f"Bearer {self.token}"}
        if body is not None:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        return self.send(method, path, body, {**sent, **(headers or {})})

    def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str | None]
    ) -> Answer:
        """Send a request with these headers alone."""
        with self.sending(method, path, headers, body) as answer:
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    @contextlib.contextmanager
    def sending(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str | None],
        body: bytes | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; yield its answer, of which only the head has come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(body)
            with connection.getresponse() as answer:
                yield answer

    def call(self, method: str, params: object = None, **headers: str | None) -> Answer:
        """Call a method of the API."""
        body = json.dumps(params or {}).encode()
        return self.request("POST", f"/api/{method}", body, headers)

    def give(self, method: str, params: object, data: bytes, **headers: str | None) -> Answer:
        """Call a method of the API with input."""
        sent = {**input_headers(params), **headers}
        return self.request("POST", f"/api/{method}", data, sent)

    def with_token(self, token: str) -> Front:
        return Front(self.port, token, self.output)


def input_headers(params: object) -> dict[str, str]:
    """Return the headers of a request whose body is input."""
    return {"Content-Type": "application/octet-stream", "Banger-Params": json.dumps(params)}


@contextlib.contextmanager
def running_front(environ: Environ, output: Path) -> Iterator[int]:
    """A front on a free port, ended as by ctrl-C; stdout and stderr go to `output`."""
    argv = [sys.executable, "-m", "banger", "web", "--listen", "127.0.0.1:0"]
    with (
        output.open("wb") as errors,
        subprocess.Popen(
            argv, env=with_sources(environ), stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith(b"http://127.0.0.1:"), output.read_text()
            yield int(line.strip().rstrip(b"/").rpartition(b":")[2])
        finally:
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=DEADLINE_S)
            with output.open("ab") as file:
                file.write(rest)
        assert process.returncode == 0, output.read_text()
