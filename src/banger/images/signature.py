"""Signatures of images as `cosign sign --key` leaves them in a registry: typed values and parsers.

    the manifest under the tag sha256-HEX.sig
        -> for each signature a payload (a blob), and the signature of its bytes (an annotation)
            -> which digest was signed, and of which repository

Pure, but for `load_key`, which reads the file that the configuration names. Manifest and payload
are a registry's: bounded, and refused if they break their format (F1, F5); what a payload says
counts only after its signature has been verified. Formats: cosign's specification SIGNATURE_SPEC,
and the payload of Red Hat's simple signing. Keys are of ECDSA on P-256, as `cosign
generate-key-pair` makes them; the signature's hash is SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from banger.errors import ConfigInvalid, ImageInvalid
from banger.images.content import OCI_MANIFEST, Descriptor, parse_digest

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
KIND = "cosign container image signature"
SIGNATURES_MAX = 64
PAYLOAD_BYTES_MAX = 64 * 1024
SIGNATURE_BYTES_MAX = 80
"""Two numbers of 256 bits in DER take at most 72."""
KEY_FILE_BYTES_MAX = 64 * 1024

_P256_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""How a SubjectPublicKeyInfo begins that holds an uncompressed point of P-256 (RFC 5480)."""
_P256_BYTES = 91
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----")

T = TypeVar("T")


class PublicKey(Struct, frozen=True):
    """A key that images may be signed with."""

    name: str
    """Its file, as the configuration has it."""
    der: bytes

    @property
    def pem(self) -> bytes:
        """The key for a program that reads PEM: nothing but what has been checked."""
        text = base64.encodebytes(self.der).decode("ascii")
        return f"-----BEGIN PUBLIC KEY-----\n{text}-----END PUBLIC KEY-----\n".encode("ascii")

    def __str__(self) -> str:
        """The file, which may get another content, and the beginning of the key's own digest."""
        return f"{self.name} (sha256:{hashlib.sha256(self.der).hexdigest()[:16]})"


class Signature(Struct, frozen=True, kw_only=True):
    """One signature, not verified yet."""

    payload: Descriptor
    der: bytes


class Signed(Struct, frozen=True, kw_only=True):
    """What a payload says was signed."""

    digest: str
    name: str
    """The repository, as the signer called it: `index.docker.io/library/alpine`."""


def signature_tag(digest: str) -> str:
    """Return the tag under which the signatures of a manifest or an index are."""
    return f"{digest.replace(':', '-')}.sig"


def load_key(name: str) -> PublicKey:
    """Return the key in a file.

    Raises:
        ConfigInvalid: there is none that can be used.
    """
    try:
        with Path(name).expanduser().open("rb") as file:
            content = file.read(KEY_FILE_BYTES_MAX)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigInvalid(
            f"The key {name} of registries (signed_by) cannot be read: {why}.",
            hint="banger config show",
        ) from error
    return parse_key(content, name)


def parse_key(untrusted: bytes, name: str) -> PublicKey:
    """Return the key in a PEM text.

    Raises:
        ConfigInvalid: it is none of ECDSA on P-256.
    """
    match = _PEM.fullmatch(untrusted.strip())
    try:
        der = base64.b64decode(b"".join(match[1].split()), validate=True) if match else b""
    except binascii.Error:
        der = b""
    if len(der) != _P256_BYTES or not der.startswith(_P256_HEAD):
        raise ConfigInvalid(
            f"{name} contains no ECDSA P-256 public key in PEM format.",
            hint="cosign public-key --key cosign.key",
        )
    return PublicKey(name, der)


def parse_signatures(untrusted: bytes) -> tuple[Signature, ...]:
    """Return the signatures that a manifest names.

    Raises:
        ImageInvalid: it is no manifest of signatures, or exceeds a limit.
    """
    document = _decode(untrusted, _Manifest, "manifest")
    if document.schema_version != 2 or document.media_type not in (None, OCI_MANIFEST):
        raise ImageInvalid("The document with the signatures is not a manifest.")
    if len(document.layers) > SIGNATURES_MAX:
        raise ImageInvalid(f"There are more than {SIGNATURES_MAX} signatures.")
    return tuple(_parse_layer(layer) for layer in document.layers)


def parse_payload(untrusted: bytes) -> Signed:
    """Return what a payload says.

    Raises:
        ImageInvalid: it breaks its format.
    """
    critical = _decode(untrusted, _Payload, "payload").critical
    if critical.type != KIND:
        raise ImageInvalid(f"The payload has the type {critical.type[:60]!r}.")
    return Signed(
        digest=parse_digest(critical.image.docker_manifest_digest),
        name=critical.identity.docker_reference,
    )


# --- the documents as they are written -------------------------------------------


class _Layer(Struct, rename="camel"):
    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}


class _Manifest(Struct, rename="camel"):
    schema_version: int
    layers: list[_Layer]
    media_type: str | None = None


class _Identity(Struct):
    docker_reference: str = field(name="docker-reference")


class _Signee(Struct):
    docker_manifest_digest: str = field(name="docker-manifest-digest")


class _Critical(Struct):
    identity: _Identity
    image: _Signee
    type: str


class _Payload(Struct):
    critical: _Critical


def _parse_layer(layer: _Layer) -> Signature:
    if layer.media_type != SIMPLE_SIGNING:
        raise ImageInvalid(f"A signature has the media type {layer.media_type[:100]!r}.")
    if not 0 < layer.size <= PAYLOAD_BYTES_MAX:
        raise ImageInvalid(f"The payload of a signature has {layer.size} bytes.")
    try:
        der = base64.b64decode(layer.annotations.get(ANNOTATION, ""), validate=True)
    except ValueError:
        der = b""
    if not 0 < len(der) <= SIGNATURE_BYTES_MAX:
        raise ImageInvalid("A payload has no signature.")
    return Signature(
        payload=Descriptor(
            media_type=layer.media_type, digest=parse_digest(layer.digest), size=layer.size
        ),
        der=der,
    )


def _decode(untrusted: bytes, shape: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(untrusted, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ImageInvalid(f"A signature's {what} cannot be read: {error}.") from error
