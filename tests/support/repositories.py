"""Repositories for tests and benchmarks, the same on every run.

`make_repository` writes a large tree with everything that real ones have: binary files,
executables, symbolic links, long, deep and odd names, empty files, CRLF, attributes, a
submodule. Run as a program it writes one: `python -m tests.support.repositories DIR FILES MIB`.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

WORDS = (
    b"alpha beta gamma delta epsilon zeta eta theta iota kappa lambda return if else for while "
    b"import from class def self value result error option config buffer index length offset "
).split()
ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "A U Thor",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_COMMITTER_NAME": "A U Thor",
    "GIT_COMMITTER_EMAIL": "author@example.com",
    "GIT_AUTHOR_DATE": "2024-01-02T03:04:05Z",
    "GIT_COMMITTER_DATE": "2024-01-02T03:04:05Z",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ALLOW_PROTOCOL": "file",
    "LC_ALL": "C",
}


def git(directory: Path, *args: str | bytes, check: bool = True, stdin: bytes = b"") -> bytes:
    """Run git as a user would in `directory`; return its output."""
    done = subprocess.run(
        [b"git", *(os.fsencode(arg) for arg in args)],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | ENVIRONMENT,
        capture_output=True,
        input=stdin,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"git {args} in {directory}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def status(directory: Path) -> list[bytes]:
    """Return what `git status` says, name by name, untracked files one by one."""
    listed = git(directory, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
    return sorted(listed.split(b"\0")[:-1])


def init(directory: Path, branch: str = "main") -> Path:
    """Make an empty repository with an identity."""
    directory.mkdir(parents=True, exist_ok=True)
    git(directory, "init", "--quiet", "--initial-branch", branch)
    # As `git config` writes it, which takes two processes more.
    with open(directory / ".git/config", "a") as config:
        config.write("[user]\n\tname = Re Po\n\temail = repo@example.com\n")
    return directory


def write(top: Path, name: str | bytes, content: bytes = b"", *, mode: int = 0o644) -> None:
    """Write a file of the work tree, with the directories above it."""
    path = os.path.join(os.fsencode(top), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)


def commit(top: Path, message: str = "a commit") -> str:
    """Commit everything; return the commit."""
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(top, "rev-parse", "HEAD").decode().strip()


def snapshot(top: Path) -> dict[bytes, tuple[str, bytes]]:
    """Return every file below `top` but git's: name to kind with x bit, and content or target."""
    found: dict[bytes, tuple[str, bytes]] = {}
    root = os.fsencode(top)
    for directory, directories, names in os.walk(root):
        directories[:] = [name for name in directories if name != b".git"]
        links = [n for n in directories if os.path.islink(os.path.join(directory, n))]
        for name in [*names, *links]:
            path = os.path.join(directory, name)
            if name == b".git":
                continue
            relative = os.path.relpath(path, root)
            if os.path.islink(path):
                found[relative] = ("link", os.readlink(path))
            else:
                with open(path, "rb") as file:
                    executable = os.stat(path).st_mode & 0o100
                    found[relative] = ("x" if executable else "-", file.read())
    return found


def make_repository(top: Path, *, files: int = 2000, total_mib: int = 8, seed: int = 1) -> str:
    """Write a repository of `files` tracked files; return its commit.

    One file in eight is binary noise, the rest is text that deflates as source does.
    """
    init(top)
    rng = random.Random(seed)
    odd = _odd_files(rng)
    plain = files - len(odd) - 3
    mean = total_mib * 1024 * 1024 // plain
    for name, content in odd.items():
        write(top, name, content)
    for number in range(plain):
        size = int(mean * rng.uniform(0.2, 1.8))
        suffix = "bin" if number % 8 == 0 else "py"
        content = rng.randbytes(size) if suffix == "bin" else _text(rng, size)
        mode = 0o755 if number % 10 == 0 else 0o644
        write(top, f"src/part{number % 97}/unit{number}.{suffix}", content, mode=mode)
    os.symlink("part1", top / "src/link-to-directory")
    os.symlink("/etc/passwd", top / "link-out")
    _add_submodule(top)
    return commit(top, "everything")


def _odd_files(rng: random.Random) -> dict[bytes, bytes]:
    return {
        b".gitattributes": b"*.bin binary\n*.crlf text eol=crlf\n*.lfs filter=lfs diff=lfs -text\n",
        b".gitignore": b"*.o\nbuild/\n",
        b"empty": b"",
        b"windows.crlf": b"one\r\ntwo\r\n",
        b"no-newline": b"the end",
        b"name with spaces": b"x\n",
        b"tab\there": b"x\n",
        b"new\nline": b"x\n",
        b'quo"te\\back': b"x\n",
        "gr\u00fc\u00dfe/\u65e5\u672c\u8a9e.txt".encode(): b"unicode\n",
        b"latin-\xe9-\xff": b"no UTF-8\n",
        b"twin": b"lower\n",
        b"TWIN": b"upper\n",
        b"deep/" + b"/".join(b"d%d" % n for n in range(40)) + b"/leaf": b"deep\n",
        b"long/" + b"n" * 250: b"long\n",
        b"assets.lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        b"big.bin": rng.randbytes(1024 * 1024),
        b"-dash": b"x\n",
        b"escape-\x1b[31m": b"x\n",
    }


def _text(rng: random.Random, size: int) -> bytes:
    lines: list[bytes] = []
    length = 0
    while length < size:
        line = b"    " + b" ".join(rng.choices(WORDS, k=rng.randrange(2, 12)))
        line += b" = %d\n" % rng.randrange(10**6)
        lines.append(line)
        length += len(line)
    return b"".join(lines)


def _add_submodule(top: Path) -> None:
    """Add a submodule whose repository lies in the git directory, as after a clone."""
    source = init(top / ".git/submodule-source")
    write(source, "inside", b"in the submodule\n")
    commit(source)
    git(top, "submodule", "--quiet", "add", "--name", "sub", f"file://{source}", "vendor/sub")


if __name__ == "__main__":
    print(make_repository(Path(sys.argv[1]), files=int(sys.argv[2]), total_mib=int(sys.argv[3])))
