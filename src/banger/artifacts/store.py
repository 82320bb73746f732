"""Published artefacts of one kind (images, kernels), and the names that point to them.

A store owns one directory:

    <digest>/manifest.json   and the artefact's files; keyed by sha256, never changed in place;
                             the manifest's fields for people may be amended, by a rename
    names/<name>             a one-line file that holds a digest

An artefact is staged elsewhere on the same file system, its manifest is written
last, and a rename publishes it (hazards A7-A9): a directory named by a digest is
complete. Two publishers of one digest are harmless: the first wins, and the other's
work is dropped (C3). A name is a file replaced atomically, so a reader sees the old
digest or the new one. If the process dies between publishing and naming, the
artefact has no name; repeating the command finds and names it.

No locks: callers check an artefact's users before they remove it. A manifest that
cannot be read hides only its own artefact (B9). Synchronous; reads are small,
`remove` and `publish` belong in a thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from urllib.parse import quote, unquote

import msgspec

from banger.errors import InvalidRequest
from banger.host.files import (
    LIMITS,
    ensure_private_dir,
    fsync_dir,
    list_own,
    publish_dir,
    space_errors,
    write_atomic,
)
from banger.model.jsontext import decode_json, encode_json

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
DIGEST = re.compile(r"[0-9a-f]{64}")
PREFIX = re.compile(r"[0-9a-f]{6,64}")
"""A prefix of a digest: at least 6 digits."""
NAME_BYTES_MAX = 200


class Artifact(Protocol):
    """The fields of a manifest that a store reads."""

    @property
    def digest(self) -> str: ...

    @property
    def name(self) -> str: ...


A = TypeVar("A", bound=Artifact)


class ArtifactStore(Generic[A]):
    """The artefacts of one kind below `root`."""

    def __init__(self, root: Path, *, staging: Path, kind: type[A]) -> None:
        self.root = root
        self.staging = staging
        self.kind = kind

    def directory(self, digest: str) -> Path:
        return self.root / digest

    def list_all(self) -> list[A]:
        """Return every readable artefact under its current name, sorted by name and age."""
        found = [self._load(path.name) for path in list_own(self.root, DIGEST)]
        names = self._names_of_digests()
        named = [_with_name(a, names.get(a.digest, a.name)) for a in found if a is not None]
        return sorted(named, key=lambda artifact: (artifact.name, artifact.digest))

    def find(self, reference: str) -> A | None:
        """Return the artefact of this name, digest or unique prefix of a digest, or None.

        Raises:
            InvalidRequest: the prefix is ambiguous.
            OSError: the artefact exists but cannot be read.
        """
        digest = self._read_name(reference)
        if digest is not None and (artifact := self._load(digest, strict=True)) is not None:
            return _with_name(artifact, reference)
        if _is_digest(reference) and (artifact := self._load(reference, strict=True)) is not None:
            return _with_name(artifact, self._names_of_digests().get(reference, artifact.name))
        if not PREFIX.fullmatch(reference):
            return None
        matches = [a for a in self.list_all() if a.digest.startswith(reference)]
        if len(matches) > 1:
            listed = ", ".join(a.digest[:12] for a in matches)
            raise InvalidRequest(f"{reference} is ambiguous: {listed}.")
        return matches[0] if matches else None

    def publish(self, staged: Path, manifest: A, *, named: bool = True) -> A:
        """Publish a staged directory as `manifest`, and return the published artefact.

        Its name points to it from then on, unless it is not to be `named`.

        An artefact that already has the digest stays unchanged and is returned, or is
        replaced if its manifest cannot be read.
        """
        with space_errors(self.root):
            write_atomic(staged / MANIFEST, _format(manifest))
            target = self.directory(manifest.digest)
            if not publish_dir(staged, target) and self._load(manifest.digest) is None:
                self.set_aside(manifest.digest)
                publish_dir(staged, target)
        if named:
            self.point(manifest.name, manifest.digest)
        published = self._load(manifest.digest)
        return manifest if published is None else _with_name(published, manifest.name)

    def amend(self, manifest: A) -> None:
        """Replace an artefact's manifest in one step, without changing anything that it hashes.

        Raises:
            FileNotFoundError: the artefact is gone.
        """
        path = self.directory(manifest.digest) / MANIFEST
        write_atomic(path, _format(manifest))

    def point(self, name: str, digest: str) -> None:
        """Point `name` to `digest`."""
        write_atomic(ensure_private_dir(self.root / "names") / _encode(name), digest.encode())

    def unname(self, name: str) -> None:
        """Remove a name, if it exists, but not its artefact."""
        (self.root / "names" / _encode(name)).unlink(missing_ok=True)

    def names(self) -> dict[str, str]:
        """Return the digest of each name; several names may point to the same digest."""
        names = [unquote(path.name) for path in self.root.glob("names/[!.]*")]
        return {name: digest for name in names if (digest := self._read_name(name))}

    def _names_of_digests(self) -> dict[str, str]:
        """Return the name under which each artefact is shown: the first of its names."""
        return {digest: name for name, digest in sorted(self.names().items(), reverse=True)}

    def named(self) -> frozenset[str]:
        """Return the digests that have a name."""
        return frozenset(self.names().values())

    def remove(self, digest: str) -> None:
        """Remove an artefact, if it exists, and its names (A6).

        The directory is renamed away first, so that no reader sees it half removed.
        """
        for name, target in self.names().items():
            if target == digest:
                self.unname(name)
        self.set_aside(digest)

    def set_aside(self, digest: str) -> None:
        """Remove an artefact's directory, such as a damaged one, but not its names."""
        grave = Path(tempfile.mkdtemp(dir=ensure_private_dir(self.staging), prefix="removed."))
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.directory(digest), grave / digest)
            fsync_dir(self.root)
        shutil.rmtree(grave, ignore_errors=True)

    def _read_name(self, name: str) -> str | None:
        try:
            text = (self.root / "names" / _encode(name)).read_text("ascii").strip()
        except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError, InvalidRequest):
            return None
        return text if _is_digest(text) else None

    def _load(self, digest: str, *, strict: bool = False) -> A | None:
        """Return an artefact, or None if it is absent or damaged.

        `strict`: raise OSError for an artefact that exists but cannot be read. Otherwise leave it
        out, unless the host has reached a limit.
        """
        path = self.directory(digest) / MANIFEST
        try:
            manifest = decode_json(path.read_bytes(), self.kind)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, OSError) as error:
            if isinstance(error, OSError) and (strict or error.errno in LIMITS):
                raise
            log.warning("the manifest %s cannot be used: %s", path, error)
            return None
        return manifest if manifest.digest == digest else None


def _format(manifest: Artifact) -> bytes:
    """Return a manifest formatted for people; not formatted if it has lone surrogates."""
    text = encode_json(manifest)
    return text if b"\\ud" in text else msgspec.json.format(text)


def hash_file(path: Path) -> str:
    """Return a file's sha256 in hex. Reads the whole file: run in a thread."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _with_name(artifact: A, name: str) -> A:
    """Return the artefact under its current name; the manifest keeps the original."""
    if artifact.name == name:
        return artifact
    return msgspec.structs.replace(artifact, name=name)  # type: ignore[type-var]  # a Struct


def _is_digest(text: str) -> bool:
    return DIGEST.fullmatch(text) is not None


def _encode(name: str) -> str:
    """Encode a name as a file name, without separators or a leading dot.

    Raises:
        InvalidRequest: the name is empty or too long for a file name.
    """
    encoded = quote(os.fsencode(name), safe="")
    if name.startswith("."):
        encoded = encoded.replace(".", "%2E")
    if not 0 < len(encoded) <= NAME_BYTES_MAX:
        raise InvalidRequest(f"{name[:40]!r} is not a valid name: it is empty or too long.")
    return encoded
