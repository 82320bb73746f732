"""Writes the screenshots of docs/web.md: PNG files of at most 256 colours.

    python -m scripts.screenshots LINK VM

LINK is what `banger ui --no-browser` prints. VM is the ID of a VM that has something in each view:
a workspace that changed, a shell, a published port, a denied target, a snapshot and a fork.
"""

from __future__ import annotations

import struct
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.support.artifacts import CHECKOUT
from tests.support.browsers import find_browser, open_page

FOLDER = CHECKOUT / "docs/page"
ROWS = "document.querySelector('tbody tr')"
PLACES = {
    "list": ("", f"/%/.test({ROWS}.innerText)"),
    "create": ("create", "document.querySelector('datalist option')"),
    "images": ("images", ROWS),
    "operations": ("operations", ROWS),
    "doctor": ("doctor", ROWS),
}
"""Where each view is, and what it has when it is drawn."""
TABS = {
    "terminal": "/[$#] $/m.test(document.querySelector('.xterm-rows').innerText)",
    "changes": "document.querySelector('details .added')",
    "ports": "document.querySelector('section a')",
    "logs": "document.querySelector('pre').textContent.length > 1000",
    "network": ROWS,
    "snapshots": "document.querySelector('.tree a')",
    "usage": "document.querySelectorAll('polyline').length == 3",
}
LOADED = "document.querySelector('main h1') && !/Loading/.test(document.body.innerText)"
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
Pixels = list[bytes]
"""Rows of three bytes for each pixel."""


def main() -> None:
    """Visit each view, and write what it looks like."""
    link, vm = sys.argv[1:]
    program = find_browser()
    assert program is not None, "no browser is installed"
    views = {**PLACES, **{name: (f"vm/{vm}/{name}", ready) for name, ready in TABS.items()}}
    with tempfile.TemporaryDirectory() as profile, open_page(program, Path(profile)) as page:
        page.visit(link)
        for name, (place, ready) in [*views.items(), ("narrow", views["list"])]:
            is_narrow = name == "narrow"
            page.resize(380 if is_narrow else 1000, 640, dark=is_narrow)
            page.run(f"location.hash = '#/{place}'; 0")
            page.wait(LOADED)
            page.wait(ready)
            page.run(DRAWN)
            (FOLDER / f"{name}.png").write_bytes(reduce_png(page.screenshot()))


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
    row = bytearray(3)  # left of the first pixel
    for byte, up, corner in zip(line, above, bytes(3) + above, strict=False):
        left = row[-3]
        guess = (0, left, up, (left + up) // 2, _guess_paeth(left, up, corner))[kind]
        row.append((byte + guess) & 255)
    return bytes(row[3:])


def _guess_paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))


if __name__ == "__main__":
    main()
