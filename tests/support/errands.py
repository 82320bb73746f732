"""Run commands of banger one after the other: `python -m tests.support.errands COMMAND...`.

Each argument is one command, its words separated by line breaks. Prints one JSON list with an
object for each: `status`, `out`, `err` (bytes that are no UTF-8 as escapes). A namespace that a
test makes around this program is the same for all commands and for the daemon that they start,
which is ended before this program ends.
"""

from __future__ import annotations

import json
import subprocess
import sys

DEADLINE_S = 60


def main() -> int:
    """Run them all."""
    errands = [words.split("\n") for words in sys.argv[1:]]
    print(json.dumps([_run(words) for words in (*errands, ["daemon", "stop"])]))
    return 0


def _run(words: list[str]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "banger", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    out, err = (text.decode("utf-8", "backslashreplace") for text in (done.stdout, done.stderr))
    return {"words": words, "status": done.returncode, "out": out, "err": err}


if __name__ == "__main__":
    sys.exit(main())
