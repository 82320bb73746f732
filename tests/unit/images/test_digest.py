"""What makes two images one, and what makes them two."""

from __future__ import annotations

from banger.images.publish import image_digest
from banger.model.artifacts import ImageDraft

ROOT = "ab" * 32


def draft(**changes: object) -> ImageDraft:
    facts = {"name": "a", "created_at": 1.0, "init": None, "source": "recipe:a"} | changes
    return ImageDraft(**facts)  # type: ignore[arg-type]


def test_a_name_does_not_count() -> None:
    other = draft(name="b", created_at=2.0, source="recipe:b", packages={"bash": "5"})
    assert image_digest(draft(), ROOT) == image_digest(other, ROOT)


def test_root_init_and_each_word_of_the_configuration_count() -> None:
    """D5: what a VM is told of its image is part of the image."""
    digests = {
        image_digest(draft(), ROOT),
        image_digest(draft(), "cd" * 32),
        image_digest(draft(init="/sbin/init"), ROOT),
        image_digest(draft(env={"A": "1"}), ROOT),
        image_digest(draft(workdir="/srv"), ROOT),
        image_digest(draft(user="/srv"), ROOT),
        image_digest(draft(entrypoint=("/srv",)), ROOT),
        image_digest(draft(cmd=("/srv",)), ROOT),
        image_digest(draft(labels={"A": "1"}), ROOT),
        image_digest(draft(stop_signal="/srv"), ROOT),
    }
    assert len(digests) == 10


def test_images_of_recipes_keep_their_digest() -> None:
    """The digest that earlier versions gave is still found."""
    assert image_digest(draft(init="/sbin/init", env={"A": "1"}), ROOT) == (
        "ac4a3834e345e88f124f5c3d78d548d89bfab28d4264b946eda0614ab8b482e4"
    )
