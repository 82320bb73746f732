"""What people and programs do to a work tree, as lines of shell that hypothesis puts together.

Each line is a step of its own, run in the work tree; a step that fails is passed over, as it
would be in a guest. `$T` is an empty directory outside of the tree.
"""

from __future__ import annotations

import os
import shlex

from hypothesis import strategies as st

NAMES = st.sampled_from(
    [
        b"a",
        b"b",
        b"A",
        b"d/a",
        b"d/e/b",
        b"d2/x",
        b"c d",
        b"x.o",
        b"build/o",
        b"\xe9\xff",
        b"n\nl",
        b'q"\\',
        b"-dash",
        b"[x]*",
        "gr\u00fc\u00df".encode(),
        "gru\u0308\u00df".encode(),
    ]
)
DIRECTORIES = st.sampled_from([b"d", b"d/e", b"d2", b"build", b"new", b"n/m"])
CONTENTS = st.sampled_from(
    [
        b"",
        b"one\n",
        b"two\n",
        b"1\n2\n3\n",
        b"1\r\n2\r\n3\r\n",
        b"1\r\n2\n",
        b"\0bin\r\n",
        b"no end",
        b"$Id$\n",
        b"x" * 2000,
        "utf\n".encode("utf-16"),
    ]
)
TARGETS = st.sampled_from([b"a", b"d", b"nowhere", b"/nonexistent/x", b"../a", b"..", b"n\nl"])
IGNORED = st.sampled_from([b"*.o\n", b"build/\n", b"*\n", b"!*.o\n", b"/d\n", b"*\n!*/\n!a\n", b""])
ATTRIBUTES = st.sampled_from(
    [
        b"* text=auto\n",
        b"* text eol=crlf\n",
        b"* text eol=lf\n",
        b"* filter=shout\n",
        b"* ident\n",
        b"* -text -diff\n",
        b"a working-tree-encoding=UTF-16\n",
        b"* export-ignore diff=x merge=y\n",
        b"",
    ]
)
FILES = st.tuples(st.sampled_from(["100644", "100644", "100755"]), CONTENTS)
ENTRIES = st.one_of(FILES, st.tuples(st.just("120000"), TARGETS))
TREES = st.dictionaries(NAMES, ENTRIES, min_size=1, max_size=7)

OPTIONS = st.sampled_from(
    [
        ("core.autocrlf", "true"),
        ("core.autocrlf", "input"),
        ("core.eol", "crlf"),
        ("core.fileMode", "false"),
        ("core.symlinks", "false"),
        ("core.ignoreCase", "true"),
        ("core.checkStat", "minimal"),
        ("core.trustctime", "false"),
        ("core.precomposeUnicode", "true"),
        ("core.sparseCheckout", "true"),
        ("core.untrackedCache", "true"),
        ("core.splitIndex", "true"),
        ("core.worktree", "/nonexistent"),
        ("core.bare", "true"),
        ("core.attributesFile", "../attributes"),
        ("core.excludesFile", "../excludes"),
        ("core.quotePath", "false"),
        ("core.safecrlf", "true"),
        ("index.version", "4"),
        ("index.sparse", "true"),
        ("filter.shout.clean", "tr a-z A-Z"),
        ("filter.shout.smudge", "tr A-Z a-z"),
        ("filter.shout.required", "true"),
        ("diff.noprefix", "true"),
        ("diff.external", "true"),
        ("apply.whitespace", "fix"),
        ("status.showUntrackedFiles", "no"),
        ("extensions.worktreeConfig", "true"),
        ("user.useConfigOnly", "true"),
    ]
)


def quote(name: bytes) -> str:
    return shlex.quote("./" + os.fsdecode(name))


def printed(content: bytes) -> str:
    """Return a command that prints bytes."""
    if len(content) > 1000:
        return f"head -c {len(content)} /dev/zero | tr '\\0' {chr(content[0])}"
    octal = "".join(f"\\0{byte:03o}" for byte in content)
    return f"printf %b '{octal}'"


def _write(name: bytes, content: bytes) -> str:
    at = quote(name)
    return f'mkdir -p -- "$(dirname {at}x)"; rm -rf {at}; {printed(content)} >{at}'


def _overwrite(name: bytes, content: bytes) -> str:
    """Change the bytes in place, and set the time back to what it was."""
    at = quote(name)
    return f"touch -r {at} $T/time && {printed(content)} 1<>{at} && touch -r $T/time {at}"


def _swap(first: bytes, second: bytes) -> str:
    a, b = quote(first), quote(second)
    return f"mv {a} $T/swap && mv {b} {a} && mv $T/swap {b}"


def _link(name: bytes, target: bytes) -> str:
    at = quote(name)
    link = f"ln -s {shlex.quote(os.fsdecode(target))} {at}"
    return f'mkdir -p -- "$(dirname {at}x)"; rm -rf {at}; {link}'


def _repository(name: bytes, commits: bool) -> str:
    at = quote(name)
    commit = "&& git add -A && git commit -q --allow-empty -m inner" if commits else ""
    return f"mkdir -p {at}; (cd {at} && git init -q && echo inside >inside {commit})"


def _two(template: str) -> st.SearchStrategy[str]:
    return st.builds(lambda a, b: template.format(a=quote(a), b=quote(b)), NAMES, NAMES)


def _one(template: str) -> st.SearchStrategy[str]:
    return st.builds(lambda a: template.format(a=quote(a)), NAMES)


def _directory(template: str) -> st.SearchStrategy[str]:
    return st.builds(lambda d: template.format(d=quote(d)), DIRECTORIES)


WRITES = st.one_of(
    st.builds(_write, NAMES, CONTENTS),
    st.builds(_write, st.just(b".gitignore"), IGNORED),
    st.builds(_write, st.sampled_from([b".gitattributes", b"d/.gitattributes"]), ATTRIBUTES),
    st.builds(_overwrite, NAMES, CONTENTS),
    st.builds(_link, NAMES, TARGETS),
)
TOOLS = st.one_of(
    st.builds(_swap, NAMES, NAMES),
    _two("mv -T {a} {b}"),
    _two("cp -pT {a} {b}"),
    _two("cp -aT --remove-destination {a} {b}"),
    _two("ln -fT {a} {b}"),
    _two("cat {a} >{b}"),
    _two("touch -r {a} {b}"),
    # Not of directories, and so of none through a link: the guest of a test is not root.
    _one("test -f {a} && chmod +x {a}"),
    _one("test -f {a} && chmod -x {a}"),
    _one("test -f {a} && chmod 600 {a}"),
    _one("rm -rf {a}"),
    _one("sed -i 's/o/0/; s/1/7/' {a}"),
    _one("sed -i 's/\\r*$/\\r/' {a}"),
    _one("truncate -s 0 {a}"),
    _one("truncate -s +3 {a}"),
    _one("touch {a}"),
    # Of no other step: who opens a pipe, waits.
    st.sampled_from(["mkfifo pipe", "mkdir -p d; mkfifo d/pipe"]),
    _one("mkdir -p {a}"),
    _directory("mkdir -p {d}"),
    _directory("rm -rf {d}/*"),
    _directory("mv -T {d} moved"),
    _directory("tar -cf $T/tar {d} && rm -rf {d} && tar -xf $T/tar"),
    _directory("cp -aT {d} copied"),
    _directory("rm -rf {d} && ln -s a {d}"),
    st.just("tar -cf $T/all --exclude=./.git . && rm -rf ./* && tar -xf $T/all"),
)
GIT = st.one_of(
    st.sampled_from(
        [
            "git add -A",
            "git add -A -f",
            "git commit -q -a -m all",
            "git commit -q --allow-empty -m empty",
            "git add -A; git commit -q -m everything",
            "git add -A; git commit -q -m x; git revert --no-edit HEAD",
            "git stash -q",
            "git stash -q -u",
            "git stash -q; git stash pop -q",
            "git checkout -q -- .",
            "git checkout -q -b topic",
            "git checkout -q --orphan none",
            "git reset -q --hard",
            "git reset -q",
            "git clean -q -f -d",
            "git rm -q -r --cached .",
            "git gc -q",
            "git worktree add -q copy",
            "git sparse-checkout set d",
            "git sparse-checkout set --no-cone '*.o'",
            "git sparse-checkout disable",
            "git pack-refs --all",
            "git update-index --refresh",
            "git update-index --force-write-index",
            "git ls-files -z | git update-index -z --assume-unchanged --stdin",
            "git ls-files -z | git update-index -z --skip-worktree --stdin",
            "rm -rf .git",
            "rm -rf .git; git init -q",
            "rm -rf .git; git init -q; git add -A; git commit -q -m anew",
            "rm -rf .git/*",
            "rm -f .git/index",
            "echo garbage >.git/index",
            "echo garbage >.git/HEAD",
            "touch .git/index.lock",
            "mv .git ../git-dir; ln -s ../git-dir .git",
            "mv .git ../git-dir; echo gitdir: ../git-dir >.git",
            "echo '*' >.git/info/exclude",
            "echo '* filter=shout' >.git/info/attributes",
            "echo '*' >../excludes; echo '* eol=crlf' >../attributes",
        ]
    ),
    _one("git add {a}"),
    _one("git add -f {a}"),
    _one("git rm -q -r --cached {a}"),
    _one("git rm -q -r -f {a}"),
    _one("git update-index --chmod=+x {a}"),
    _one("git checkout -q -- {a}"),
    _one("git restore -q --staged {a}"),
    _one("git stash push -q {a}"),
    _two("git mv -f {a} {b}"),
    st.builds(lambda key: f"git config {key[0]} {shlex.quote(key[1])}", OPTIONS),
)
REPOSITORIES = st.builds(_repository, DIRECTORIES, st.booleans())

HOST_GIT = st.one_of(
    st.sampled_from(
        [
            "git add -A",
            "git add -A -N",
            "git commit -q -a -m all",
            "git stash -q",
            "git rm -q -r --cached .",
            "git sparse-checkout set d",
            "git ls-files -z | git update-index -z --assume-unchanged --stdin",
            "git config core.autocrlf true",
            "git config core.fileMode false",
            "git config index.version 4; git update-index --force-write-index",
            "git update-index --split-index",
            "git checkout -q --detach",
            "echo '*.o' >.git/info/exclude",
        ]
    ),
    _one("git add {a}"),
    _one("git rm -q -r --cached {a}"),
    _one("git update-index --chmod=+x {a}"),
    _two("git mv -f {a} {b}"),
)
HOST_SCRIPTS = st.lists(st.one_of(WRITES, TOOLS, HOST_GIT), max_size=5)

STEPS = st.one_of(WRITES, WRITES, TOOLS, TOOLS, GIT, GIT, REPOSITORIES)
SCRIPTS = st.lists(STEPS, max_size=9)


def script(steps: list[str]) -> str:
    """Return the shell script of some steps; its arguments are the work tree and `$T`."""
    # In a shell each, so that an error of syntax or of a redirection ends one step only.
    return "\n".join(["T=$2", *(_step(line) for line in steps), "exit 0"])


def _step(line: str) -> str:
    return f'(cd "$1" && {line}\n) </dev/null >/dev/null 2>&1 || :'
