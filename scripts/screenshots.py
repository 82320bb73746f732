"""Writes the screenshots of docs/web.md: PNG files of at most 256 colours.

    python -m scripts.screenshots LINK VM

LINK is what `banger ui --no-browser` prints. VM is the ID of a VM that has something in each view:
a workspace that changed, a shell, a published port, a denied target, a snapshot and a fork.
"""

from __future__ import annotations

import getpass
import json
import struct
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.artifacts import CHECKOUT
from tests.support.browsers import find_browser, open_page

FOLDER = CHECKOUT / "docs/page"
ROWS = "document.querySelector('tbody tr')"
PLACES = {
    "list": ("", f"/%/.test({ROWS}.innerText) && document.querySelector('tbody [href^=http]')"),
    "create": ("create", "document.querySelector('datalist option')"),
    "images": ("images", ROWS),
    "operations": ("operations", ROWS),
    "doctor": ("doctor", ROWS),
}
"""Where each view is, and what it has when it is drawn."""
TABS = {
    "terminal": "/[$#]\\s/.test(document.querySelector('.xterm-rows').innerText)",
    "changes": "document.querySelector('details .added')",
    "ports": "document.querySelector('section a')",
    "logs": "document.querySelector('pre').textContent.trim()",
    "network": ROWS,
    "snapshots": "document.querySelector('.tree a')",
    "usage": "document.querySelectorAll('polyline').length == 3",
}
LOADED = "document.querySelector('main h1') && !/Loading/.test(document.body.innerText)"
UNNAMED = """(() => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = %s.reduce(
        (text, [own, shown]) => text.replaceAll(own, shown), texts.currentNode.data);
})()"""
"""Replaces what tells who made the screenshots, and where."""
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
Pixels = list[bytes]
"""Rows of three bytes for each pixel."""


def main() -> None:
    """Visit each view, and write what it looks like."""
    link, vm = sys.argv[1:]
    program = find_browser()
    assert program is not None, "no browser is installed"
    found: dict[str, bytes] = {}
    own = [(str(CHECKOUT), "/home/me/banger"), (getpass.getuser(), "me")]
    views = {**PLACES, **{name: (f"vm/{vm}/{name}", ready) for name, ready in TABS.items()}}
    with tempfile.TemporaryDirectory() as profile, open_page(program, Path(profile)) as page:
        page.visit(link)
        for name, (place, ready) in [*views.items(), ("narrow", views["list"])]:
            is_narrow = name == "narrow"
            page.resize(380 if is_narrow else 1000, 640, dark=is_narrow)
            page.run(f"location.hash = '#/{place}'; 0")
            page.wait(LOADED)
            page.wait(ready)
            page.run(UNNAMED % json.dumps(own))
            page.run(DRAWN)
            found[name] = page.screenshot()
    for name, png in found.items():
        (FOLDER / f"{name}.png").write_bytes(reduce_png(png))


def reduce_png(png: bytes) -> bytes:
    """Return a PNG of RGB with its most frequent colours; each other becomes the nearest."""
    rows = read_png(png)
    counts = Counter(row[at : at + 3] for row in rows for at in range(0, len(row), 3))
    palette = [colour for colour, _ in counts.most_common(256)]
    index = {colour: _find_nearest(palette, colour) for colour in counts}
    lines = (bytes(index[row[at : at + 3]] for at in range(0, len(row), 3)) for row in rows)
    data = zlib.compress(b"".join(b"\0" + line for line in lines), 9)
    head = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", data), (b"IEND", b""))
    return png[:8] + b"".join(_format_chunk(kind, content) for kind, content in chunks)


def _find_nearest(palette: list[bytes], colour: bytes) -> int:
    def distance(number: int) -> int:
        return sum((a - b) ** 2 for a, b in zip(palette[number], colour, strict=True))

    return min(range(len(palette)), key=distance)


def _format_chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def read_png(png: bytes) -> Pixels:
    """Return the pixels of a PNG as browsers write it: RGB, 8 bits, not interlaced."""
    chunks = dict[bytes, bytes]()
    for kind, content in _parse_chunks(png):
        chunks[kind] = chunks.get(kind, b"") + content
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert form == [8, 2, 0, 0, 0], form
    data, size = zlib.decompress(chunks[b"IDAT"]), 3 * width + 1
    rows: Pixels = [bytes(size - 1)]
    for at in range(0, height * size, size):
        rows.append(_unfilter(data[at], data[at + 1 : at + size], rows[-1]))
    return rows[1:]


def _parse_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        at += size + 12


def _unfilter(kind: int, line: bytes, above: bytes) -> bytes:
    """Undo one of PNG's filters (its section 9): what is stored is a difference."""
    guess, row = GUESSES[kind], bytearray(3)  # left of the first pixel
    for byte, up, corner in zip(line, above, bytes(3) + above, strict=False):
        row.append((byte + guess(row[-3], up, corner)) & 255)
    return bytes(row[3:])


def _guess_paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))


GUESSES: tuple[Callable[[int, int, int], int], ...] = (
    lambda _, __, ___: 0,
    lambda left, _, __: left,
    lambda _, up, __: up,
    lambda left, up, _: (left + up) // 2,
    _guess_paeth,
)


if __name__ == "__main__":
    main()
