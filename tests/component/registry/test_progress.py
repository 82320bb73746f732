"""What a pull shows while it goes on: on a terminal, elsewhere, and when it is told to be quiet."""

from __future__ import annotations

import hashlib
import os
import re
import termios
import threading
from collections.abc import Iterator

import pytest

from banger.host.programs import find_tool
from tests.component.cli.terminal import Terminal
from tests.component.registry.hostile import Handler, HostileRegistry, hostile_registry
from tests.support.installations import Installation

pytestmark = pytest.mark.skipif(find_tool("sqfstar") is None, reason="sqfstar is not installed")

ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
SHOW_CURSOR = b"\x1b[?25h"
WIDTH = 80
CONTENTS = [os.urandom(600_000) for _ in range(6)]


@pytest.fixture
def trickling() -> Iterator[HostileRegistry]:
    """A registry whose first layer comes at once; the others take a second, a little at a time."""
    is_over = threading.Event()

    def trickle(handler: Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for start in range(0, len(content), 40_000):
            handler.wfile.write(content[start : start + 40_000])
            is_over.wait(0.06)

    with hostile_registry() as registry:
        registry.add_image("x", *CONTENTS)
        for number in range(1, len(CONTENTS)):
            content = registry.blobs[registry.digests[number]]
            registry.routes[registry.blob_path("x", number)] = lambda handler, content=content: (
                trickle(handler, content)
            )
        try:
            yield registry
        finally:
            is_over.set()


def test_a_bar_for_each_layer_and_a_clean_end(
    banger: Installation, trickling: HostileRegistry
) -> None:
    """H9, F3: bytes of each layer on its way, within the width; Ctrl-C leaves the terminal as it
    was, and in the cache what has been verified."""
    terminal = Terminal(banger.environ, "image", "pull", f"{trickling.address}/x")
    terminal.set_size(30, WIDTH)
    try:
        terminal.expect(b"downloading layers", keep=True)
        for digest in trickling.digests[1:5]:
            terminal.expect(_short(digest), keep=True)
        terminal.expect(b"KB / 6", keep=True)
        assert _short(trickling.digests[5]) not in terminal.output, "it has not begun"
        terminal.send(b"\x03")
        terminal.expect(SHOW_CURSOR, keep=True)
        assert terminal.process.wait(60) == 130
        assert termios.tcgetattr(terminal.slave) == terminal.before
        for line in ESCAPE.sub(b"", terminal.output).replace(b"\r", b"\n").split(b"\n"):
            assert len(line.decode()) <= WIDTH, line
    finally:
        terminal.close()
    blobs = list((banger.layout.blobs / "sha256").iterdir())
    assert trickling.digests[0].removeprefix("sha256:") in {blob.name for blob in blobs}
    for blob in blobs:
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def test_few_rows_show_few_layers(banger: Installation, trickling: HostileRegistry) -> None:
    """The layers that do not fit are in the first bar."""
    terminal = Terminal(banger.environ, "image", "pull", f"{trickling.address}/x")
    terminal.set_size(4, WIDTH)
    try:
        for digest in trickling.digests[1:3]:
            terminal.expect(_short(digest), keep=True)
        terminal.expect(b"MB / 3.6 MB", keep=True)
        first = terminal.output.index(b"MB / 3.6 MB")
        assert _short(trickling.digests[4]) not in terminal.output[:first]
        terminal.send(b"\x03")
        assert terminal.process.wait(60) == 130
    finally:
        terminal.close()


def test_plain_lines_elsewhere_and_nothing_when_quiet(
    banger: Installation, trickling: HostileRegistry
) -> None:
    loud = banger.do("image", "pull", f"{trickling.address}/x")
    assert "downloading layers ...\n" in loud.err
    assert "\x1b" not in loud.err and "\r" not in loud.err
    banger.do("image", "prune", "--all", "--force")
    quiet = banger.do("image", "pull", "--quiet", f"{trickling.address}/x")
    assert (quiet.text, quiet.err) == (loud.text, "")


def _short(digest: str) -> bytes:
    return digest.removeprefix("sha256:")[:12].encode()
