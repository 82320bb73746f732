"""The signature policy, on a real registry and on a hostile one; keys and signatures of openssl."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from banger.errors import ConfigInvalid, ImageNotFound, ImageUntrusted
from banger.host.programs import find_tool
from banger.images.registry import Resolved
from banger.model.registries import Registries, RegistrySettings
from tests.component.registry.conftest import TAGS, Stocked
from tests.component.registry.hostile import Handler, HostileRegistry, hostile_registry
from tests.component.registry.pulling import a_puller, run
from tests.support.installations import Installation
from tests.support.oci_layouts import MANIFEST
from tests.support.registries import free_port
from tests.support.signing import (
    SigningKey,
    Uploader,
    make_key,
    make_payload,
    make_signature,
    make_signatures_manifest,
    signature_tag,
)

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[SigningKey, SigningKey]:
    folder = tmp_path_factory.mktemp("keys")
    return make_key(folder, "team"), make_key(folder, "other")


@dataclass(frozen=True)
class Shop:
    """A repository of its own with the stock's images."""

    registry: Stocked
    repository: str
    key: SigningKey
    other: SigningKey

    @property
    def name(self) -> str:
        return f"{self.registry.address}/{self.repository}"

    @property
    def uploader(self) -> Uploader:
        return Uploader(self.registry.address, self.repository)

    def digest(self, tag: str) -> str:
        """Return the digest of what a tag names."""
        index = json.loads((self.registry.layout / "index.json").read_text())
        entries = {
            entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"]
            for entry in index["manifests"]
        }
        return str(entries[tag])

    def sign(self, tag: str, key: SigningKey, **facts: str) -> tuple[bytes, bytes]:
        payload = make_payload(**{"digest": self.digest(tag), "name": self.name, **facts})
        return payload, key.sign(payload)

    def policy(self, *keys: SigningKey) -> Registries:
        files = tuple(str(key.public) for key in keys or (self.key,))
        return Registries({self.registry.address: RegistrySettings(signed_by=files)})


@pytest.fixture
def shop(
    stocked: Stocked, keys: tuple[SigningKey, SigningKey], request: pytest.FixtureRequest
) -> Shop:
    repository = "team/" + re.sub("[^a-z0-9]+", "-", request.node.name)[:60].strip("-")
    for tag in TAGS:
        stocked.registry.push(stocked.layout, tag, f"{repository}:{tag}")
    return Shop(stocked, repository, *keys)


def pull(reference: str, root: Path, registries: Registries) -> tuple[str | None, Resolved]:
    """Return who has signed an image."""

    async def work() -> tuple[str | None, Resolved]:
        async with a_puller(root, registries=registries) as puller:
            resolved, pulled = await puller.pull(reference)
            assert pulled.layers
            assert not list(puller.layout.staging.glob("*"))
            return puller.signer, resolved

    return run(work())


def test_the_right_key(shop: Shop, tmp_path: Path) -> None:
    """An image by its tag and its digest; one of several keys, one of several signatures."""
    shop.uploader.put_signatures(
        shop.digest("image"), shop.sign("image", shop.other), shop.sign("image", shop.key)
    )
    for reference in (f"{shop.name}:image", f"{shop.name}@{shop.digest('image')}"):
        signer, _ = pull(reference, tmp_path / "a", shop.policy())
        assert signer and signer.startswith(f"{shop.key.public} (sha256:")
    signer, _ = pull(f"{shop.name}:image", tmp_path / "b", shop.policy(shop.other, shop.key))
    assert signer and signer.startswith(str(shop.other.public))


def test_an_index_that_is_signed(shop: Shop, tmp_path: Path) -> None:
    """It names its manifests by digest. A manifest alone may be signed as well."""
    shop.uploader.put_signatures(shop.digest("index"), shop.sign("index", shop.key))
    signer, resolved = pull(f"{shop.name}:index", tmp_path / "a", shop.policy())
    assert signer and resolved.digest != shop.digest("index")
    with pytest.raises(ImageUntrusted, match="is not signed"):
        pull(f"{shop.name}@{resolved.digest}", tmp_path / "b", shop.policy())
    payload = make_payload(resolved.digest, shop.name)
    shop.uploader.put_signatures(resolved.digest, (payload, shop.key.sign(payload)))
    assert pull(f"{shop.name}@{resolved.digest}", tmp_path / "c", shop.policy())[0]


Make = Callable[[Shop], tuple[bytes, bytes]]


def tampered(shop: Shop) -> tuple[bytes, bytes]:
    payload, der = shop.sign("image", shop.key)
    return payload.replace(b"null", b"{}"), der


REFUSED: dict[str, tuple[Make, str]] = {
    "wrong key": (lambda shop: shop.sign("image", shop.other), "not with a key"),
    "another image": (lambda shop: shop.sign("sister", shop.key), "for another image, sha256:"),
    "another name": (
        lambda shop: shop.sign("image", shop.key, name="docker.io/team/app"),
        "is for docker.io/team/app",
    ),
    "no name": (
        lambda shop: shop.sign("image", shop.key, name=""),
        "not name an image of a registry",
    ),
    "tampered payload": (tampered, "not with a key"),
    "no signature": (
        lambda shop: (shop.sign("image", shop.key)[0], b"\x30\x06guess"),
        "not with a key",
    ),
    "another kind": (
        lambda shop: shop.sign("image", shop.key, type="atomic container signature"),
        "atomic container",
    ),
    "no payload": (lambda shop: (b"{}", shop.key.sign(b"{}")), "cannot be read"),
    "no text": (lambda shop: (b"\xff\xfe", shop.key.sign(b"\xff\xfe")), "cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_signature_of_the_image(shop: Shop, tmp_path: Path, case: str) -> None:
    """F1: one sentence, a hint, and not a byte of a layer."""
    make, fact = REFUSED[case]
    shop.uploader.put_signatures(shop.digest("image"), make(shop))
    with pytest.raises(ImageUntrusted, match=fact) as refused:
        pull(f"{shop.name}:image", tmp_path, shop.policy())
    assert refused.value.exit_code == 9 and refused.value.hint
    layers = {layer.content for layer in shop.registry.layers}
    assert not layers & {path.read_bytes() for path in tmp_path.rglob("sha256/*")}


def test_no_signatures_at_all(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(
        ImageUntrusted, match="is not signed, and the configuration requires"
    ) as refused:
        pull(f"{shop.name}:image", tmp_path, shop.policy())
    assert refused.value.hint == f"cosign sign --key KEY {shop.name}@{shop.digest('image')}"


def test_the_longest_name_counts(shop: Shop, tmp_path: Path) -> None:
    """A repository may be let off, or have a key of its own."""
    shop.uploader.put_signatures(shop.digest("image"), shop.sign("image", shop.key))
    wants_other = RegistrySettings(signed_by=(str(shop.other.public),))
    for name, settings, is_good in (
        (f"{shop.registry.address}/team", RegistrySettings(signed_by=()), True),
        (f"{shop.registry.address}/tea", RegistrySettings(signed_by=()), False),
        (shop.name, RegistrySettings(signed_by=(str(shop.key.public),)), True),
    ):
        policy = Registries({shop.registry.address: wants_other, name: settings})
        expectation: Any = contextlib.nullcontext() if is_good else pytest.raises(ImageUntrusted)
        with expectation:
            pull(f"{shop.name}:image", tmp_path / str(len(name)), policy)


def test_a_key_that_cannot_be_used(shop: Shop, tmp_path: Path) -> None:
    """It fails closed, and says so before anything is pulled."""
    not_p256 = make_key(tmp_path, "curve", curve="secp384r1")
    private = SigningKey(shop.key.private, shop.key.private)
    missing = SigningKey(shop.key.private, tmp_path / "missing")
    for key in (not_p256, private, missing):
        with pytest.raises(ConfigInvalid, match=key.public.name) as refused:
            pull(f"{shop.name}:image", tmp_path / "k", shop.policy(key))
        assert refused.value.hint


def test_a_mirror_need_not_have_the_signatures(shop: Shop, tmp_path: Path) -> None:
    """The policy is for the name, wherever the bytes come from."""
    shop.uploader.put_signatures(shop.digest("image"), shop.sign("image", shop.key))
    blob = shop.registry.layout / "blobs" / shop.digest("image").replace(":", "/")
    with hostile_registry() as mirror:
        mirror.add_manifest(shop.repository, blob.read_bytes(), tag="image")
        dead = f"127.0.0.1:{free_port()}"
        mirrors = RegistrySettings(
            mirrors=(dead, mirror.address), signed_by=(str(shop.key.public),)
        )
        signer, _ = pull(
            f"{shop.name}:image", tmp_path, Registries({shop.registry.address: mirrors})
        )
    assert signer and mirror.asked(".sig")


# --- a registry that is hostile ----------------------------------------------------


@pytest.fixture
def hostile(
    keys: tuple[SigningKey, SigningKey],
) -> Iterator[tuple[HostileRegistry, str, Registries]]:
    """A registry with an honest image, its digest, and the policy for it."""
    with hostile_registry() as registry:
        registry.add_image("x", b"content")
        policy = Registries({registry.address: RegistrySettings(signed_by=(str(keys[0].public),))})
        yield registry, registry.manifest_digest, policy


def layers(count: int, **changes: Any) -> bytes:
    signature = {**make_signature(b"{}", b"\x30\x06guess"), **changes}
    return json.dumps(make_signatures_manifest(*[signature] * count)).encode()


def send(content: bytes, **options: Any) -> Callable[[Handler], None]:
    return lambda handler: handler.send(content, kind=MANIFEST, **options)


HOSTILE: dict[str, Callable[[Handler], None]] = {
    "endless": lambda handler: handler.send_endlessly(kind=MANIFEST),
    "long": send(b" " * 5_000_000),
    "deep": send(b'{"layers": ' + b"[" * 100_000),
    "no json": send(b"\xff\xfe"),
    "an index": send(b'{"schemaVersion": 2, "manifests": []}'),
    "no layers": send(layers(0)),
    "many": send(layers(65)),
    "other kind": send(layers(1, mediaType="text/plain")),
    "huge payload": send(layers(1, size=65_537)),
    "endless payload": send(layers(1, size=2)),
    "no digest": send(layers(1, digest="sha256:../../x")),
    "no annotation": send(layers(1, annotations={})),
    "no base64": send(layers(1, annotations={"dev.cosignproject.cosign/signature": "-----"})),
    "long signature": send(
        layers(1, annotations={"dev.cosignproject.cosign/signature": "QUJD" * 1000})
    ),
    "schema 1": send(layers(1).replace(b'"schemaVersion": 2', b'"schemaVersion": 1')),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_signatures(
    hostile: tuple[HostileRegistry, str, Registries], tmp_path: Path, case: str
) -> None:
    """F1, F5: bounded, typed, denied; nothing of the image is fetched."""
    registry, digest, policy = hostile
    registry.routes[f"/v2/x/manifests/{signature_tag(digest)}"] = HOSTILE[case]
    payload = make_signature(b"{}", b"")["digest"]
    registry.routes[f"/v2/x/blobs/{payload}"] = lambda handler: handler.send_endlessly()
    with pytest.raises(ImageUntrusted) as refused:
        pull(f"{registry.address}/x", tmp_path, policy)
    assert refused.value.exit_code == 9 and refused.value.hint
    assert len(refused.value.message) < 400
    assert not registry.asked(registry.blob_path("x"))


def test_an_image_without_a_policy_is_not_asked_for_signatures(tmp_path: Path) -> None:
    with hostile_registry() as registry:
        registry.add_image("x", b"content")
        other = Registries({f"{registry.address}/y": RegistrySettings(signed_by=("/none",))})
        assert pull(f"{registry.address}/x", tmp_path, other)[0] is None
        assert not registry.asked(".sig")
        with pytest.raises(ImageNotFound):
            pull(f"{registry.address}/x:none", tmp_path, other)


# --- by the command line -----------------------------------------------------------


@pytest.mark.skipif(find_tool("sqfstar") is None, reason="sqfstar is not installed")
def test_the_command_line(shop: Shop, private_environ: dict[str, str]) -> None:
    """Refused with 9; signed, `image show` names pin and key, also of what was here before."""
    policy = f'{{"{shop.registry.address}" = {{signed_by = ["{shop.key.public}"]}}}}'
    reference = f"{shop.name}:image"
    with contextlib.closing(Installation(private_environ)) as banger:
        banger.do("image", "pull", "-q", reference)
        assert banger.json("image", "show", reference)["signed_by"] == ""
        assert "signed by" not in banger.do("image", "show", reference).text
        banger.do("daemon", "stop")
    with contextlib.closing(
        Installation({**private_environ, "BANGER_REGISTRIES": policy})
    ) as banger:
        refused = banger.run("image", "pull", "-q", reference)
        assert refused.status == 9 and "cosign sign" in refused.err
        shop.uploader.put_signatures(shop.digest("image"), shop.sign("image", shop.key))
        banger.do("image", "pull", "-q", reference)
        shown = banger.do("image", "show", reference).text
        assert re.search(rf"^signed by +{re.escape(str(shop.key.public))} \(sha256:", shown, re.M)
        assert f"{shop.name}@{shop.digest('image')}" in shown
