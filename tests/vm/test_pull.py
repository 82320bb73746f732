"""From a registry to a running guest, by the command line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.engine.verbs.kernels import find_agent
from tests.support.installations import Installation
from tests.support.oci_layouts import OciLayout, make_layer
from tests.support.registries import RealRegistry, real_registry

SMALL = ("--memory", "256M", "--disk", "1G", "--vcpu", "1", "--no-template")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    """A registry with an image of one static program, over two layers, and one for another CPU."""
    program = find_agent()[0].read_bytes()
    layout = OciLayout(tmp_path / "layout")
    config = {"Env": ["FROM=image"], "WorkingDir": "/work"}
    layers = [make_layer({"bin/program": b"overwritten"}), make_layer({"bin/program": program})]
    layout.add_image(layers, tag="own", config=config)
    layout.add_image(layers, tag="other", platform={"os": "linux", "architecture": "s390x"})
    with real_registry(tmp_path) as registry:
        for tag in ("own", "other"):
            registry.push(tmp_path / "layout", tag, f"team/x:{tag}")
        yield registry


@pytest.fixture
def own(artifacts: None, private_environ: dict[str, str]) -> Iterator[Installation]:
    """An installation whose images are its own, to be pruned; the kernel is the run's."""
    data = Path(private_environ["XDG_DATA_HOME"], "banger")
    data.mkdir(mode=0o700)
    (data / "kernels").symlink_to(Path(os.environ["XDG_DATA_HOME"], "banger/kernels").resolve())
    with contextlib.closing(Installation(private_environ)) as banger:
        yield banger


def test_a_vm_runs_an_image_of_a_registry(own: Installation, registry: RealRegistry) -> None:
    """F1, C4: pulled by `vm run` itself, run without init or shell, found by its names, pruned."""
    reference = f"{registry.address}/team/x:own"
    version = find_agent()[1]
    run = ("vm", "run", "--image", reference, *SMALL)
    ended = own.do(*run, "--name", "own", "--", "/bin/program", "--version")
    assert ended.text == version
    image = own.json("image", "show", reference)
    assert (image["name"], image["env"], image["workdir"]) == (
        reference,
        {"FROM": "image"},
        "/work",
    )
    # By its digest it is the same, for good.
    pinned = image["source"].removeprefix("registry:")
    assert pinned.startswith(f"{registry.address}/team/x@sha256:")
    assert own.do("image", "pull", pinned).text == image["digest"]
    assert pinned in own.do("image", "show", reference).text
    # What a VM uses stays; the downloads go.
    assert list((own.layout.blobs / "sha256").iterdir())
    assert own.do("image", "prune", "--force").out == b""
    assert not list((own.layout.blobs / "sha256").iterdir())
    own.do("vm", "delete", "own")

    # What is here for this host is not taken for another's.
    ended = own.run("image", "pull", "--platform", "linux/s390x", reference)
    assert (ended.status, "is for linux/amd64" in ended.err) == (1, True), ended.err

    other = f"{registry.address}/team/x:other"
    foreign = own.do("image", "pull", "--platform", "linux/s390x", other).text
    refused = own.run("vm", "run", "--image", other, *SMALL, "--", "/bin/program")
    assert (refused.status, "is for linux/s390x" in refused.err) == (125, True), refused.err
    assert own.vms() == []
    going = own.do("image", "prune", "--all", "--dry-run").text.split()
    assert set(going) == {foreign, image["digest"]}
    own.do("image", "prune", "--all", "--force")
    assert own.json("image", "list") == []
