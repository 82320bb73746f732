"""A registry that does what its script says, over a real socket, plain or with TLS."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.oci_layouts import CONFIG, MANIFEST, MadeLayer, make_layer

Answer = Callable[["Handler"], None]


@dataclass
class HostileRegistry:
    """Routes by path; every request is kept."""

    address: str = ""
    routes: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    """Of the layers of the last image."""
    manifest_digest: str = ""
    """Of the last image."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    """By digest."""
    keeps_connections: bool = False
    """As real registries do; else each is closed after its answer, without a word."""
    connections: int = 0
    """How many were accepted."""

    def add_image(self, name: str, *contents: bytes, tag: str = "latest") -> None:
        """Offer an honest image with a layer for each file content."""
        layers = [make_layer({"file": content}, compression="none") for content in contents]
        self.digests = [self.add_blob(name, layer.content)["digest"] for layer in layers]
        manifest = make_manifest(self, name, layers)
        self.manifest_digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        self.add_manifest(name, manifest, tag=tag)

    def add_blob(self, name: str, content: bytes, media_type: str = "") -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        self.routes[f"/v2/{name}/blobs/{digest}"] = lambda handler: handler.send(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def add_manifest(self, name: str, content: bytes, *, tag: str = "latest") -> None:
        self.routes[f"/v2/{name}/manifests/{tag}"] = lambda handler: handler.send(
            content, kind=MANIFEST
        )

    def blob_path(self, name: str, number: int = 0) -> str:
        return f"/v2/{name}/blobs/{self.digests[number]}"

    def asked(self, part: str) -> list[dict[str, str]]:
        """Return the headers of the requests whose path has `part` in it."""
        return [headers for path, headers in self.requests if part in path]


def make_manifest(registry: HostileRegistry, name: str, layers: list[MadeLayer]) -> bytes:
    """Return a manifest; its configuration is offered, its layers are not."""
    config = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"diff_ids": [layer.diff_id for layer in layers]},
    }
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": registry.add_blob(name, json.dumps(config).encode(), CONFIG),
            "layers": [
                {
                    "mediaType": layer.media_type,
                    "digest": f"sha256:{hashlib.sha256(layer.content).hexdigest()}",
                    "size": len(layer.content),
                }
                for layer in layers
            ],
        }
    ).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    """Looks its answer up."""

    registry: HostileRegistry
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.registry.connections += 1

    def do_GET(self) -> None:
        self.close_connection = not self.registry.keeps_connections
        self.registry.requests.append((self.path, dict(self.headers)))
        path = self.path.partition("?")[0]
        answer = self.registry.routes.get(path) or self.registry.routes.get(
            path.rpartition("/")[0] + "/*", lambda handler: handler.send(b"{}", status=404)
        )
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            answer(self)

    do_POST = do_GET

    def send(
        self,
        content: bytes,
        *,
        status: int = 200,
        kind: str = "",
        length: int | None = None,
        **headers: str,
    ) -> None:
        """Send an answer; `length` may be a lie."""
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def send_endlessly(self, status: int = 200, kind: str = "") -> None:
        """Send a body that does not end, until nobody reads it."""
        self.send_response(status)
        if kind:
            self.send_header("Content-Type", kind)
        self.end_headers()
        while True:
            self.wfile.write(b" " * 65536)

    def redirect(self, location: str, status: int = 307) -> None:
        self.send(b"", status=status, Location=location)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, or refuses the certificate, is no event."""


@contextlib.contextmanager
def hostile_registry(certificate: Path | None = None) -> Iterator[HostileRegistry]:
    registry = HostileRegistry()
    handler = type("Bound", (Handler,), {"registry": registry})
    server = _Server(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    registry.address = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(folder: Path, name: str = "IP:127.0.0.1") -> Path:
    """Make a certificate for a name that signs itself; key and certificate in one file."""
    path = folder / "server.pem"
    assert shutil.which("openssl")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split()
    words += ["-subj", "/CN=test", "-addext", f"subjectAltName={name}"]
    subprocess.run(
        ["openssl", *words, "-keyout", str(path), "-out", str(folder / "cert.pem")],
        check=True,
        capture_output=True,
        timeout=60,
    )
    path.write_text(path.read_text() + (folder / "cert.pem").read_text())
    return path
