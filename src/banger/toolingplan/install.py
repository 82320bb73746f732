"""The script that installs the tools of a repository in a guest. Pure.

It is run in guests only, as root. Mise, which the image has or its npm brings, installs each tool
in a directory of its own; scripts in `/usr/local/bin` run the programs there, so that commands
need nothing of mise. No file of the repository is looked at: the script has tools and versions that
fit the grammar of pins, and nothing else. Where they are installed it does nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

SESSION = "bootstrap"
"""The session that installs, and whose output is the log."""
DIRECTORY = "/var/lib/banger-bootstrap"
"""Where the script runs while a template is made; empty."""
_SCRIPT = """\
tools={tools}
done=/usr/local/share/banger-tools
if [ "$(cat "$done" 2>/dev/null)" = "$tools" ]; then echo "Installed: $tools"; exit 0; fi
if ! command -v mise >/dev/null && command -v npm >/dev/null; then
    npm install --global --no-fund --no-audit @jdxcode/mise
fi
if ! command -v mise >/dev/null; then
    echo "Not installed, since the image has neither mise nor npm: $tools" >&2
    exit 1
fi
failed=
cd /
for tool in $tools; do
    if mise install --yes "$tool" && places=$(mise bin-paths "$tool"); then
        mkdir -p /usr/local/bin
        for place in $places; do
            for program in "$place"/*; do
                if [ -f "$program" ] && [ -x "$program" ]; then
                    # No link: npm looks for its files beside the name by which it is called.
                    name=/usr/local/bin/${{program##*/}}
                    rm -f "$name"
                    printf '#!/bin/sh\\nexec "%s" "$@"\\n' "$program" >"$name"
                    chmod 755 "$name"
                fi
            done
        done
    else
        failed="$failed $tool"
    fi
done
if [ -n "$failed" ]; then echo "Not installed:$failed" >&2; exit 1; fi
mkdir -p "${{done%/*}}"
echo "$tools" >"$done"
echo "Installed: $tools"
"""


def render_install(tools: Sequence[str]) -> str:
    """Return the script that installs these tools, each as `node@20`."""
    return _SCRIPT.format(tools=shlex.quote(" ".join(tools)))
