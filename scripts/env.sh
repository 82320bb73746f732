# Sourced by the scripts beside it: where we are, and which Python to use.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

say() { printf '%s\n' "$*" >&2; }

die() { say "error: $*"; exit 1; }

# The first Python 3.11 or newer that this user can run, in the order of PATH.
find_python() {
    local candidate ask='
import os, sys
sys.exit(1) if sys.version_info < (3, 11) else print(os.path.realpath(sys._base_executable))'
    for candidate in ${PYTHON:-} python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
        # Inside an activated .venv, its base interpreter: scripts/venv may remove .venv.
        if "$candidate" -c "$ask" 2>/dev/null; then return; fi
    done
    die "no Python 3.11 or newer was found; PYTHON=/path/to/python3 names one."
}
