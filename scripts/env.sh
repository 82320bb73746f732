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

# Puts NAME=VALUE of what says how this machine reaches the network, and how to behave, into
# passed_on; whatever else is set (a Python, directories) is not for another user.
read_passed_on() {
    local name
    passed_on=()
    for name in CI TERM LANG NO_COLOR PYTEST_ARGS RUNS PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED TZ \
        "${!PIP_@}" "${!BANGER_@}" SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE \
        GIT_SSL_CAINFO http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [ -z "${!name+set}" ] || passed_on+=("$name=${!name}")
    done
}

# Writes a tar of the checkout: all that is tracked or could be, not what is ignored.
# `--deduplicate`: a path in a conflict has several entries.
pack_checkout() {
    local path
    git -c safe.directory="$root" -C "$root" ls-files -z --cached --others --exclude-standard --deduplicate |
        while IFS= read -r -d '' path; do
            [ ! -e "$root/$path" ] && [ ! -L "$root/$path" ] || printf '%s\0' "$path"
        done | tar -C "$root" --null --files-from=- --create --file=-
}

# Makes a copy a repository of its own: tests run on a committed tree. Words after the folder
# are a command that runs git as somebody else.
commit_copy() {
    local copy=$1
    shift
    "$@" git -C "$copy" init --quiet
    "$@" git -C "$copy" add --all
    "$@" git -C "$copy" -c user.name=copy -c user.email=copy@localhost commit --quiet --no-verify \
        --message "Copy of the checkout"
}
