"""Firecracker's own description of its API, as it is in its file."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.support.firecracker.description import Document

SOURCE = Path(__file__).with_name("firecracker.yaml")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen here
    """YAML 1.2's booleans: a log level `Off` is a word."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


def load_document() -> Document:
    """Return the description as it is in its file."""
    document: Document = yaml.load(SOURCE.read_text("utf-8"), _Loader)
    return document
