"""F6: settings of registries are a table, or one sentence."""

from __future__ import annotations

import pytest

from banger.config import parse_config
from banger.errors import ConfigInvalid
from banger.model.registries import Registries, RegistrySettings, parse_registries

TABLES = """\
network = "none"

[registries."docker.io"]
mirrors = ["m.example:5000/hub", "n.example"]
[registries."m.example:5000"]
insecure = true
"""
EXPECTED = Registries(
    {
        "docker.io": RegistrySettings(mirrors=("m.example:5000/hub", "n.example")),
        "m.example:5000": RegistrySettings(insecure=True),
    }
)


def test_tables_are_read() -> None:
    assert parse_config(TABLES, "f")["registries"] == EXPECTED
    assert str(EXPECTED) == (
        "docker.io: mirrors=m.example:5000/hub,n.example, m.example:5000: insecure=true"
    )
    assert parse_registries(EXPECTED.as_document()) == EXPECTED


def test_a_variable_is_an_inline_table() -> None:
    inline = '{"docker.io" = {mirrors = ["m.example:5000/hub", "n.example"]}, '
    assert parse_registries(inline + '"m.example:5000" = {insecure = true}}') == EXPECTED


def test_what_is_not_named_is_not_set() -> None:
    assert EXPECTED.find("x.example") == RegistrySettings()


@pytest.mark.parametrize(
    "text",
    [
        "registries = 1",
        "registries = '1'",
        "[registries]\ndocker = 1",
        '[registries."docker.io"]\nmirror = []',
        '[registries."docker.io"]\nmirrors = "m"',
        '[registries."docker.io"]\nmirrors = ["https://m"]',
        '[registries."docker.io"]\nmirrors = ["m/../x y"]',
        '[registries."docker.io"]\ninsecure = 1',
        '[registries."docker.io/x"]\ninsecure = true',
        "[registries.docker.io]\ninsecure = true",
    ],
)
def test_what_is_wrong_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"f, line 2: registries is .* expected a table"):
        parse_config(f"network = 'none'\n{text}", "f")
