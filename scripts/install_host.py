"""Installs the host tools that a target of the Makefile needs; its first step.

Runs with the system's Python, before any virtual environment exists; the work
and the table are `banger.host.setup` and `banger.host.packages`.
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from banger.errors import BangerError  # noqa: E402 - after the path is set
from banger.host.packages import BUILD, KERNEL_BUILD, RUNTIME, TESTS, find_providers  # noqa: E402 - as above
from banger.host.setup import run_setup  # noqa: E402 - as above

NEEDS = {
    "fmt": BUILD,
    "docs": BUILD,
    "demo": BUILD + RUNTIME,
    "check": BUILD + RUNTIME + TESTS,
    "test": BUILD + RUNTIME + TESTS,
    "bench": BUILD + RUNTIME + TESTS,
    "bench-kvm": BUILD + RUNTIME,
    "test-kvm": BUILD + RUNTIME + TESTS,
    "test-long": BUILD + RUNTIME + TESTS + KERNEL_BUILD,
    "test-kernel": BUILD + RUNTIME + TESTS + KERNEL_BUILD,
    "trixie": find_providers(["mmdebstrap", "Debian's archive keys"]),
}


def main() -> int:
    """Install what is missing; return banger's exit code."""
    try:
        run_setup(lambda line: print(line, flush=True), tools=NEEDS[sys.argv[1]])
    except BangerError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
