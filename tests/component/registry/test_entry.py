"""Ways into a real registry: basic authentication, and a token server."""

from __future__ import annotations

import base64
import http.server
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from banger.errors import RegistryDenied
from tests.component.registry.pulling import a_puller, run
from tests.support.oci_layouts import MadeLayer
from tests.support.registries import PASSWORD, USER, htpasswd_auth, real_registry

Stock = tuple[Path, list[MadeLayer]]


def log_in(folder: Path, address: str, auth: dict[str, str]) -> dict[str, str]:
    """Return an environment in which `docker login` has left this."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"auths": {address: auth}}))
    return {"DOCKER_CONFIG": str(folder)}


def basic(password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{USER}:{password}".encode()).decode()}


def pull(reference: str, root: Path, environ: dict[str, str]) -> None:
    async def work() -> None:
        async with a_puller(root, environ=environ) as puller:
            _, pulled = await puller.pull(reference)
            assert len(pulled.layers) == 3

    run(work())


def test_basic_authentication(stock: Stock, tmp_path: Path) -> None:
    auth = htpasswd_auth(tmp_path)
    with real_registry(tmp_path, auth=auth, credentials=f"{USER}:{PASSWORD}") as registry:
        registry.push(stock[0], "image", "test/x:image")
        reference = f"{registry.address}/test/x:image"
        pull(reference, tmp_path, log_in(tmp_path / "right", registry.address, basic(PASSWORD)))
        wrong = log_in(tmp_path / "wrong", registry.address, basic("guess"))
        with pytest.raises(RegistryDenied, match="refuses the stored credentials"):
            pull(reference, tmp_path, wrong)
        with pytest.raises(RegistryDenied, match="wants credentials") as denied:
            pull(reference, tmp_path, {"HOME": str(tmp_path)})
        assert denied.value.hint == f"docker login {registry.address}"


@dataclass
class TokenServer:
    """Gives a token to whoever knows the password, and keeps what it was asked."""

    folder: Path
    port: int = 0
    asked: list[dict[str, list[str]]] = field(default_factory=list)

    @property
    def auth(self) -> str:
        """The section of the registry's configuration."""
        return (
            f"auth: {{token: {{realm: 'http://127.0.0.1:{self.port}/token', service: test, "
            f"issuer: test, rootcertbundle: {self.folder}/cert.pem}}}}\n"
        )

    def make_key(self) -> None:
        words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout key.pem"
        subprocess.run(
            ["openssl", *words.split(), "-out", "cert.pem"],
            cwd=self.folder,
            check=True,
            capture_output=True,
            timeout=60,
        )

    def sign(self, scope: str) -> str:
        """Return a token that is good for the scope, as the registry wants it: a signed JWT."""
        pem = (self.folder / "cert.pem").read_text().split("-----")[2]
        kind, name, actions = scope.split(":")
        access = [{"type": kind, "name": name, "actions": actions.split(",")}]
        now = int(time.time())
        claims = {"iss": "test", "sub": USER, "aud": "test", "access": access, "jti": "1"}
        claims |= {"exp": now + 300, "nbf": now - 300, "iat": now}
        header = {"typ": "JWT", "alg": "RS256", "x5c": [pem.replace("\n", "")]}
        signed = f"{_pack(json.dumps(header).encode())}.{_pack(json.dumps(claims).encode())}"
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", str(self.folder / "key.pem")],
            input=signed.encode(),
            check=True,
            capture_output=True,
            timeout=60,
        ).stdout
        return f"{signed}.{_pack(signature)}"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        form = parse_qs(urlsplit(handler.path).query)
        is_known = handler.headers["Authorization"] == f"Basic {basic(PASSWORD)['auth']}"
        if handler.command == "POST":
            length = int(handler.headers["Content-Length"])
            form = parse_qs(handler.rfile.read(length).decode())
            is_known = form.get("refresh_token") == ["identity"]
        self.asked.append(form)
        body = json.dumps({"token": self.sign(form["scope"][0])}).encode() if is_known else b"{}"
        handler.send_response(200 if is_known else 401)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def _pack(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    folder = tmp_path / "tokens"
    folder.mkdir()
    tokens = TokenServer(folder)
    tokens.make_key()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            tokens.answer(self)

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        tokens.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield tokens
        finally:
            server.shutdown()
            thread.join()


def test_a_token_server(stock: Stock, tokens: TokenServer, tmp_path: Path) -> None:
    """One token for all of a pull, for reading and nothing else."""
    with real_registry(tmp_path, auth=tokens.auth, credentials=f"{USER}:{PASSWORD}") as registry:
        registry.push(stock[0], "image", "test/x:image")
        reference = f"{registry.address}/test/x:image"
        tokens.asked.clear()
        pull(reference, tmp_path, log_in(tmp_path / "a", registry.address, basic(PASSWORD)))
        asked = {"service": ["test"], "scope": ["repository:test/x:pull"]}
        assert tokens.asked == [asked]
        identity = log_in(tmp_path / "b", registry.address, {"identitytoken": "identity"})
        pull(reference, tmp_path / "other", identity)
        assert tokens.asked[1]["grant_type"] == ["refresh_token"]
        with pytest.raises(RegistryDenied, match="wants credentials"):
            pull(reference, tmp_path, {"HOME": str(tmp_path)})
