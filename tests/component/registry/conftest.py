"""One real registry for the tests of this folder, with the images that they pull."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.oci_layouts import MadeLayer, OciLayout, make_layer
from tests.support.registries import RealRegistry, real_registry

TAGS = ("image", "sister", "arm64", "index")
"""An index comes after the images that it names: a registry checks that they are there."""


@dataclass(frozen=True)
class Stocked:
    """A registry and what is in it."""

    registry: RealRegistry
    layout: Path
    layers: list[MadeLayer]

    @property
    def address(self) -> str:
        return self.registry.address


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[MadeLayer]]:
    """An OCI layout with an image of three kinds of layers, its sister, and an index."""
    root = tmp_path_factory.mktemp("stock") / "layout"
    layout = OciLayout(root)
    layers = [
        make_layer({"a": os.urandom(3_000_000)}, compression="gzip"),
        make_layer({"b": b"2" * 1000}, compression="zstd"),
        make_layer({"c": b"3" * 1000}, compression="none"),
    ]
    config = {"Env": ["A=b"], "Cmd": ["/c"], "WorkingDir": "/w"}
    layout.add_image(layers, tag="image", config=config)
    layout.add_image([layers[0], make_layer({"d": b"4"})], tag="sister")
    amd64 = layout.add_image(layers, config=config)
    arm64 = layout.add_image(
        [make_layer({"arm": b"64"})],
        tag="arm64",
        platform={"os": "linux", "architecture": "arm64", "variant": "v8"},
    )
    layout.add_index([arm64, amd64], tag="index")
    return root, layers


@pytest.fixture(scope="session")
def stocked(
    stock: tuple[Path, list[MadeLayer]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stocked]:
    """A registry without authentication."""
    root, layers = stock
    with real_registry(tmp_path_factory.mktemp("registry")) as registry:
        for tag in TAGS:
            registry.push(root, tag, f"test/x:{tag}")
        yield Stocked(registry, root, layers)
