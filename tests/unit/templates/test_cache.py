"""Templates on disk: A7, A9, D9; and which go first when the cache is full."""

from __future__ import annotations

import os

import pytest

from banger.errors import TemplateUnusable
from banger.layout import Layout, layout_from_environment
from banger.templates import (
    DATA,
    MEMORY,
    STATE,
    SavedFiles,
    Template,
    Uses,
    disk_bytes,
    find_template,
    list_templates,
    make_room,
    mark_used,
    publish_template,
    remove_template,
    remove_templates_of,
)

FILES = (MEMORY, STATE, DATA)


A, B, C, D = (letter * 64 for letter in "abcd")


@pytest.fixture
def layout(private_environ: dict[str, str]) -> Layout:
    return layout_from_environment(private_environ)


def publish(layout: Layout, key: str) -> bool:
    staged = layout.staging / f"new-{key}"
    staged.mkdir(parents=True)
    for name in FILES:
        (staged / name).write_bytes(f"{name} of {key}".encode() * 1000)
    template = Template(
        key=key,
        image="i",
        image_name="debian-bookworm",
        kernel="k",
        vcpu=1,
        memory_mib=512,
        disk_mib=1024,
        created_at=1.0,
        saved=SavedFiles(state_sha256="", files={}),
    )
    return publish_template(layout, staged, template)


def used_at(layout: Layout, key: str, when: float) -> None:
    os.utime(layout.template_dir(key) / "manifest.json", (when, when))


def test_what_was_published_is_found(layout: Layout) -> None:
    assert find_template(layout, A) is None
    assert publish(layout, A)
    found = find_template(layout, A)
    assert found is not None and found.key == A and set(found.saved.files) == set(FILES)


def test_the_second_publisher_changes_nothing(layout: Layout) -> None:
    """A7."""
    assert publish(layout, A)
    before = (layout.template_dir(A) / "manifest.json").read_bytes()
    assert not publish(layout, A)
    assert (layout.template_dir(A) / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["gone", "shorter", "changed"])
def test_damage_is_noticed(layout: Layout, name: str, damage: str) -> None:
    """D9: whatever happened to a file of it."""
    publish(layout, A)
    path = layout.template_dir(A) / name
    path.chmod(0o600)
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if damage == "shorter" else b"\xff" + content[1:])
    with pytest.raises(TemplateUnusable):
        find_template(layout, A)
    assert [entry[0] for entry in list_templates(layout)] == [None]


def test_a_template_under_another_key_is_not_used(layout: Layout) -> None:
    """D5."""
    publish(layout, A)
    layout.template_dir(A).rename(layout.template_dir(B))
    with pytest.raises(TemplateUnusable):
        find_template(layout, B)


def test_removal_leaves_nothing(layout: Layout) -> None:
    publish(layout, A)
    assert remove_template(layout, A)
    assert not remove_template(layout, A)
    assert list_templates(layout) == []
    assert list(layout.staging.iterdir()) == []


def test_an_images_templates_go_with_it(layout: Layout) -> None:
    publish(layout, A)
    remove_templates_of(layout, "another")
    assert len(list_templates(layout)) == 1
    remove_templates_of(layout, "i")
    assert list_templates(layout) == []


def test_the_least_recently_used_go_first(layout: Layout) -> None:
    """And those that VMs need stay, whatever the limit."""
    for number, key in enumerate((A, B, C, D)):
        publish(layout, key)
        used_at(layout, key, 100.0 + number)
    used_at(layout, A, 200.0)
    size = disk_bytes(layout.template_dir(A))
    assert make_room(layout, limit_bytes=4 * size, keep=frozenset()) == []
    assert make_room(layout, limit_bytes=3 * size, keep=frozenset({B})) == [C]
    assert [key for _, key, _ in list_templates(layout)] == [A, D, B]
    assert make_room(layout, limit_bytes=0, keep=frozenset({B})) == [D, A]
    assert disk_bytes(layout.template_dir("gone")) == 0


def test_uses_are_counted_beside_the_manifest(layout: Layout) -> None:
    """A7: a template is not changed by being used; one never used is as old as its manifest."""
    publish(layout, A)
    used_at(layout, A, 42.0)
    assert list_templates(layout)[0][2] == Uses(0, 42.0)
    before = (layout.template_dir(A) / "manifest.json").read_bytes()
    for _ in range(3):
        mark_used(layout, A)
    uses = list_templates(layout)[0][2]
    assert uses.number == 3 and uses.last > 42.0
    assert (layout.template_dir(A) / "manifest.json").read_bytes() == before
    assert find_template(layout, A) is not None
