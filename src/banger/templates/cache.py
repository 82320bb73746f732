"""Templates on disk: find, publish and remove them.

Owns `templates/KEY/`: the files of `saved`, `manifest.json`, and `uses`, which grows by a byte for
each use: its size counts the uses, and its modification time is the last use. One rename publishes
a template and one (into `staging/`) removes it, so that no reader sees half a template (hazards
A9, D9). If the process dies in between, the daemon empties `staging/` at its next start. Takes no
locks: the engine runs one build per key at a time, and never removes a template that VMs need.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from banger.errors import TemplateUnusable
from banger.host.files import LIMITS, list_own, publish_dir, space_errors, write_atomic
from banger.layout import Layout
from banger.templates.saved import (
    MANIFEST,
    SavedFiles,
    disk_bytes,
    remove_saved,
    require_intact,
    seal_files,
)

USES = "uses"
KEY = re.compile(r"[0-9a-f]{64}")


class Template(Struct, frozen=True, kw_only=True):
    """A template as its manifest describes it."""

    key: str
    image: str
    """Digest of the booted image."""
    image_name: str
    kernel: str
    vcpu: int
    memory_mib: int
    disk_mib: int
    created_at: float
    saved: SavedFiles
    setup: tuple[str, ...] = ()
    """The commands whose result it holds; empty for a machine that has only booted."""


def find_template(layout: Layout, key: str) -> Template | None:
    """Return a template whose files are unchanged since publication, or None if there is none.

    Raises:
        TemplateUnusable: the template is damaged or was changed.
    """
    folder = layout.template_dir(key)
    if not folder.is_dir():
        return None
    try:
        template = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Template)
    except (OSError, msgspec.DecodeError) as error:
        if isinstance(error, OSError) and error.errno in LIMITS:
            raise
        raise TemplateUnusable(f"The template {key[:12]} is damaged: {error}.") from error
    if template.key != key:
        raise TemplateUnusable(f"The template {key[:12]} has the manifest of another template.")
    require_intact(folder, template.saved, what=f"template {key[:12]}")
    return template


class Uses(NamedTuple):
    """Number of uses of a template, and the time of the last (seconds of the Unix epoch)."""

    number: int
    last: float


def list_templates(layout: Layout) -> list[tuple[Template | None, str, Uses]]:
    """Return each template (None: damaged), its key and its uses, most recently used first."""
    found = []
    for key in (path.name for path in list_own(layout.templates, KEY)):
        try:
            template = find_template(layout, key)
        except TemplateUnusable:
            template = None
        found.append((template, key, read_uses(layout, key)))
    return sorted(found, key=lambda entry: (-entry[2].last, entry[1]))


def mark_used(layout: Layout, key: str) -> None:
    """Record a use of a template."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    fd = os.open(layout.template_dir(key) / USES, flags, 0o600)
    try:
        os.write(fd, b"+")
    finally:
        os.close(fd)


def read_uses(layout: Layout, key: str) -> Uses:
    """Return a template's uses; zero if the template is gone."""
    folder = layout.template_dir(key)
    for name in (USES, MANIFEST):
        with contextlib.suppress(OSError):
            facts = (folder / name).stat()
            return Uses(facts.st_size if name == USES else 0, facts.st_mtime)
    return Uses(0, 0.0)


def publish_template(layout: Layout, staged: Path, template: Template) -> bool:
    """Publish the directory `staged` as a template; False if the key was published before."""
    with space_errors(staged):
        saved = seal_files(staged, is_durable=True)
        complete = msgspec.structs.replace(template, saved=saved)
        write_atomic(staged / MANIFEST, msgspec.json.encode(complete))
        return publish_dir(staged, layout.template_dir(template.key))


def remove_template(layout: Layout, key: str) -> bool:
    """Remove a template; False if there is none. Running clones keep their open files."""
    return remove_saved(layout, layout.template_dir(key))


def remove_templates_of(layout: Layout, image: str) -> None:
    """Remove every template of the image with this digest, from which no VM can start any more."""
    for template, key, _ in list_templates(layout):
        if template is not None and template.image == image:
            remove_template(layout, key)


def make_room(layout: Layout, *, limit_bytes: int, keep: frozenset[str]) -> list[str]:
    """Remove the least recently used templates until the total is at most `limit_bytes`.

    Templates in `keep` count but stay. Returns the removed keys.
    """
    sizes = {key: disk_bytes(layout.template_dir(key)) for _, key, _ in list_templates(layout)}
    total, removed = sum(sizes.values()), []
    for key in reversed(sizes):  # the least recently used is the last of the list
        if total > limit_bytes and key not in keep and remove_template(layout, key):
            total -= sizes[key]
            removed.append(key)
    return removed
