"""A real registry on loopback (Debian's `docker-registry`), filled by skopeo."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.artifacts import enter_cache

USER, PASSWORD = "banger", "secret"
HTPASSWD = "banger:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"
DEADLINE_S = 60.0


@dataclass(frozen=True)
class RealRegistry:
    """A running registry."""

    address: str
    log: Path
    credentials: str | None = None

    def push(self, layout: Path, tag: str, name: str) -> None:
        """Copy an image of an OCI layout to `name`; of an index only itself.

        With an index's images, later releases of skopeo would note in it which are packed with
        zstd, and it would be another one.
        """
        argv = ["skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests"]
        argv += ["--multi-arch=index-only", "--dest-tls-verify=false"]
        argv += ["--dest-creds", self.credentials] if self.credentials else []
        argv += [f"oci:{layout}:{tag}", f"docker://{self.address}/{name}"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def real_registry(
    folder: Path, *, auth: str = "", credentials: str | None = None
) -> Iterator[RealRegistry]:
    """A registry of this test's own; `auth` is a section of its configuration."""
    program = find_registry()
    if program is None or shutil.which("skopeo") is None:
        pytest.skip("docker-registry or skopeo is not installed")
    port = free_port()
    config, log = folder / "registry.yml", folder / "registry.log"
    store = f"{{filesystem: {{rootdirectory: {folder}/store}}}}"
    config.write_text(
        f"version: 0.1\nlog: {{level: info}}\nstorage: {store}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n{auth}"
    )
    argv = [program, "serve", str(config)]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"]},
        ) as process,
    ):
        try:
            _wait_until_it_answers(port, process, log)
            yield RealRegistry(f"127.0.0.1:{port}", log, credentials)
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


@functools.cache
def find_registry() -> str | None:
    """Return the registry's program, or None.

    It is taken out of its package, once, where it is not installed: to install it would start a
    service on the developer's machine.
    """
    installed = shutil.which("docker-registry")
    if installed is not None or shutil.which("apt-get") is None:
        return installed
    program = enter_cache() / "docker-registry"
    if not program.exists():
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            fetch = ["apt-get", "-qq", "download", "docker-registry"]
            subprocess.run(fetch, cwd=folder, timeout=DEADLINE_S, check=True)
            (package,) = Path(folder).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", package, folder], timeout=DEADLINE_S, check=True)
            os.replace(f"{folder}/usr/bin/docker-registry", program)
    return str(program)


def htpasswd_auth(folder: Path) -> str:
    """Return the section for basic authentication with `USER` and `PASSWORD`."""
    (folder / "htpasswd").write_text(HTPASSWD)
    return f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + DEADLINE_S
    while True:
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()  # it wants to know who we are
        except OSError:
            time.sleep(0.05)
            continue
        return
