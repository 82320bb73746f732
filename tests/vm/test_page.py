"""The page on a real daemon, front and VM: made from a repository, used, and what comes back."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.component.web.test_page import (
    PROGRAM,
    RECORD,
    SCREEN,
    click,
    fill,
    go,
    open_shell,
    shown_to_the_end,
)
from tests.support import repositories
from tests.support.browsers import open_page
from tests.support.installations import Installation
from tests.support.repositories import git
from tests.support.vms import TINY_IMAGE
from tests.vm.test_links import HELLO, link_of, linked
from tests.vm.test_ports import serve

__all__ = ["linked"]

STATUS = "document.querySelector('section [role=status]').textContent"
NOTE_BREAK = f"""new MutationObserver(() => window.broke ||= {STATUS} != '').observe(
    document.querySelector('section'), {{subtree: true, childList: true, characterData: true}})"""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no browser is installed")


def test_work_in_a_vm_by_the_page(linked: Installation, tmp_path: Path) -> None:
    """The daemon is restarted in the middle, which no view has to be told of."""
    assert PROGRAM is not None
    project = repositories.init(tmp_path / "project")
    repositories.write(project, "answer", b"41\n")
    repositories.commit(project)
    linked.environ["BANGER_TEMPLATE_ENABLED"] = "off"  # it would serve this VM alone
    front = linked.start("ui", "--no-browser", "--listen", "127.0.0.1:0")
    assert front.stdout is not None
    try:
        with open_page(PROGRAM, tmp_path / "browser") as page:
            page.run_before(RECORD)
            page.visit(front.stdout.readline().decode().strip())
            go(page, "create")
            page.wait("document.querySelector('[name=repository]')")
            fill(page, name="heron", image=TINY_IMAGE, repository=str(project))
            fill(page, memory_mib="256", vcpu="1")
            click(page, "Create")
            page.wait("/^#.vm.[0-9a-f]+$/.test(location.hash)")
            vm = linked.vm("heron")["id"]
            open_shell(page, vm)
            page.type("echo 42 > answer; echo mark$((6*7))\r")
            page.wait(f"/^mark42/m.test({SCREEN})")
            page.run(NOTE_BREAK)
            linked.do("daemon", "restart")
            page.wait(f"window.broke && {STATUS} == ''")
            page.wait(shown_to_the_end("mark42"))
            page.type("echo again$((7*7))\r")
            page.wait(f"/^again49/m.test({SCREEN})")

            go(page, f"vm/{vm}/changes")
            page.wait("document.querySelector('details .added')?.textContent == '+42\\n'")
            fill(page, branch="answered")
            click(page, "Create the branch")
            page.wait("/answered: 1 commits, 1 files/.test(document.body.innerText)")
            assert git(project, "show", "answered:answer") == b"42\n"

            serve(linked, "heron", "127.0.0.1", 8000, says=HELLO)
            link = link_of(linked, "heron", 8000)
            go(page, f"vm/{vm}/ports")
            page.wait(f"[...document.links].some(a => a.href == {link!r})")

            go(page, f"vm/{vm}/snapshots")
            click(page, "Fork")
            page.wait("[...document.querySelectorAll('.tree a')].some(a => a.text == 'heron-1')")
            assert page.run("faults") == []
            page.visit(link)
            assert "heron" in page.run("document.body.innerText")
    finally:
        front.send_signal(signal.SIGINT)
        front.communicate(timeout=60)
    assert front.returncode == 0
