"""`python -m tests.fuzz.guided TARGET [libFuzzer's options] CORPUS`: one parser under atheris.

libFuzzer drives our Python by its coverage; the JSON decoder below it is C and is not watched, so
whole documents are given to begin with, and their words as a dictionary. A target fails with
anything but a value that is as it should be or a typed error of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=[
        "banger.images",
        "banger.model.registries",
        "banger.project",
        "banger.tomlkeys",
        "banger.toolingplan",
    ]
):
    from banger.errors import ConfigInvalid, ImageInvalid, ImageUnsupported, ReferenceInvalid
    from banger.images import content, signature
    from banger.images.layers.entries import LINK
    from banger.images.layers.index import read_entries
    from banger.images.layers.limits import Budget
    from banger.images.layers.unpacking import Blob, TarStream
    from banger.images.registry.challenge import parse_challenges
    from banger.images.registry.reference import parse_reference
    from banger.project.devcontainer import parse_devcontainer
    from banger.project.file import describe_project, parse_project
    from banger.toolingplan.plan import FILES, plan_tooling

from tests.support.signing import make_payload, make_signature, make_signatures_manifest
from tests.support.tars import (
    Member,
    directory,
    hard_link,
    image_config,
    make_tar,
    mend_checksums,
    oci_files,
    symlink,
)

DIGEST = "sha256:" + "ab" * 32
KINDS = {
    LINK,
    stat.S_IFREG,
    stat.S_IFLNK,
    stat.S_IFCHR,
    stat.S_IFBLK,
    stat.S_IFDIR,
    stat.S_IFIFO,
}
TAR = make_tar(
    Member("d/a", b"1" * 600, xattrs={"user.a": b"\0\xff"}),
    symlink("l", "../d"),
    hard_link("h", "d/a"),
    directory("e/" + "n" * 150, 0o1777, uid=3_000_000_000),
    Member("e/.wh..wh..opq"),
    Member("d/.wh.a", pax={"mtime": "5.5", "comment": "x"}),
)
CONFIG = image_config(
    [TAR],
    Env=["A=1"],
    WorkingDir="/w",
    User="5:6",
    Entrypoint=["/bin/x"],
    Cmd=["y"],
    Labels={"a": "b"},
    ExposedPorts={"80/tcp": {}},
)
LAYOUT = oci_files([("application/vnd.oci.image.layer.v1.tar", TAR)], CONFIG)
MANIFESTS = [LAYOUT["index.json"], *(each for each in LAYOUT.values() if b'"layers": [' in each)]
SIGNATURES = [
    make_payload(DIGEST, "docker.io/x/y"),
    json.dumps(make_signatures_manifest(make_signature(b"p", b"0"))).encode(),
]
WORDS = [DIGEST, "sha512:" + "0" * 128, *content.MANIFEST_TYPES, *content.INDEX_TYPES, "A=1", 2, 1]


def document(untrusted: bytes, examples: Sequence[bytes]) -> bytes:
    """Return the bytes as they are, or one of the examples with a few members replaced by them."""
    if untrusted[:1] == b"\0":
        return untrusted[1:]
    chance = atheris.FuzzedDataProvider(untrusted)
    changed = json.loads(examples[chance.ConsumeIntInRange(0, len(examples) - 1)])
    for _ in range(chance.ConsumeIntInRange(1, 3)):
        place = changed
        while True:
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = keys[chance.ConsumeIntInRange(0, len(keys) - 1)]
            if not isinstance(place[key], dict | list) or chance.ConsumeBool():
                place[key] = value(chance, place[key])
                break
            place = place[key]
    return json.dumps(changed).encode()


def value(chance: atheris.FuzzedDataProvider, before: object) -> object:
    """Return anything that JSON can say; half of the time of the kind that was there before."""
    if isinstance(before, str) and chance.ConsumeBool():
        return chance.ConsumeUnicode(80)
    if isinstance(before, int) and chance.ConsumeBool():
        return chance.ConsumeInt(9)
    match chance.ConsumeIntInRange(0, 6):
        case 0:
            return None
        case 1:
            return chance.ConsumeInt(9)
        case 2:
            return chance.ConsumeUnicode(80)
        case 3:
            return [chance.ConsumeUnicodeNoSurrogates(8)] * chance.ConsumeIntInRange(0, 2000)
        case 4:
            return {chance.ConsumeUnicodeNoSurrogates(8): chance.ConsumeInt(2)}
        case 5:
            return chance.PickValueInList(WORDS)
        case _:
            return chance.ConsumeBool()


def manifest(untrusted: bytes) -> None:
    """A manifest or an index."""
    found = content.parse_manifest_or_index(document(untrusted, MANIFESTS), media_type=None)
    if isinstance(found, content.Manifest):
        descriptors = [found.config, *found.layers]
        assert len(found.layers) <= content.LAYERS_MAX
    else:
        descriptors = [entry.descriptor for entry in found.entries]
    for each in descriptors:
        assert content.parse_digest(each.digest) and 0 <= each.size <= content.BLOB_BYTES_MAX


def config(untrusted: bytes) -> None:
    """An image's configuration."""
    found = content.parse_config(document(untrusted, [CONFIG]))
    words = (*found.entrypoint, *found.cmd, *found.env, found.user, found.working_dir)
    assert not any("\0" in word for word in words)


def signatures(untrusted: bytes) -> None:
    """A manifest of signatures, a payload, a key."""
    untrusted = document(untrusted, SIGNATURES)
    with contextlib.suppress(ImageInvalid, ImageUnsupported):
        assert content.parse_digest(signature.parse_payload(untrusted).digest)
    with contextlib.suppress(ConfigInvalid):
        assert signature.parse_key(untrusted, "k").der
    for each in signature.parse_signatures(untrusted):
        assert 0 < each.payload.size <= signature.PAYLOAD_BYTES_MAX and each.der


def tar(untrusted: bytes) -> None:
    """A layer's headers; half of them get a checksum that is right."""
    if untrusted and untrusted[-1] & 1:
        untrusted = mend_checksums(untrusted)
    fd = os.memfd_create("layer")
    try:
        os.write(fd, untrusted)
        for entry in read_entries(TarStream(Blob(fd, 0, len(untrusted))), Budget()):
            assert entry.kind in KINDS and entry.size >= 0 and 0 <= entry.mode <= 0o7777
            assert not {b"", b".", b".."} & set(entry.path.split(b"/")) or not entry.path
            assert b"\0" not in entry.path + entry.link
    finally:
        os.close(fd)


def words(untrusted: bytes) -> None:
    """What registries say in headers, and references."""
    text = untrusted.decode("latin-1")
    parse_challenges([text])
    found = parse_reference(text)
    assert parse_reference(str(found)) == found


def project(untrusted: bytes) -> None:
    """A repository's banger.toml, or its devcontainer.json."""
    text = untrusted[1:].decode("utf-8", "replace")
    with contextlib.suppress(ConfigInvalid):
        if untrusted[:1] == b"{":
            found = parse_devcontainer(untrusted.decode("utf-8", "replace"), "f", repository="r")
        else:
            found = parse_project(text, "f")
        assert not any("\0" in line for line in describe_project(found))


def tooling(untrusted: bytes) -> None:
    """A file that pins tools; the first byte says which."""
    name = list(FILES)[untrusted[0] % len(FILES)] if untrusted else "mise.toml"
    plan = plan_tooling({name: untrusted[1:]})
    for pin in plan.pins:
        assert " " not in pin.tool + pin.version
        assert not (pin.tool + pin.version).startswith("-")
    assert all(len(each) < 400 for each in plan.problems)


PROJECT = b"""#
vcpu = 2
memory = "2G"
ports = [8000, "8080:80/udp"]
[setup]
commands = ["a"]
inputs = ["b/c"]
[env]
A = "1"
"""
DEVCONTAINER = b"""{ // x
"image": "a", "forwardPorts": [1], "containerEnv": {"A": "${localEnv:B}"},
"workspaceFolder": "/w", "postCreateCommand": {"a": ["b"]},}"""
PINS = [
    b"\0[tools]\nnode = '20'\n",
    b"\2nodejs 20\n",
    b"\x0bgo 1.2\n",
    b'\x0b{"engines": {"node": "^18 || >=20"}}',
]

TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "manifest": (manifest, [b"\0" + each for each in MANIFESTS]),
    "config": (config, [b"\0" + CONFIG]),
    "signatures": (signatures, [b"\0" + each for each in SIGNATURES]),
    "tar": (tar, [TAR, TAR + b"\1", make_tar(Member("x" * 200, b"1"), form=tarfile.GNU_FORMAT)]),
    "project": (project, [PROJECT, DEVCONTAINER]),
    "tooling": (tooling, PINS),
    "words": (words, [b'Bearer realm="https://x/y",scope="a b"', b"h:1/a/b:t@" + DIGEST.encode()]),
}


def main(argv: list[str]) -> None:
    """Write the first inputs into the corpus, and let libFuzzer run until its options end it."""
    target, seeds = TARGETS[argv[1]]
    corpus = Path(argv[-1])
    for number, seed in enumerate(seeds):
        (corpus / f"seed{number}").write_bytes(seed)

    def attempt(untrusted: bytes) -> None:
        with contextlib.suppress(ImageInvalid, ImageUnsupported, ReferenceInvalid):
            target(untrusted)

    atheris.Setup([argv[0], *argv[2:]], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
