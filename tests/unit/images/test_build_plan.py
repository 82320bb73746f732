"""The arguments of a build, and the parts that go in and come out."""

from __future__ import annotations

import io
import shlex
import tarfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from banger.host.mmdebstrap import plan_argv
from banger.images.plan import (
    EPOCH,
    FINISH,
    build_overlay,
    parse_dpkg_status,
    plan_bootstrap,
    plan_sqfstar,
)
from banger.images.recipe import Recipe, RecipeFile, Units

RECIPE = Recipe(
    name="small",
    suite="bookworm",
    packages=("make", "jq"),
    drop=("/usr/share/doc/*",),
    keep=("/usr/share/doc/*/copyright",),
    remove=("/lib/x/*.conf",),
    units=Units(mask=("a.service", "b@.timer"), enable=("c.socket",)),
    files=(RecipeFile(path="/etc/deep/example", mode=0o4755, content="text"),),
)


def test_the_whole_command_line() -> None:
    argv = plan_argv(plan_bootstrap(RECIPE, overlay=Path("/s p/o.tar"), status=Path("/s/status")))
    assert argv == [
        "mmdebstrap",
        "--mode=unshare",
        "--format=tar",
        "--variant=minbase",
        "--components=main",
        "--include=make,jq",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--customize-hook=tar-in '/s p/o.tar' /",
        '--customize-hook=chroot "$1" systemctl --quiet enable -- c.socket',
        '--customize-hook=chroot "$1" systemctl --quiet mask -- a.service b@.timer',
        '--customize-hook=rm -rf -- "$1"/lib/x/*.conf',
        f"--customize-hook={FINISH}",
        "--customize-hook=download /var/lib/dpkg/status /s/status",
        "bookworm",
        "-",
    ]


def test_no_package_means_no_include() -> None:
    recipe = Recipe(name="x", suite="bookworm")
    argv = plan_argv(plan_bootstrap(recipe, overlay=Path("/o"), status=Path("/s")))
    assert not [argument for argument in argv if argument.startswith("--include")]


def test_the_signature_check_is_never_weakened() -> None:
    argv = plan_argv(plan_bootstrap(RECIPE, overlay=Path("/o"), status=Path("/s")))
    forbidden = ("trusted", "allow-insecure", "unauthenticated", "no-check-gpg", "skip")
    assert not [a for a in argv for word in forbidden if word in a.lower()]


def test_sqfstar_writes_plain_data_with_a_fixed_time() -> None:
    line = shlex.join(plan_sqfstar(Path("/x/root")))
    assert line == (
        "sqfstar -quiet -no-progress -exit-on-error -reproducible "
        f"-mkfs-time {EPOCH} -mem 64M -noI -noD -noF -noX /x/root"
    )


def test_files_belong_to_root_and_have_a_fixed_time() -> None:
    overlay = build_overlay(RECIPE)
    assert overlay == build_overlay(RECIPE)
    with tarfile.open(fileobj=io.BytesIO(overlay)) as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.mode, member.uid, member.gid, member.mtime) == (
            "etc/deep/example",
            0o4755,
            0,
            0,
            EPOCH,
        )
        file = tar.extractfile(member)
        assert file is not None
        assert file.read() == b"text"


def test_only_installed_packages_are_listed() -> None:
    text = (
        "Package: zlib\nStatus: install ok installed\nVersion: 1:1.2\nDescription: x\n Package: n\n"
        "\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 2\n"
        "\nPackage: acl\nStatus: install ok installed\nVersion: 2.3\n"
    )
    assert list(parse_dpkg_status(text).items()) == [("acl", "2.3"), ("zlib", "1:1.2")]


@given(st.text(max_size=300))
def test_any_status_parses(untrusted_text: str) -> None:
    parse_dpkg_status(untrusted_text)
