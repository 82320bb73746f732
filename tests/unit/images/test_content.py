"""F1, F5 for manifests, indexes and configurations: right, or refused with a typed error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from banger.errors import BangerError, ImageInvalid, ImageUnsupported
from banger.images.content import (
    CONFIG_BYTES_MAX,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX_ENTRIES_MAX,
    LAYERS_MAX,
    MANIFEST_BYTES_MAX,
    OCI_INDEX,
    OCI_MANIFEST,
    Compression,
    Descriptor,
    ImageConfig,
    Index,
    IndexEntry,
    Manifest,
    Platform,
    parse_compression,
    parse_config,
    parse_digest,
    parse_manifest_or_index,
    require_same_layers,
)

ONE = f"sha256:{1:064x}"
TWO = f"sha256:{2:064x}"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


def a_descriptor(digest: str = ONE, media_type: str = LAYER_TYPE, size: int = 7) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def a_manifest(**changes: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": a_descriptor(TWO, CONFIG_TYPE),
        "layers": [a_descriptor()],
        **changes,
    }
    return json.dumps({k: v for k, v in document.items() if v is not ...}).encode()


def an_index(**changes: Any) -> bytes:
    entry = a_descriptor(ONE, OCI_MANIFEST)
    entry["platform"] = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry], **changes}
    return json.dumps({k: v for k, v in document.items() if v is not ...}).encode()


def a_config(**changes: Any) -> bytes:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [ONE]},
        **changes,
    }
    return json.dumps({k: v for k, v in document.items() if v is not ...}).encode()


@pytest.mark.parametrize("media_type", [None, OCI_MANIFEST])
def test_a_manifest_is_read(media_type: str | None) -> None:
    assert parse_manifest_or_index(a_manifest(), media_type=media_type) == Manifest(
        config=Descriptor(media_type=CONFIG_TYPE, digest=TWO, size=7),
        layers=(Descriptor(media_type=LAYER_TYPE, digest=ONE, size=7),),
    )


def test_an_index_is_read() -> None:
    assert parse_manifest_or_index(an_index(), media_type=None) == Index(
        entries=(
            IndexEntry(
                descriptor=Descriptor(media_type=OCI_MANIFEST, digest=ONE, size=7),
                platform=Platform(os="linux", architecture="arm64", variant="v8"),
            ),
        )
    )


def test_dockers_kinds_are_read() -> None:
    manifest = a_manifest(mediaType=DOCKER_MANIFEST)
    assert isinstance(parse_manifest_or_index(manifest, media_type=DOCKER_MANIFEST), Manifest)
    assert isinstance(
        parse_manifest_or_index(an_index(mediaType=DOCKER_INDEX), media_type=None), Index
    )


def test_a_manifest_may_leave_its_kind_to_its_bearer() -> None:
    assert isinstance(
        parse_manifest_or_index(a_manifest(mediaType=...), media_type=DOCKER_MANIFEST), Manifest
    )
    assert isinstance(parse_manifest_or_index(an_index(mediaType=...), media_type=None), Index)


@pytest.mark.parametrize(
    ("untrusted", "media_type"),
    [
        (b"", None),
        (b"[]", None),
        (b"{}", None),
        (b"\xff{}", None),
        (b"[" * 100_000, None),
        (b'{"schemaVersion":2,"x":' + b"[" * 100_000, None),
        (a_manifest(schemaVersion="2"), None),
        (a_manifest(layers=...), None),
        (a_manifest(config=...), None),
        (a_manifest(layers=[a_descriptor("sha256:abc")]), None),
        (a_manifest(layers=[a_descriptor("../../../etc/passwd")]), None),
        (a_manifest(layers=[a_descriptor(ONE.upper())]), None),
        (a_manifest(layers=[a_descriptor(size=-1)]), None),
        (a_manifest(layers=[a_descriptor(size=2**41)]), None),
        (a_manifest(layers=[a_descriptor(size=2**70)]), None),
        (a_manifest(layers=[a_descriptor()] * (LAYERS_MAX + 1)), None),
        (a_manifest(config=a_descriptor(TWO, CONFIG_TYPE, CONFIG_BYTES_MAX + 1)), None),
        (a_manifest(manifests=[]), None),
        (a_manifest(), OCI_INDEX),
        (a_manifest(), DOCKER_MANIFEST),
        (a_manifest(mediaType=OCI_INDEX), None),
        (an_index(mediaType=OCI_MANIFEST), None),
        (an_index(manifests=[a_descriptor()] * (INDEX_ENTRIES_MAX + 1)), None),
        (
            an_index(manifests=[a_descriptor() | {"platform": {"os": "a\x1b[2J"}}]),
            None,
        ),
        (b" " * (MANIFEST_BYTES_MAX + 1), None),
    ],
)
def test_a_broken_manifest_is_refused(untrusted: bytes, media_type: str | None) -> None:
    """F1, F5."""
    with pytest.raises(ImageInvalid):
        parse_manifest_or_index(untrusted, media_type=media_type)


@pytest.mark.parametrize(
    ("untrusted", "media_type"),
    [
        (b'{"schemaVersion":1,"fsLayers":[]}', None),
        (b'{"schemaVersion":2}', "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        (a_manifest(mediaType="application/x"), None),
        (a_manifest(config=a_descriptor(TWO, "application/vnd.cncf.helm.config.v1+json")), None),
        (a_manifest(layers=[a_descriptor("sha512:" + "0" * 128)]), None),
        (
            a_manifest(
                layers=[
                    a_descriptor(
                        media_type="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
                    )
                ]
            ),
            None,
        ),
    ],
)
def test_another_kind_of_manifest_is_named(untrusted: bytes, media_type: str | None) -> None:
    with pytest.raises(ImageUnsupported):
        parse_manifest_or_index(untrusted, media_type=media_type)


def test_a_configuration_is_read() -> None:
    untrusted = a_config(
        variant="v3",
        config={
            "Env": ["PATH=/bin", "EMPTY=", "WORDLESS", "PATH=/usr/bin:/bin", "A=b=c"],
            "WorkingDir": "/srv",
            "User": "1000:100",
            "Entrypoint": ["/entry"],
            "Cmd": ["a", "b"],
            "Labels": {"k": "v"},
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "StopSignal": "SIGINT",
            "Healthcheck": {"Test": ["NONE"]},
        },
    )
    assert parse_config(untrusted) == ImageConfig(
        architecture="amd64",
        os="linux",
        variant="v3",
        diff_ids=(ONE,),
        env={"PATH": "/usr/bin:/bin", "EMPTY": "", "A": "b=c"},
        working_dir="/srv",
        user="1000:100",
        entrypoint=("/entry",),
        cmd=("a", "b"),
        labels={"k": "v"},
        exposed_ports=("53/udp", "80/tcp"),
        stop_signal="SIGINT",
    )


def test_absent_and_null_are_empty() -> None:
    nothing = dict.fromkeys("Env WorkingDir User Entrypoint Cmd Labels ExposedPorts".split())
    plain = ImageConfig(architecture="amd64", os="linux", diff_ids=(ONE,))
    assert parse_config(a_config()) == plain
    assert parse_config(a_config(config=None)) == plain
    assert parse_config(a_config(config=nothing)) == plain


@pytest.mark.parametrize(
    ("written", "path"),
    [("app", "/app"), ("./a/../b/", "/b"), ("//srv", "/srv"), ("../..", "/"), ("", "")],
)
def test_a_relative_working_directory_begins_at_the_root(written: str, path: str) -> None:
    """F1: as Docker has it, and never above the root."""
    assert parse_config(a_config(config={"WorkingDir": written})).working_dir == path


def test_a_command_written_as_a_text_is_one_word() -> None:
    assert parse_config(a_config(config={"Cmd": "a b"})).cmd == ("a b",)


@pytest.mark.parametrize(
    "untrusted",
    [
        b"",
        b"null",
        a_config(rootfs=...),
        a_config(rootfs={"diff_ids": ["x"]}),
        a_config(rootfs={"diff_ids": [ONE] * (LAYERS_MAX + 1)}),
        a_config(os="lin\nux"),
        a_config(config={"Env": "A=b"}),
        a_config(config={"Env": ["A=\0"]}),
        a_config(config={"Cmd": ["\0"]}),
        a_config(config={"Labels": {"a": 1}}),
        b" " * (CONFIG_BYTES_MAX + 1),
    ],
)
def test_a_broken_configuration_is_refused(untrusted: bytes) -> None:
    """F1."""
    with pytest.raises(ImageInvalid):
        parse_config(untrusted)


def test_manifest_and_configuration_must_agree_on_layers() -> None:
    manifest = parse_manifest_or_index(a_manifest(), media_type=None)
    assert isinstance(manifest, Manifest)
    require_same_layers(manifest, parse_config(a_config()))
    with pytest.raises(ImageInvalid, match="1 layers, its configuration 2"):
        require_same_layers(manifest, parse_config(a_config(rootfs={"diff_ids": [ONE, TWO]})))


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        (LAYER_TYPE, Compression.GZIP),
        ("application/vnd.oci.image.layer.v1.tar", Compression.NONE),
        ("application/vnd.oci.image.layer.v1.tar+zstd", Compression.ZSTD),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", Compression.GZIP),
    ],
)
def test_the_media_type_tells_the_compression(media_type: str, compression: Compression) -> None:
    assert parse_compression(media_type) is compression


def test_a_digest_is_sha256() -> None:
    assert parse_digest(ONE) == ONE
    with pytest.raises(ImageUnsupported, match="sha512"):
        parse_digest("sha512:" + "0" * 128)
    with pytest.raises(ImageInvalid):
        parse_digest(ONE + "\n")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "schemaVersion mediaType config layers manifests digest size platform os"
                " architecture rootfs diff_ids Env Cmd Labels ExposedPorts".split()
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)
documents = st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode())


@given(documents, st.sampled_from([None, OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, "text/html"]))
@example(b'{"schemaVersion":2,"mediaType":"\\ud800","layers":[],"config":{}}', None)
def test_any_bytes_are_a_manifest_or_a_typed_error(
    untrusted: bytes, media_type: str | None
) -> None:
    """F1, F5."""
    try:
        found = parse_manifest_or_index(untrusted, media_type=media_type)
    except BangerError:
        return
    assert isinstance(found, Manifest | Index)


@given(documents)
@example(b'{"architecture":"a","os":"b","rootfs":{"diff_ids":[]},"config":{"User":"\\ud800"}}')
def test_any_bytes_are_a_configuration_or_a_typed_error(untrusted: bytes) -> None:
    """F1."""
    try:
        found = parse_config(untrusted)
    except BangerError:
        return
    found_again = [*found.env.values(), found.user, *found.cmd]
    assert all(text.encode() or text == "" for text in found_again)
