"""Images that hold one program, made in a moment: for how guests of odd images boot."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping

from banger.artifacts.store import hash_file
from banger.engine.verbs.kernels import find_agent
from banger.images.local import ROOT, open_store
from banger.images.plan import plan_sqfstar
from banger.model.artifacts import Image
from tests.support.installations import Installation


def make_bare_image(
    banger: Installation, links: Mapping[str, str], *, init: str | None = None
) -> str:
    """Publish an image that holds the agent as its only program, and these symbolic links."""
    name = f"test-bare-{hashlib.sha256(repr((links, init)).encode()).hexdigest()[:12]}"
    buffer = io.BytesIO()
    program = find_agent()[0].read_bytes()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("program")
        member.mode, member.size = 0o755, len(program)
        tar.addfile(member, io.BytesIO(program))
        for link, target in links.items():
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    staged = banger.layout.staging / name
    staged.mkdir(parents=True)
    subprocess.run(plan_sqfstar(staged / ROOT), input=buffer.getvalue(), check=True)
    digest = hash_file(staged / ROOT)
    image = Image(
        digest=digest,
        name=name,
        created_at=1.0,
        size_bytes=(staged / ROOT).stat().st_size,
        root=ROOT,
        root_sha256=digest,
        init=init,
        source="test",
    )
    open_store(banger.layout).publish(staged, image)
    shutil.rmtree(staged, ignore_errors=True)
    return name
