"""What `image list`, `show` and `prune` say of images that have layers in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.host.programs import find_tool
from tests.support.installations import Installation
from tests.support.oci_layouts import OciLayout, make_layer
from tests.support.registries import real_registry
from tests.support.tars import digest

pytestmark = pytest.mark.skipif(find_tool("sqfstar") is None, reason="sqfstar is not installed")


def test_layers_in_common_count_once(banger: Installation, tmp_path: Path) -> None:
    """B8: the numbers are those of the files; a layer that is not kept takes nothing."""
    layout = OciLayout(tmp_path / "layout")
    base = make_layer({"base": bytes(range(256)) * 64})
    tops = [make_layer({name: name.encode() * 999}) for name in ("one", "two")]
    for top, tag in zip(tops, ("one", "two"), strict=True):
        layout.add_image([base, top], tag=tag)
    with real_registry(tmp_path) as registry:
        names = [f"{registry.address}/team/x:{tag}" for tag in ("one", "two")]
        for name, tag in zip(names, ("one", "two"), strict=True):
            registry.push(tmp_path / "layout", tag, f"team/x:{tag}")
            banger.do("image", "pull", "-q", name)
    kept = {path.name: path.stat().st_size for path in (banger.layout.blobs / "sha256").iterdir()}
    for name, top in zip(names, tops, strict=True):
        image = banger.json("image", "show", name)
        found = [layer["digest"] for layer in image["layers"]]
        assert found == [digest(base.content), digest(top.content)]
        sizes = [kept[each.removeprefix("sha256:")] for each in found]
        assert [layer["size_bytes"] for layer in image["layers"]] == sizes
        assert [layer["images"] for layer in image["layers"]] == [2, 1]
        assert image["unique_bytes"] == image["size_bytes"] + sizes[1]
        assert image["shared_bytes"] == sizes[0]
        assert (image["users"], image["templates"]) == ([], 0)
    shown = banger.do("image", "show", names[0]).text.splitlines()
    assert any(line.startswith(f"layers     {digest(base.content)[:19]}") for line in shown)
    assert any("shared with 1 other image" in line for line in shown)
    listed = banger.do("image", "list").text.splitlines()
    assert listed[0].split() == ["NAME", "DIGEST", "SIZE", "UNIQUE", "SHARED", "SOURCE", "AGE"]

    banger.do("image", "delete", names[1])
    (image,) = banger.json("image", "list")
    assert (image["shared_bytes"], image["layers"][0]["images"]) == (0, 1)
    refused = banger.run("image", "prune", status=2)
    assert "  downloads kept for later pulls (" in refused.err
    assert banger.json("image", "list") == [image], "nothing went unasked"
    banger.do("image", "prune", "--force")
    (image,) = banger.json("image", "list")
    assert image["unique_bytes"] == image["size_bytes"]
    assert [layer["kept"] for layer in image["layers"]] == [False, False]
    assert "not kept" in banger.do("image", "show", names[0]).text
