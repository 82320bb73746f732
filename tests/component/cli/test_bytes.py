"""Arguments whose bytes are not UTF-8, and files of somebody else's in our folders."""

from __future__ import annotations

import pytest

from tests.component.daemon.running import banger, layout_of

Environ = dict[str, str]
ODD = "caf\udce9"
NAMES = (
    ("image", "show", ODD),
    ("kernel", "show", ODD),
    ("template", "delete", ODD),
    ("vm", "show", ODD),
    ("vm", "create", "--name", ODD),
    ("vm", "create", "--image", ODD),
    ("vm", "create", "--kernel", ODD),
    ("vm", "create", "--label", f"a={ODD}"),
    ("vm", "set", "box", "--label", f"a={ODD}"),
    ("image", "import", ODD),
    ("image", "register", "named", ODD),
)


@pytest.mark.parametrize("words", NAMES, ids=lambda words: "-".join(words[:3]).replace(ODD, "odd"))
def test_bytes_that_are_no_text_are_told(private_environ: Environ, words: tuple[str, ...]) -> None:
    """H6: one sentence with the bytes as escapes, no crash report."""
    try:
        done = banger(private_environ, *words)
        assert done.returncode in (2, 4) or b"cannot be read" in done.stderr, done
        assert b"caf\\xe9" in done.stderr or b"caf\\udce9" in done.stderr or b"box" in done.stderr
        assert not layout_of(private_environ).reports.exists()
    finally:
        banger(private_environ, "daemon", "stop")


def test_what_is_not_ours_is_passed_over(private_environ: Environ) -> None:
    """B9: an editor's file, a link and a folder in each folder that is listed."""
    layout = layout_of(private_environ)
    blobs = layout.blobs / "sha256"
    listed = (layout.templates, layout.snapshots, layout.images, layout.kernels, layout.vms, blobs)
    for folder in (*listed, layout.partial_blobs, layout.reports, layout.scratch):
        folder.mkdir(parents=True)
        (folder / "notes.txt~").write_text("mine")
        (folder / "link").symlink_to("/nowhere/at/all")
        (folder / "0123456789ab").touch()
    commands = ("template list", "image list", "kernel list", "gc", "image prune -f", "vm prune -f")
    try:
        for command in commands:
            done = banger(private_environ, *command.split())
            assert done.returncode == 0, done.stderr
        assert all((folder / "notes.txt~").exists() for folder in listed[:5])
    finally:
        banger(private_environ, "daemon", "stop")
