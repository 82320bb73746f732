"""F1, F2: a pulled image, file by file, beside what `umoci unpack` as root makes of it.

umoci, and the unpacking of our root, run as root of a user namespace: owners, attributes and
capabilities are those of the layers, only device nodes cannot be made there. As root itself they
are compared, too. BANGER_TEST_IMAGE_FILES=50000 is the full size.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from banger.host.programs import find_tool
from tests.support.artifacts import CHECKOUT
from tests.support.bigimage import make_big_layers
from tests.support.installations import Installation
from tests.support.oci_layouts import OciLayout, pack_layer
from tests.support.registries import real_registry

FILES = int(os.environ.get("BANGER_TEST_IMAGE_FILES", "3000"))
DEADLINE_S = 1200
UNPACK = """
umoci unpack --image "$1/layout:gzip" "$1/umoci"
unsquashfs -quiet -no-progress -dest "$1/ours" "$2"
$3 "$1/umoci/rootfs" >"$1/umoci.list"
$3 "$1/ours" >"$1/ours.list"
rm -rf "$1/umoci" "$1/ours"
"""

pytestmark = pytest.mark.skipif(
    find_tool("sqfstar") is None or shutil.which("umoci") is None,
    reason="squashfs-tools or umoci is not installed",
)


@pytest.fixture
def as_root() -> list[str]:
    """The prefix of a command that is to be root, at least of a namespace."""
    if os.geteuid() == 0:
        return []
    prefix = ["unshare", "--user", "--map-root-user", "--map-auto", "--"]
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False, timeout=60)
    if tried.returncode:
        pytest.skip(f"this host lets users make no such namespace: {tried.stderr.decode().strip()}")
    return prefix


def test_every_file_is_what_umoci_makes_of_it(
    banger: Installation, as_root: list[str], tmp_path: Path
) -> None:
    layout = OciLayout(tmp_path / "layout")
    tars = make_big_layers(FILES, devices=not as_root)
    packed = zip(tars, ("zstd", "gzip", "zstd"), strict=True)
    layout.add_image([pack_layer(tar, compression=kind) for tar, kind in packed], tag="big")
    # The same layers for umoci, whose version 0.4 reads no zstd.
    layout.add_image([pack_layer(tar) for tar in tars], tag="gzip")
    with real_registry(tmp_path) as registry:
        registry.push(layout.root, "big", "test/big:1")
        digest = banger.do("image", "pull", "-q", f"{registry.address}/test/big:1").text
    root = banger.layout.images / digest / "root.squashfs"
    lister = shlex.join([sys.executable, str(CHECKOUT / "tests/support/treelist.py")])
    line = ["sh", "-ec", UNPACK, "sh", str(tmp_path), str(root), lister]
    done = subprocess.run([*as_root, *line], capture_output=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr.decode()
    ours, theirs = (_read(tmp_path / f"{name}.list") for name in ("ours", "umoci"))
    assert len(theirs) > FILES * 9 // 10
    different = {name for name in ours.keys() | theirs if ours.get(name) != theirs.get(name)}
    shown = [(name, ours.get(name), theirs.get(name)) for name in sorted(different)[:5]]
    assert not different, (len(different), shown)
    kinds = {str(facts[0])[0] for facts in theirs.values()}
    assert kinds >= set("-dlp") | (set() if as_root else set("bc"))
    attributes = [name for facts in theirs.values() for name in facts[4]]
    assert attributes.count("security.capability") > FILES // 400
    assert sum(len(facts) > 6 and facts[6] > 1 for facts in theirs.values()) > FILES // 40


def _read(path: Path) -> dict[str, list[Any]]:
    return dict(json.loads(line) for line in path.read_text("ascii").splitlines())
