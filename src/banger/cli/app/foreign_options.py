"""Options of docker, podman, kubectl, lima and multipass, and how banger treats each. Pure.

Loaded only when a command line could not be parsed. An option with the meaning of a banger option
is accepted as that option; an option for something that banger does in another way gets a hint.
"""

from __future__ import annotations

from banger.cli.app.usage import UsageError

_SIZED = ("vm run", "vm create", "vm set", "template build")
_MADE = ("vm run", "vm create")
_LISTS = ("vm list", "image list", "kernel list", "template list", "operations list")
_SHOWS = (*_LISTS, "vm show", "image show", "kernel show", "config show", "vm snapshot list")

Table = tuple[tuple[tuple[str, ...], str, str], ...]

RENAMED: Table = (
    (_SIZED, "--cpus --cpu --vcpus -c", "--vcpu"),
    (_SIZED, "--mem --ram -m", "--memory"),
    (_SIZED, "--disk-size --storage", "--disk"),
    (_SIZED, "--net", "--network"),
    (_MADE, "-l", "--label"),
    (_MADE, "-n", "--name"),
    (("vm exec", "vm shell"), "--cwd --chdir", "--workdir"),
    (("vm stop", "vm restart"), "-t --time", "--timeout"),
    (("vm prune", "image prune"), "-y --yes", "--force"),
    (("setup",), "-y", "--yes"),
    (("image build",), "-f", "--file"),
    (("vm logs", "vm session logs", "daemon logs"), "--lines", "--tail"),
    (("vm fork",), "-c --count", "--number"),
)
"""Commands, other tools' options, and the banger option with the same meaning."""

DROPPED: tuple[tuple[tuple[str, ...], str], ...] = (
    (_LISTS, "-a --all"),  # a list is always complete
    (("vm stats",), "--no-stream"),  # prints once without --follow
    (("vm shell",), "-i -t -it -ti --interactive --tty"),  # a shell always has both
    (("vm cp",), "-r -R --recursive -p --preserve"),  # trees, modes and times are kept always
    (("vm delete",), "-v --volumes -p --purge -y --yes"),  # deletes the disk, never asks
)
"""Commands, and options that ask for a command's default behaviour."""

_COPIED = "banger vm run PATH (nothing is mounted: a copy of the git repository goes in)"
_PORTS = "banger vm ports VM (what listens in a VM appears at its address by itself)"

INSTEAD: Table = (
    (_MADE, "-v --volume --mount", _COPIED),
    (_MADE, "-P --publish-all", _PORTS),
    (("vm create",), "--env-file", "banger vm exec --env-file FILE VM COMMAND"),
    (_MADE, "-u --user -w --workdir", "banger vm exec --user USER --workdir DIR VM COMMAND"),
    (("vm stop",), "-f --force", "banger vm stop --timeout 5s VM"),
    (("vm logs", "vm session logs"), "--until -t --timestamps", "banger vm logs --tail 20 VM"),
    (("daemon logs",), "--since --until", "banger daemon logs --tail 20"),
    (("image build",), "-t --tag", "banger image build --file RECIPE NAME"),
)
"""Commands, options that banger does not have, and the hint to give."""


def translate_options(command: str, words: list[str]) -> list[str]:
    """Return the words with other tools' options replaced by banger's.

    Raises:
        UsageError: banger has no such option; the hint names the alternative.
    """
    translated: list[str] = []
    for word in _split_values(command, _name_json(command, words)):
        option, equals, value = word.partition("=")
        if hint := _find(INSTEAD, command, option):
            raise UsageError(f"banger {command} has no option {option}.", hint=hint)
        if any(command in names and word in many.split() for names, many in DROPPED):
            continue
        ours = _find(RENAMED, command, option)
        translated.append(ours + equals + value if ours else word)
    return translated


def _find(table: Table, command: str, option: str) -> str | None:
    return next(
        (to for names, many, to in table if command in names and option in many.split()), None
    )


def _split_values(command: str, words: list[str]) -> list[str]:
    """Return the words with `-m2G` as `-m 2G`, for options of other tools."""
    split: list[str] = []
    for word in words:
        short = word[:2]
        known = _find(RENAMED, command, short) or _find(INSTEAD, command, short)
        is_joined = known and short[1:].isalpha() and len(word) > 2 and word[2] != "="
        split += [short, word[2:]] if is_joined else [word]
    return split


def _name_json(command: str, words: list[str]) -> list[str]:
    """Return the words with `-o json`, `--format=json` and the like as `--json`."""
    if command not in _SHOWS or not words:
        return words
    line = "\0".join(words)
    for option in ("-o", "--output", "--format"):
        for text in (f"{option}\0json", f"{option}=json", f"{option}json"):
            line = line.replace(text, "--json")
    return line.split("\0")
