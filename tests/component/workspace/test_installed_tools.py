"""The script that installs tools, run with a stand-in for mise in a directory of the test."""

from __future__ import annotations

import subprocess
from pathlib import Path

from banger.toolingplan.install import render_install

MISE = """#!/bin/sh
[ "$1" = bin-paths ] || exit 0
echo "${0%/*}/tools"
"""


def test_a_program_finds_the_files_beside_it(tmp_path: Path) -> None:
    """As npm does, by the name by which it is called; what has another's name is replaced."""
    tools = tmp_path / "tools"
    (tmp_path / "bin").mkdir()
    tools.mkdir()
    for path, content in (
        (tmp_path / "mise", MISE),
        (tools / "npm", '#!/bin/sh\ncat "${0%/*}/words"; printf "%s." "$@"\n'),
    ):
        path.write_text(content)
        path.chmod(0o755)
    (tools / "words").write_text("found ")
    (tmp_path / "bin/npm").symlink_to(tools / "words")
    script = render_install(["node@20.1.0"]).replace("/usr/local", str(tmp_path))
    path = f"{tmp_path}:/usr/bin:/bin"
    subprocess.run(["sh", "-euc", script], env={"PATH": path}, check=True, capture_output=True)
    ran = subprocess.run([tmp_path / "bin/npm", "a b", "c"], check=True, capture_output=True)
    assert ran.stdout == b"found a b.c." and (tools / "words").read_text() == "found "
    assert not (tmp_path / "bin/words").exists()
