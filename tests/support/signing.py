"""Cosign's signatures, made with openssl and put into a registry by plain requests."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.oci_layouts import CONFIG, MANIFEST

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
DEADLINE_S = 60


@dataclass(frozen=True)
class SigningKey:
    """A pair of files."""

    private: Path
    public: Path

    def sign(self, payload: bytes) -> bytes:
        argv = ["openssl", "dgst", "-sha256", "-sign", str(self.private)]
        done = subprocess.run(argv, input=payload, capture_output=True, check=True, timeout=60)
        return done.stdout


def make_key(folder: Path, name: str, *, curve: str = "prime256v1") -> SigningKey:
    """Make a pair as `cosign generate-key-pair` does, but that the private one has no password."""
    key = SigningKey(folder / f"{name}.key", folder / f"{name}.pub")
    make = ["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", str(key.private)]
    show = ["openssl", "pkey", "-in", str(key.private), "-pubout", "-out", str(key.public)]
    for argv in (make, show):
        subprocess.run(argv, check=True, capture_output=True, timeout=DEADLINE_S)
    return key


def make_payload(digest: str, name: str, **other: Any) -> bytes:
    """Return the bytes that are signed."""
    critical = {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
        **other,
    }
    return json.dumps({"critical": critical, "optional": None}).encode()


def make_signature(payload: bytes, der: bytes) -> dict[str, Any]:
    """Return what stands for a signature in the manifest of signatures."""
    return {
        "mediaType": PAYLOAD,
        "digest": f"sha256:{hashlib.sha256(payload).hexdigest()}",
        "size": len(payload),
        "annotations": {ANNOTATION: base64.b64encode(der).decode()},
    }


def make_signatures_manifest(*signatures: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest; its configuration is `{}`."""
    config = {"mediaType": CONFIG, "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}"}
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {**config, "size": 2},
        "layers": list(signatures),
    }


def signature_tag(digest: str) -> str:
    return digest.replace(":", "-") + ".sig"


@dataclass(frozen=True)
class Uploader:
    """Writes to one repository of a registry that wants no credentials."""

    address: str
    repository: str

    @property
    def base(self) -> str:
        return f"http://{self.address}/v2/{self.repository}"

    def put_signatures(self, digest: str, *signed: tuple[bytes, bytes]) -> None:
        """Put signatures, each a payload and its bytes, to a digest; earlier ones are replaced."""
        for content in (b"{}", *(payload for payload, _ in signed)):
            self.put_blob(content)
        manifest = make_signatures_manifest(*(make_signature(*each) for each in signed))
        self.put_manifest(signature_tag(digest), json.dumps(manifest).encode())

    def put_blob(self, content: bytes) -> None:
        begun = urllib.request.Request(f"{self.base}/blobs/uploads/", method="POST", data=b"")
        with urllib.request.urlopen(begun, timeout=DEADLINE_S) as answer:
            place = answer.headers["Location"]
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
        kind = {"Content-Type": "application/octet-stream"}
        put = urllib.request.Request(url, method="PUT", data=content, headers=kind)
        urllib.request.urlopen(put, timeout=DEADLINE_S).close()

    def put_manifest(self, tag: str, content: bytes) -> None:
        put = urllib.request.Request(
            f"{self.base}/manifests/{tag}",
            method="PUT",
            data=content,
            headers={"Content-Type": MANIFEST},
        )
        urllib.request.urlopen(put, timeout=DEADLINE_S).close()
