"""F6: the setting `file_sync` is a list of tables, or one sentence."""

from __future__ import annotations

import pytest

from banger.config import parse_config
from banger.errors import ConfigInvalid
from banger.model.filesync import FileSync, SyncedFile, parse_file_sync

TABLES = """\
network = "none"

[[file_sync]]
host = "~/.gitconfig"
[[file_sync]]
host = "~/keys/a key"
guest = "/etc/key"
mode = "0644"
"""
EXPECTED = FileSync(
    (
        SyncedFile(".gitconfig", "/root/.gitconfig"),
        SyncedFile("keys/a key", "/etc/key", 0o644),
    )
)


def test_tables_are_read() -> None:
    assert parse_config(TABLES, "f")["file_sync"] == EXPECTED
    assert parse_file_sync(EXPECTED.as_document()) == EXPECTED
    assert str(EXPECTED) == "~/.gitconfig to /root/.gitconfig, ~/keys/a key to /etc/key"


def test_a_variable_is_an_inline_list() -> None:
    assert parse_file_sync('[{host = "~/.gitconfig"}]') == FileSync(EXPECTED.files[:1])


@pytest.mark.parametrize(
    "table",
    [
        "file_sync = 1",
        "file_sync = [1]",
        "[file_sync]\nhost = '~/a'",
        "[[file_sync]]\nguest = '/a'",
        "[[file_sync]]\nhost = '/etc/passwd'",
        "[[file_sync]]\nhost = '~/../other/a'",
        "[[file_sync]]\nhost = '~/'",
        "[[file_sync]]\nhost = '~other/a'",
        "[[file_sync]]\nhost = '~/a'\nguest = 'a'",
        "[[file_sync]]\nhost = '~/a'\nguest = '/../a'",
        "[[file_sync]]\nhost = '~/a'\nmode = 420",
        "[[file_sync]]\nhost = '~/a'\nmode = '4755'",
        "[[file_sync]]\nhost = '~/a'\nmode = '0999'",
        "[[file_sync]]\nhost = '~/a'\nmod = '0600'",
        "[[file_sync]]\nhost = '~/a'\n[[file_sync]]\nhost = '~/b'\nguest = '~/a'",
    ],
)
def test_another_table_is_refused(table: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(f"network = 'none'\n{table}", "f")
    assert caught.value.message.startswith("f, line 2: file_sync")
