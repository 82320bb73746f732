"""Templates on disk: found, published, removed.

Owns `templates/KEY/`: `memory`, `state`, `data.img`, and `manifest.json`, whose time of change
is the template's last use. A template appears by one rename and goes by one (into
`staging/`), so that half of one is never seen (hazards A9, D9). If the process dies in between,
what is in `staging/` goes at the daemon's next start. Takes no locks: the engine sees to it
that one build for a key runs at a time, and that what VMs need is not removed.

Every use compares sizes and times of change with the manifest, and the hash of the small
state file. A memory file is too large to be read for each clone: nothing of ours writes it
after it was published, so a changed time says that somebody else did.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from banger.errors import TemplateUnusable
from banger.host.files import ensure_private_dir, publish_dir, space_errors, write_atomic
from banger.layout import Layout

MEMORY = "memory"
STATE = "state"
DATA = "data.img"
MANIFEST = "manifest.json"


class _File(Struct, frozen=True, kw_only=True):
    size: int
    mtime_ns: int


class Template(Struct, frozen=True, kw_only=True):
    """A template as its manifest describes it."""

    key: str
    image: str
    """Digest of the image that it has booted."""
    image_name: str
    kernel: str
    vcpu: int
    memory_mib: int
    disk_mib: int
    created_at: float
    state_sha256: str
    files: dict[str, _File]


def find_template(layout: Layout, key: str) -> Template | None:
    """Return a template whose files are as they were published, or None if there is none.

    Raises:
        TemplateUnusable: it is there and is not what it should be.
    """
    folder = layout.template_dir(key)
    if not folder.exists():
        return None
    try:
        template = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Template)
        intact = template.key == key and all(
            _look(folder / name) == template.files[name] for name in (MEMORY, STATE, DATA)
        )
        state_sha256 = hashlib.sha256((folder / STATE).read_bytes()).hexdigest()
    except (OSError, KeyError, msgspec.DecodeError) as error:
        raise TemplateUnusable(f"The template {key[:12]} is damaged: {error}.") from error
    if not intact or state_sha256 != template.state_sha256:
        raise TemplateUnusable(f"The template {key[:12]} was changed after it was made.")
    return template


def list_templates(layout: Layout) -> list[tuple[Template | None, str, float]]:
    """Return each template (None: damaged), its key and its last use, the latest first."""
    found = []
    keys = [path.name for path in layout.templates.iterdir()] if layout.templates.is_dir() else []
    for key in keys:
        folder = layout.template_dir(key)
        try:
            template = find_template(layout, key)
        except TemplateUnusable:
            template = None
        found.append((template, key, _last_use(folder)))
    return sorted(found, key=lambda entry: (-entry[2], entry[1]))


def mark_used(layout: Layout, key: str) -> None:
    """Remember that a template was used now."""
    os.utime(layout.template_dir(key) / MANIFEST)


def disk_bytes(layout: Layout, key: str) -> int:
    """Return the disk space that a template takes."""
    try:
        files = list(layout.template_dir(key).iterdir())
        return sum(path.stat().st_blocks * 512 for path in files)
    except FileNotFoundError:
        return 0


def publish_template(layout: Layout, staged: Path, template: Template) -> bool:
    """Make a template of `staged`, which has its three files; False if somebody was first."""
    with space_errors(staged):
        # The copies of the state and the disk are never written again. The memory file stays
        # writable for its owner: see the sandbox.
        for name in (STATE, DATA):
            (staged / name).chmod(0o400)
        for name in (MEMORY, STATE, DATA):
            fd = os.open(staged / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        complete = msgspec.structs.replace(
            template,
            state_sha256=hashlib.sha256((staged / STATE).read_bytes()).hexdigest(),
            files={name: _look(staged / name) for name in (MEMORY, STATE, DATA)},
        )
        write_atomic(staged / MANIFEST, msgspec.json.encode(complete), mode=0o600)
        return publish_dir(staged, layout.template_dir(template.key))


def remove_template(layout: Layout, key: str) -> bool:
    """Remove a template; False if there is none. Clones that run keep what they have open."""
    ensure_private_dir(layout.staging)
    aside = tempfile.mkdtemp(dir=layout.staging, prefix="removed.")
    try:
        os.rename(layout.template_dir(key), aside)
    except FileNotFoundError:
        return False
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def remove_templates_of(layout: Layout, image: str) -> None:
    """Remove every template of an image, by its digest: no VM can start from them any more."""
    for template, key, _ in list_templates(layout):
        if template is not None and template.image == image:
            remove_template(layout, key)


def make_room(layout: Layout, *, limit_bytes: int, keep: frozenset[str]) -> list[str]:
    """Remove the least recently used templates until all take at most `limit_bytes`.

    Those in `keep` count and stay. Returns the keys that were removed.
    """
    sizes = {key: disk_bytes(layout, key) for _, key, _ in list_templates(layout)}
    total, removed = sum(sizes.values()), []
    for key in reversed(sizes):  # the least recently used is the last of the list
        if total > limit_bytes and key not in keep and remove_template(layout, key):
            total -= sizes[key]
            removed.append(key)
    return removed


def _look(path: Path) -> _File:
    facts = path.stat()
    return _File(size=facts.st_size, mtime_ns=facts.st_mtime_ns)


def _last_use(folder: Path) -> float:
    try:
        return (folder / MANIFEST).stat().st_mtime
    except OSError:
        return 0.0
