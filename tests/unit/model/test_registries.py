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
[registries."m.example:5000/team"]
signed_by = ["/keys/a.pub", "~/b.pub"]
[registries."m.example:5000/team/free"]
signed_by = []
"""
EXPECTED = Registries(
    {
        "docker.io": RegistrySettings(mirrors=("m.example:5000/hub", "n.example")),
        "m.example:5000": RegistrySettings(insecure=True),
        "m.example:5000/team": RegistrySettings(signed_by=("/keys/a.pub", "~/b.pub")),
        "m.example:5000/team/free": RegistrySettings(signed_by=()),
    }
)


def test_tables_are_read() -> None:
    assert parse_config(TABLES, "f")["registries"] == EXPECTED
    assert str(EXPECTED) == (
        "docker.io: mirrors=m.example:5000/hub,n.example, m.example:5000: insecure=true, "
        "m.example:5000/team: signed_by=/keys/a.pub,~/b.pub, m.example:5000/team/free: signed_by="
    )
    assert parse_registries(EXPECTED.as_document()) == EXPECTED


def test_a_variable_is_an_inline_table() -> None:
    inline = '{"docker.io" = {mirrors = ["m.example:5000/hub"]}, "m.example/x" = {signed_by = []}}'
    assert parse_registries(inline) == Registries(
        {
            "docker.io": RegistrySettings(mirrors=("m.example:5000/hub",)),
            "m.example/x": RegistrySettings(signed_by=()),
        }
    )


def test_what_is_not_named_is_not_set() -> None:
    assert EXPECTED.find("x.example") == RegistrySettings()


def test_the_longest_name_says_who_signs() -> None:
    keys = ("/keys/a.pub", "~/b.pub")
    for repository, signers in (
        ("team", keys),
        ("team/app", keys),
        ("team/app/free", keys),
        ("team/free", ()),
        ("team/free/x", ()),
        ("team/freedom", keys),
        ("teams", ()),
        ("x/team", ()),
    ):
        assert EXPECTED.signers("m.example:5000", repository) == signers, repository
    assert EXPECTED.signers("m.example", "team") == ()


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
        '[registries."docker.io"]\nsigned_by = "/k"',
        '[registries."docker.io"]\nsigned_by = ["k"]',
        '[registries."docker.io"]\nsigned_by = [1]',
        '[registries."docker.io/X"]\nsigned_by = []',
        '[registries."docker.io/"]\nsigned_by = []',
    ],
)
def test_what_is_wrong_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"f, line 2: registries is .* expected a table"):
        parse_config(f"network = 'none'\n{text}", "f")
