"""`[[file_sync]]`: files of the home directory in each new VM (D6, F4)."""

from __future__ import annotations

from pathlib import Path

from tests.support.installations import Installation
from tests.support.templates import is_in_memory
from tests.support.vms import TINY

CONFIG = """\
[[file_sync]]
host = "~/.gitconfig"
mode = "0644"
[[file_sync]]
host = "~/keys/key"
guest = "/opt/deep/key"
[[file_sync]]
host = "~/missing"
[[file_sync]]
host = "~/link"
"""
SHOW = "stat -c '%a %U %n' ~/.gitconfig /opt/deep/key; cat ~/.gitconfig /opt/deep/key; ls -A ~"


def test_files_of_the_home_directory_come_along(own: Installation) -> None:
    """With mode and owner; what cannot be read is told, no link is followed, no template has it."""
    home = Path(own.environ["HOME"])
    (home / "keys").mkdir()
    (home / ".gitconfig").write_text("[user]\n")
    (home / "keys/key").write_text("s3cret-of-file-sync\n")
    (home / "link").symlink_to("/etc/passwd")
    own.layout.config_file.parent.mkdir(parents=True, exist_ok=True)
    own.layout.config_file.write_text(CONFIG)
    for template in ("", "--no-template"):
        options = (template,) if template else ()
        ended = own.run("vm", "run", "--rm", *TINY, *options, "--", "sh", "-c", SHOW, status=0)
        lines = ended.text.split("\n")
        assert lines[:4] == [
            "644 root /root/.gitconfig",
            "600 root /opt/deep/key",
            "[user]",
            "s3cret-of-file-sync",
        ]
        assert "missing" not in lines and "link" not in lines
        assert "file_sync: ~/missing does not exist" in ended.err
        assert "link is behind a symbolic link" in ended.err
    for template_dir in own.layout.templates.iterdir():
        assert not is_in_memory(own.layout, template_dir.name, b"s3cret-of-file-sync")
