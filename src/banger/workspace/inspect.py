"""Read everything about a host repository that an import needs, and change nothing.

No VM, no lock (hazard C1): the facts are a value that can be printed (`--dry-run`) or
imported later. Their names and index are consistent: the index is a private copy, refreshed
by git, and git listed the names from that copy. Contents are read only when they are sent.

Reads the repository through `git.py`; writes only in a private temporary directory,
which is removed on return.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from banger.errors import BranchConflict, InvalidRequest, RepositoryRefused, ToolFailed
from banger.workspace.excluding import Exclusion, exclusion_of
from banger.workspace.facts import FileKind, History, RepositoryFacts, Submodule, WorkFile
from banger.workspace.git import host_git, shadow_git
from banger.workspace.history import load_history
from banger.workspace.largefiles import choose_large_files
from banger.workspace.listing import (
    Listing,
    gitlinks,
    list_names,
    parse_tree,
    require_safe,
    skip_entries,
    survey,
    tree_kind,
)
from banger.workspace.locate import Places, locate_places
from banger.workspace.names import parents
from banger.workspace.settings import is_partial_clone, load_config, load_settings
from banger.workspace.shadow import copy_index, make_shadow, private_dir, set_boundary
from banger.workspace.submodules import find_submodules
from banger.workspace.trees import list_tree, stage


@dataclass(frozen=True)
class _Head:
    commit: str | None
    branch: str | None


@dataclass(frozen=True)
class _Options:
    include_untracked: bool
    branch: str | None
    from_ref: str | None
    full: bool
    exclude: bytes
    scratch: Path | None
    renews: bool = False


async def inspect_repository(
    path: str | os.PathLike[str],
    *,
    include_untracked: bool = False,
    branch: str | None = None,
    from_ref: str | None = None,
    full: bool = False,
    exclude: bytes = b"",
    scratch: Path | None = None,
    renews: bool = False,
) -> RepositoryFacts:
    """Return the facts about the repository that contains `path`.

    `branch` is the new branch to create in the guest, at `from_ref` (default: the
    commit that is checked out). `full`: with all history and the contents of submodules.
    `exclude`: patterns of what is left out, as an ignore file. `scratch` is the parent of the
    temporary directory. `renews`: an earlier copy created `branch`, which may exist by now.

    Raises:
        NotARepository: see `locate_repository`.
        RepositoryRefused: no commit yet, objects missing, names that no file may have, ...
        InvalidRequest: `branch` or `from_ref` is not valid.
        BranchConflict: `branch` already exists, and the copy does not renew another.
    """
    places = await asyncio.to_thread(locate_places, path)
    options = _Options(include_untracked, branch, from_ref, full, exclude, scratch, renews)
    return await _inspect(places, options)


async def _inspect(places: Places, options: _Options, *, below: bytes = b"") -> RepositoryFacts:
    head, config = await asyncio.gather(_read_head(places), load_config(places))
    branch = options.branch
    commit = await _resolve(places, head, options)
    settings = await load_settings(places, config)
    history = await load_history(places, config, branch=branch) if options.full else None
    with private_dir(options.scratch) as directory:
        git_dir = make_shadow(directory, places, commit=commit, settings=settings)
        parents = await _require_commit(places, git_dir, commit)
        if is_partial_clone(config):
            await _require_objects(places, git_dir, commit, history)
        facts = RepositoryFacts(
            places=places,
            head_commit=head.commit,
            head_branch=head.branch,
            commit=commit,
            branch=branch or head.branch,
            has_parents=parents,
            index=None,
            index_mtime_s=0,
            files=(),
            changes=(),
            untracked=(),
            untracked_included=options.include_untracked,
            conflicts=(),
            submodules=(),
            left_out=(),
            settings=settings,
            history=history,
            patterns=options.exclude,
            below=below,
        )
        facts = await choose_large_files(await _with_names(facts, git_dir), git_dir)
        return await _with_submodules(facts, git_dir, config, options)


async def _with_submodules(
    facts: RepositoryFacts, git_dir: Path, config: Mapping[str, bytes], options: _Options
) -> RepositoryFacts:
    """Complete a full copy with the contents of submodules, and of those within them.

    `--from` another commit may need other commits of them: then their directories stay empty.
    """
    if facts.history is None or facts.other_commit:
        return facts
    names = [file.name for file in facts.files if file.kind is FileKind.GITLINK]
    inner = replace(options, branch=None, from_ref=None)
    found = []
    async for each in find_submodules(facts.places, git_dir, names, config):
        contents = await _inspect(each.places, inner, below=facts.below + each.name + b"/")
        found.append(Submodule(each.name, each.label, each.url, contents))
    return replace(facts, history=replace(facts.history, submodules=tuple(found)))


async def _read_head(places: Places) -> _Head:
    named, resolved = await asyncio.gather(
        host_git(places.top, "symbolic-ref", "--quiet", "HEAD", ok=(0, 1)),
        host_git(places.top, "rev-parse", "--verify", "--quiet", "HEAD", ok=(0, 1, 128)),
    )
    ref = os.fsdecode(named.stdout).rstrip("\n")
    branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None
    return _Head(resolved.text.strip() or None if resolved.status == 0 else None, branch)


async def _resolve(places: Places, head: _Head, options: _Options) -> str:
    """Return the commit to check out in the guest; check the new branch's name."""
    branch, from_ref = options.branch, options.from_ref
    if from_ref is not None and branch is None:
        raise InvalidRequest("--from needs --branch.", hint="add --branch NAME")
    if branch is not None and not options.renews:
        await require_branch_name(places, branch)
        ref = f"refs/heads/{branch}"
        exists = await host_git(places.top, "show-ref", "--verify", "--quiet", ref, ok=(0, 1))
        if exists.status == 0:
            raise BranchConflict(
                f"A branch {branch} already exists in {places.top}.",
                hint=f"choose another name, or: git -C {places.top} switch {branch}",
            )
    if from_ref is not None:
        return await _resolve_ref(places, from_ref)
    if head.commit is None:
        raise RepositoryRefused(
            f"The repository at {places.top} has no commit yet.",
            hint=f"git -C {places.top} commit --allow-empty -m start",
        )
    return head.commit


async def require_branch_name(places: Places, branch: str) -> None:
    """Check the name of a branch.

    Raises:
        InvalidRequest: git does not allow the name.
    """
    bad = branch.startswith("-") or branch == "HEAD" or not branch or "\0" in branch
    if not bad:
        checked = await host_git(
            places.top, "check-ref-format", f"refs/heads/{branch}", ok=(0, 1, 128)
        )
        bad = checked.status != 0
    if bad:
        raise InvalidRequest(
            f"{branch!r} is not a valid branch name.", hint="git help check-ref-format"
        )


async def _resolve_ref(places: Places, ref: str) -> str:
    refused = InvalidRequest(
        f"{ref!r} does not name a commit in {places.top}.",
        hint=f"git -C {places.top} log --all --oneline",
    )
    if ref.startswith("-") or not ref or "\0" in ref:
        raise refused
    resolved = await host_git(
        places.top, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", ok=(0, 1, 128)
    )
    if resolved.status:
        raise refused
    return resolved.text.strip()


async def _require_commit(places: Places, git_dir: Path, commit: str) -> bool:
    """Check that the commit exists; return whether it has parents."""
    shown = await shadow_git(git_dir, places.top, "cat-file", "commit", commit, ok=(0, 128))
    if shown.status:
        details = shown.stderr.decode("utf-8", "replace")
        raise _objects_missing(places, commit, details)
    return b"\nparent " in shown.stdout.partition(b"\n\n")[0]


async def _require_objects(
    places: Places, git_dir: Path, commit: str, history: History | None
) -> None:
    """Check that a partial clone has every object to copy: of the commit, or of all history."""
    starts = [f"{commit}^{{tree}}"]
    if history is not None:
        set_boundary(git_dir, history.boundary)
        starts = [commit, *(ref.target for ref in history.refs if not ref.is_symbolic)]
    listed = await shadow_git(
        git_dir,
        places.top,
        *("rev-list", "--objects", "--missing=print", "--stdin"),
        stdin="".join(f"{start}\n" for start in starts).encode(),
    )
    if b"\n?" in b"\n" + listed.stdout:
        raise _objects_missing(places, commit, "")


def _objects_missing(places: Places, commit: str, details: str) -> RepositoryRefused:
    return RepositoryRefused(
        f"Objects of commit {commit[:12]} are missing in {places.top} (a partial clone?).",
        hint=f"git -C {places.top} fetch --refetch --no-filter origin",
        details=details,
    )


async def _with_names(facts: RepositoryFacts, git_dir: Path) -> RepositoryFacts:
    """Complete the facts from the index and the work tree."""
    head_of_index = facts.head_commit or facts.commit
    (git_dir / "HEAD").write_text(f"{head_of_index}\n")
    indexed = copy_index(facts.places, git_dir)
    try:
        listing = await list_names(git_dir, facts.places)
    except ToolFailed as error:
        raise RepositoryRefused(
            f"git cannot read the index of {facts.top}.",
            hint=f"git -C {facts.top} status",
            details=error.details,
        ) from error
    exclusion = exclusion_of(facts, git_dir.parent)
    if facts.other_commit:
        return await _with_other_commit(facts, git_dir, listing, exclusion)
    excluded = await exclusion.find([*listing.names, *listing.untracked], gitlinks(listing.tracked))
    await _skip(git_dir, facts, listing, excluded)
    tracked = listing.names
    listing = listing.without(excluded)
    wanted = listing.tracked | dict.fromkeys(
        listing.untracked if facts.untracked_included else (), 0
    )
    files, left_out = await asyncio.to_thread(survey, facts.top, wanted)
    index = git_dir / "index"
    return replace(
        facts,
        index=index.read_bytes() if indexed else None,
        index_mtime_s=int(index.stat().st_mtime) if indexed else 0,
        files=files,
        changes=listing.changes,
        untracked=listing.untracked,
        conflicts=listing.conflicts,
        submodules=gitlinks(listing.tracked),
        left_out=left_out + listing.nested,
        excluded=tuple(sorted(tracked & excluded)),
    )


async def _skip(
    git_dir: Path, facts: RepositoryFacts, listing: Listing, excluded: frozenset[bytes]
) -> None:
    """Have the index say of excluded files what the commit says, and that they are not there.

    Raises:
        RepositoryRefused: one of them has a conflict.
    """
    if conflicts := excluded.intersection(listing.conflicts):
        raise RepositoryRefused(
            f"{os.fsdecode(min(conflicts))!r} is excluded and has a conflict.",
            hint=f"git -C {facts.top} status",
        )
    names = excluded & listing.names
    if changed := [change.name for change in listing.changes if change.name in excluded]:
        committed = await list_tree(git_dir, facts.commit)
        entries = {name: committed[name] for name in changed if name in committed}
        await stage(
            git_dir, facts.commit, removed=set(changed) - entries.keys(), changed=entries.items()
        )
        names &= listing.tracked.keys() - set(changed) | entries.keys()
    await skip_entries(git_dir, facts.top, names)


async def _with_other_commit(
    facts: RepositoryFacts, git_dir: Path, listing: Listing, exclusion: Exclusion
) -> RepositoryFacts:
    """Complete the facts for `--from` another commit: from its tree, not the work tree.

    `git switch -c B REF` carries changes over if they do not collide. Collisions are hard
    to predict from outside, so changed tracked files are refused; untracked files are
    carried over if their names are free.
    """
    if listing.changes:
        raise RepositoryRefused(
            f"{len(listing.changes)} tracked files in {facts.top} have changes, and --from names "
            "another commit than the one that is checked out.",
            hint=f"commit first (git -C {facts.top} status), or leave out --from",
        )
    listed = await shadow_git(git_dir, facts.top, "ls-tree", "-r", "-z", "--long", facts.commit)
    modes, sizes = parse_tree(listed.stdout)
    require_safe(modes, facts.places)
    excluded = await exclusion.find([*modes, *listing.untracked], gitlinks(modes))
    listing = listing.without(excluded)
    kept = {name: mode for name, mode in modes.items() if name not in excluded}
    files = [WorkFile(name, tree_kind(mode), sizes[name]) for name, mode in kept.items()]
    extra: dict[bytes, int] = {}
    if facts.untracked_included:
        _require_free(listing.untracked, modes, facts)
        extra = dict.fromkeys(listing.untracked, 0)
    carried, left_out = await asyncio.to_thread(survey, facts.top, extra)
    return replace(
        facts,
        files=tuple(sorted((*files, *carried), key=lambda file: file.name)),
        untracked=listing.untracked,
        submodules=gitlinks(kept),
        left_out=left_out + listing.nested,
        excluded=tuple(sorted(excluded.intersection(modes))),
    )


def _require_free(
    untracked: Iterable[bytes], tree: dict[bytes, int], facts: RepositoryFacts
) -> None:
    """Check that no untracked file collides with a name of the other commit."""
    directories = {above for name in tree for above in parents(name)}
    for name in untracked:
        if name in tree or name in directories or not set(parents(name)).isdisjoint(tree):
            raise RepositoryRefused(
                f"The untracked file {os.fsdecode(name)!r} conflicts with a file in "
                f"{facts.commit[:12]}.",
                hint=f"git -C {facts.top} status, then move it away",
            )
