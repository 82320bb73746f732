"""The page in a real browser: a real front, sessions of a real agent, VMs of a scripted daemon."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from banger.client.client import Client
from banger.host.programs import find_tool
from tests.component.daemon.running import (
    banger,
    layout_of,
    popen,
    read_events,
    scripted_daemon,
    wait_until,
)
from tests.component.registry.hostile import Handler, hostile_registry
from tests.component.web.fronts import Environ, Front, running_front
from tests.component.web.page_daemon import WHY
from tests.support.agent import find_or_build_agent, running_agent
from tests.support.browsers import DEADLINE_S, Page, find_browser, open_page
from tests.support.environs import make_environ, make_short_dir

PROGRAM = find_browser()
AXE = Path(__file__).parents[2] / "support/axe/axe.min.js"
RECORD = """
window.faults = [];
const note = (...words) => faults.push(words.join(" "));
addEventListener("error", event => note(event.message, event.filename, event.lineno));
addEventListener("unhandledrejection", event => note(event.reason));
addEventListener("securitypolicyviolation", event => note(event.effectiveDirective, "refused"));
window.open = (...words) => note("open", ...words);
window.alert = (...words) => note("alert", ...words);
window.confirm = () => true;
"""
ORIGINS = "[...new Set(performance.getEntriesByType('resource').map(e => new URL(e.name).origin))]"
AXE_FINDINGS = """axe.run(document).then(({violations}) => violations
    .filter(({impact}) => impact == "serious" || impact == "critical")
    .map(({id, nodes}) => [id, nodes.map(({html}) => html)]))"""
SCREEN = "(document.querySelector('.xterm-rows')?.innerText ?? '').replaceAll('\\u00a0', ' ')"
BARS = "[...document.querySelectorAll('progress')]"
HOSTILE = "<img src=/x onerror=alert(1)>"
PLACES = ("", "create", "images", "operations", "doctor")
TABS = ("terminal", "changes", "ports", "logs", "network", "snapshots", "usage")

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no browser is installed")


@dataclass
class Site:
    """A front, and the environment of the daemon behind it."""

    environ: Environ
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def link(self) -> str:
        """Return a link with a new one-time token."""
        with Client(layout_of(self.environ), autostart=False) as client:
            return f"{self.origin}/#t={client.call('login.offer')['token']}"

    def do(self, *words: str) -> None:
        done = banger(self.environ, "vm", *words)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def site(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    environ = make_environ(make_short_dir(run_dir))
    binary = find_or_build_agent(tmp_path_factory.mktemp("agent"))
    output = tmp_path_factory.mktemp("front") / "output"
    with running_agent(binary) as agent:
        fd = os.dup(agent.socket.fileno())
        daemon = environ | {"BANGER_TEST_AGENT_FD": str(fd)}
        program = "tests.component.web.page_daemon"
        with scripted_daemon(daemon, program, pass_fds=(fd,)), contextlib.ExitStack() as stack:
            os.close(fd)
            yield Site(environ, stack.enter_context(running_front(environ, output)))


@pytest.fixture(scope="module")
def browser(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser that has logged in."""
    assert PROGRAM is not None
    with open_page(PROGRAM, tmp_path_factory.mktemp("browser")) as page:
        page.allow_copying()
        page.run_before(RECORD)
        page.visit(site.link())
        page.wait("document.querySelector('h1')")
        yield page


@pytest.fixture
def page(browser: Page, site: Site) -> Iterator[Page]:
    """The page, logged in; what went wrong in it fails the test."""
    browser.resize(1200)
    browser.visit(site.origin)
    yield browser
    assert browser.run("faults") == []
    assert browser.run(ORIGINS) == [site.origin]


@pytest.fixture
def vm(site: Site, page: Page) -> str:
    """The ID of a VM, and the page with it in its list."""
    name = f"vm-{len(read_events(site.environ))}"
    site.do("create", "--name", name, "--label", "notices=x")
    page.wait(f"document.body.innerText.includes({name!r})")
    (vm_id,) = page.run(
        f"[...document.links].filter(a => a.text == {name!r}).map(a => a.hash.split('/')[2])"
    )
    return str(vm_id)


def click(page: Page, label: str) -> None:
    """Click a button, as soon as there is one."""
    button = f"[...document.querySelectorAll('button')].find(b => b.textContent == {label!r})"
    page.wait(f"{button} && !{button}.disabled")
    page.run(f"{button}.click()")


def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        page.run(f"document.querySelector('[name={name}]').value = {value!r}; 0")


def go(page: Page, place: str) -> None:
    page.run(f"location.hash = '#/{place}'; 0")


def open_shell(page: Page, vm: str) -> None:
    """Open a terminal with a prompt."""
    go(page, f"vm/{vm}/terminal")
    click(page, "New shell")
    page.wait(f"/[$#] /.test({SCREEN})")
    page.wait("document.activeElement.closest('.terminal')")


def shown_to_the_end(word: str) -> str:
    """A condition: the screen has a line of this word, and a prompt after it.

    What is typed before a terminal has shown all that was there is dropped.
    """
    return f"/^{word}\\s*\\n+.*[$#] /m.test({SCREEN})"


def test_a_token_opens_the_page_once(site: Site, browser: Page) -> None:
    """E6: the token is in no history, and used up; without a session there is no page."""
    link = site.link()
    browser.visit("about:blank")
    browser.visit(link)
    browser.wait("document.querySelector('h1')")
    visited = [entry["url"] for entry in browser.call("Page.getNavigationHistory")["entries"]]
    assert visited[-1] == f"{site.origin}/#/" and not [url for url in visited if "t=" in url]
    browser.visit("about:blank")
    browser.visit(link)
    browser.wait("/Try: banger ui$/.test(document.querySelector('[role=alert]')?.innerText)")
    assert browser.run("document.querySelector('h1')") is None


def test_a_new_link_is_followed_where_the_page_is(site: Site, browser: Page) -> None:
    """Where the fragment alone changes, nothing is loaded."""
    browser.visit("about:blank")
    browser.visit(site.link())
    browser.wait("document.querySelector('h1')")
    click(browser, "Log out")
    browser.wait("document.querySelector('[role=alert]')")
    browser.visit(site.link())
    browser.wait("location.hash == '#/' && document.querySelector('h1')")
    browser.wait("!/Loading/.test(document.body.innerText)")
    assert browser.run("document.querySelector('[role=alert]')") is None


def test_a_place_that_is_chosen_while_the_page_is_drawn_is_shown(page: Page, site: Site) -> None:
    """Before the page listens to changes of the fragment."""
    source = """
    new MutationObserver((changes, drawn) => {
      if (!document.querySelector("header")) return;
      drawn.disconnect();
      location.hash = "#/images";
    }).observe(document, { childList: true, subtree: true });
    """
    script = page.call("Page.addScriptToEvaluateOnNewDocument", source=source)
    try:
        page.visit("about:blank")
        page.visit(site.origin)
        page.wait("document.querySelector('[name=ref]')")
    finally:
        page.call("Page.removeScriptToEvaluateOnNewDocument", **script)


def test_a_guest_on_another_port_does_not_get_a_login(page: Page, site: Site) -> None:
    """E6: it gets the cookie, but not the page's storage, with the other half, nor a Referer."""
    page.wait("localStorage['login-key']")
    with served_page() as (address, heads):
        page.leave(f"location = {address!r}; 0")
        page.wait(f"location.href == {address!r} && document.readyState == 'complete'")
        assert page.run("localStorage.length") == 0
        cookie = heads[0]["cookie"]
        page.visit(site.origin)
    assert "banger-" in cookie and "referer" not in heads[0]
    headers = {"Cookie": cookie, "Origin": site.origin, "Sec-Fetch-Site": "same-origin"}
    answer = Front(site.port, "", Path()).send(
        "POST", "/api/vm.list", None, {"Host": f"127.0.0.1:{site.port}", **headers}
    )
    assert (answer.status, answer.json["code"]) == (401, "token-invalid")


@contextlib.contextmanager
def served_page() -> Iterator[tuple[str, list[Message]]]:
    """A page at another port of the front's address, and the heads of requests for it."""
    heads: list[Message] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heads.append(self.headers)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", heads
        finally:
            server.shutdown()
            thread.join()


def test_the_list_tells_what_vms_are_and_take(page: Page, vm: str, site: Site) -> None:
    row = f"[...document.links].find(a => a.hash.includes({vm!r})).closest('tr')"
    page.wait(f"/40.0 MiB of 512 MiB\\s+25.0 %\\s+80 8000/.test({row}.innerText)")
    site.do("pause", vm)
    page.wait("document.querySelector('.state.paused')")
    page.wait(f"!/80 8000/.test({row}.innerText)")
    site.do("resume", vm)
    page.wait("!document.querySelector('.state.paused')")
    site.do("delete", "--yes", vm)
    page.wait(f"![...document.links].some(a => a.hash.includes({vm!r}))")


def test_a_terminal_is_a_session_that_is_found_again(page: Page, vm: str) -> None:
    open_shell(page, vm)
    page.type("printf '\\e[38;2;255;100;0mcol%s\\e[0m\\n' our\r")
    page.wait(f"/^colour/m.test({SCREEN})")
    spans = "[...document.querySelectorAll('.xterm-rows span')]"
    colour = f"getComputedStyle({spans}.find(s => /^colour/.test(s.innerText))).color"
    page.wait(f"{colour} == 'rgb(255, 100, 0)'")
    bar = "(view => view.offsetWidth - view.clientWidth)(document.querySelector('.xterm-viewport'))"
    assert page.run(bar) == 0, "a scroll bar beside the terminal's own"
    page.type("stty size\r")
    page.wait(f"/^\\d+ \\d+/m.test({SCREEN})")
    wide = page.run(f"Number({SCREEN}.match(/^\\d+ (\\d+)/m)[1])")
    page.resize(700)
    page.wait("document.querySelector('.xterm-screen').offsetWidth < 700")
    page.type("clear; while sleep 0.1; do stty size; done\r")
    page.wait(f"(({SCREEN}.match(/^\\d+ (\\d+)/m) ?? [])[1] ?? 999) < {wide}")
    page.type("\x03echo mark$((6*7))\r")
    page.wait(f"/^mark42/m.test({SCREEN})")
    page.visit("about:blank")
    page.leave("history.back(); 0")
    page.wait(shown_to_the_end("mark42"))
    page.type("exit\r")
    page.wait("/ended with status 0/.test(document.body.innerText)")


def test_a_guest_s_output_does_nothing(page: Page, vm: str) -> None:
    """Neither HTML nor what escapes ask of a terminal: titles, links, the clipboard, answers."""
    open_shell(page, vm)
    title = page.run("document.title")
    link = "\\e]8;;javascript:alert(2)\\aclick\\e]8;;\\a"
    page.type(f"printf '\\e]0;evil\\a\\e]52;c;ZXZpbA==\\a{link}\\n{HOSTILE}\\n'\r")
    page.wait(f"/^<img src=.x/m.test({SCREEN})")
    page.wait(f"/^click/m.test({SCREEN})")
    go(page, f"vm/{vm}/logs")
    page.wait("[...document.querySelectorAll('option')].some(o => /^Session/.test(o.text))")
    page.wait("/^booting\\\\u0007/m.test(document.querySelector('pre').textContent)")
    page.run(
        "(() => { const logs = document.querySelector('select');"
        " logs.selectedIndex = logs.options.length - 1;"
        " logs.dispatchEvent(new Event('change')); })()"
    )
    page.wait(f"document.querySelector('pre').textContent.includes({HOSTILE!r})")
    assert page.run("document.querySelector('img')") is None
    assert page.run("document.title") == title


def test_a_selection_is_copied_and_a_guest_copies_nothing(page: Page, vm: str) -> None:
    """E3: by a key and by a button; an escape (OSC 52) leaves the clipboard as it is."""
    open_shell(page, vm)
    page.type("clear; for n in 1 2; do echo mark$n$n; done\r")
    lines = "[...document.querySelectorAll('.xterm-rows > div')]"

    def copy(word: str, press: Callable[[], None]) -> str:
        """Select a word by a double click, copy it, and return what is pasted then."""
        go(page, f"vm/{vm}/terminal")
        page.wait(f"/^mark11/m.test({SCREEN}) && {shown_to_the_end('mark22')}")
        page.click_twice(f"{lines}.find(line => line.innerText.startsWith({word!r}))")
        press()
        return paste(page)

    wait_until(
        lambda: copy("mark11", lambda: page.press("C", 67, shift=True, control=True)) == "mark11",
        "what the key copies",
    )
    wait_until(
        lambda: copy("mark22", lambda: click(page, "Copy the selection")) == "mark22",
        "what the button copies",
    )
    go(page, f"vm/{vm}/terminal")
    page.wait(f"{shown_to_the_end('mark22')} && document.activeElement.closest('.terminal')")
    page.type("printf '\\e]52;c;ZXZpbA==\\a'; echo mark$((3*11))\r")
    page.wait(f"/^mark33/m.test({SCREEN})")
    wait_until(lambda: paste(page) == "mark22", "what was copied before")


def test_a_browser_that_does_not_copy_is_told_of(page: Page, vm: str) -> None:
    """By a key and by a button, until the next copy."""
    refused = "/does not let this page copy/.test(document.querySelector('[role=alert]').innerText)"
    clipboard = "Object.defineProperty(navigator, 'clipboard', {value: %s, configurable: true}); 0"
    open_shell(page, vm)
    for press in (
        lambda: page.press("C", 67, shift=True, control=True),
        lambda: click(page, "Copy the selection"),
    ):
        page.run(clipboard % "{writeText: async () => { throw new DOMException('no'); }}")
        press()
        page.wait(refused)
        page.run(clipboard % "{writeText: async () => {}}")
        press()
        page.wait("!document.querySelector('[role=alert]')")
        page.run("document.querySelector('.terminal textarea').focus()")


def paste(page: Page) -> str:
    """Return what a field of a form gets from the clipboard."""
    go(page, "create")
    page.wait("document.querySelector('[name=name]')")
    page.run("(f => { f.value = ''; f.focus(); })(document.querySelector('[name=name]'))")
    page.press("V", 86, control=True, commands=("paste",))
    return str(page.run("document.querySelector('[name=name]').value"))


def test_invisible_characters_are_seen(page: Page) -> None:
    """E3: also those that turn text round, and letters of tags, which hide whole sentences."""
    text = "a\u061c\u202e\ufeff\U000e0041\x07\t\n\x1b[31mé😀"
    shown = page.run(f"import('/static/text.js').then(t => t.printable({json.dumps(text)}))")
    assert shown == r"a\u061c\u202e\ufeff\ue0041\u0007" + "\t\né😀"


def test_old_queries_are_not_answered_again(page: Page, vm: str) -> None:
    """A reload shows them again; the answers would be typed into the shell."""
    open_shell(page, vm)
    page.type("stty -echo -icanon; printf '\\e[c'; head -c 7 | cat -v; stty sane\r")
    page.wait(f"/^[^$#]*\\^\\[\\[\\?1;2c/m.test({SCREEN})")
    page.type("echo first\r")
    page.wait(f"/^first/m.test({SCREEN})")
    page.visit("about:blank")
    page.leave("history.back(); 0")
    page.wait(shown_to_the_end("first"))
    page.type("echo second\r")
    page.wait(f"/^second/m.test({SCREEN})")
    assert "not found" not in page.run(SCREEN)


def test_keys_leave_the_terminal(page: Page, vm: str) -> None:
    open_shell(page, vm)
    page.press("Escape", 27, shift=True)
    page.wait("document.activeElement.closest('.actions')")


def test_changes_are_text_and_become_a_branch(page: Page, vm: str, site: Site) -> None:
    go(page, f"vm/{vm}/changes")
    page.wait("document.querySelector('details .removed')")
    assert page.run("[...document.querySelectorAll('summary')].at(-1).textContent") == "x"
    assert page.run("document.querySelector('.removed').textContent") == "-old red\\u0007\n"
    fill(page, branch="banger/result")
    click(page, "Create the branch")
    page.wait("/banger.result: 1 commits, 1 files/.test(document.body.innerText)")
    assert re.fullmatch("exported vm-.* True False", read_events(site.environ)[-1])


def test_a_denied_target_is_allowed(page: Page, vm: str, site: Site) -> None:
    go(page, f"vm/{vm}/network")
    click(page, "Allow")
    rows = "[...document.querySelectorAll('[aria-label=Denied] tbody tr')]"
    page.wait(f"/^10.1.2.3:80.tcp\\s+3/.test({rows}[0].innerText)")
    wait_until(lambda: "allow 10.1.2.3:80/tcp" in read_events(site.environ), "the rule")
    assert page.run(f"{rows}.map(r => r.cells[3].innerText)")[1:] == list(WHY)


def test_the_secrets_of_a_vm_are_told(page: Page, vm: str) -> None:
    go(page, f"vm/{vm}/network")
    page.wait("document.querySelector('[aria-label=Secrets] tbody')")
    cells = "[...document.querySelectorAll('[aria-label=Secrets] td')].map(td => td.innerText)"
    assert page.run(cells) == ["TOKEN", "api.example, *.example.org:8443", "x-key"]


def test_a_pull_shows_how_far_it_is(page: Page, site: Site) -> None:
    go(page, "images")
    page.wait("document.querySelector('[name=ref]')")
    fill(page, ref="registry.test/alpine")
    click(page, "Pull")
    page.wait("document.querySelectorAll('progress').length == 2")
    assert "<b>layer</b>, 2.0 MiB" in page.run("document.querySelector('.stage').innerText")
    (layout_of(site.environ).state / "gate").touch()
    page.wait("/There is no image registry.test.alpine/.test(document.body.innerText)")


@pytest.mark.skipif(find_tool("sqfstar") is None, reason="sqfstar is not installed")
def test_an_image_comes_from_a_registry(browser: Page, real: Front, real_environ: Environ) -> None:
    """H9: by a real daemon; how much of a layer is here is seen while the rest is not sent."""
    rows = "[...document.querySelectorAll('tr')]"
    with half_sent_image() as (reference, gate):
        image = f"{rows}.find(row => row.innerText.includes({reference!r}))"
        browser.visit(Site(real_environ, real.port).link())
        go(browser, "images")
        browser.wait("document.querySelector('[name=ref]')")
        fill(browser, ref=reference)
        click(browser, "Pull")
        browser.wait(f"{BARS}.some(bar => 0 < bar.value && bar.value < bar.max)")
        gate.set()
        browser.wait(image)
    browser.run(f"{image}.querySelector('button').click()")
    browser.wait(f"!{image}")
    assert browser.run("faults") == []


@contextlib.contextmanager
def half_sent_image() -> Iterator[tuple[str, threading.Event]]:
    """An image of a registry that sends the second half of its layer when it is told to."""
    gate = threading.Event()

    def send(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        gate.wait(DEADLINE_S)
        handler.wfile.write(content[len(content) // 2 :])

    with hostile_registry() as registry:
        registry.add_image("x", os.urandom(3_000_000))
        content = registry.blobs[registry.digests[0]]
        registry.routes[registry.blob_path("x")] = send
        try:
            yield f"{registry.address}/x", gate
        finally:
            gate.set()


def test_an_operation_is_cancelled(page: Page, site: Site) -> None:
    """Whoever waits for it is told."""
    gate = layout_of(site.environ).state / "gate"
    gate.unlink(missing_ok=True)
    row = (
        "[...document.querySelectorAll('tbody tr')]"
        ".find(r => /^image.pull\\s.*\\spull\\s/.test(r.innerText))"
    )
    go(page, "operations")
    with popen(site.environ, "image", "pull", "registry.test/alpine") as pull:
        try:
            page.wait(f"{row}?.querySelector('button')")
            page.run(f"{row}.querySelector('button').click()")
            page.wait(f"!{row}")
            _, said = pull.communicate(timeout=DEADLINE_S)
        finally:
            gate.touch()
    assert b"cancel" in said and pull.returncode == 130
    assert page.run("document.querySelector('[role=alert]')") is None


def test_what_a_vm_used_is_drawn(page: Page, vm: str) -> None:
    go(page, f"vm/{vm}/usage")
    page.wait("document.querySelectorAll('figure').length == 3")
    assert page.run("[...document.querySelectorAll('figcaption')].map(c => c.innerText)") == [
        "CPU: 50.0 % now, at most 100.0 % in 2 min",
        "Memory: 100 MiB now, at most 100 MiB in 2 min",
        "Disk: 5.0 MiB now, at most 5.0 MiB in 2 min",
    ]
    line = "document.querySelector('polyline').getAttribute('points')"
    assert page.run(line) == "0.0,90.0 300.0,0.0 600.0,60.0"
    assert "512 MiB" in page.run("document.querySelector('dl').innerText")


def test_the_host_is_checked(page: Page, site: Site) -> None:
    """As by the command line, whose facts are shown."""
    said = banger(site.environ, "doctor", "--json").stdout
    names = [check["name"] for check in json.loads(said)["checks"]]
    go(page, "doctor")
    page.wait(
        "/^This host is (not )?ready/.test(document.querySelector('[role=status]')?.innerText)"
    )
    shown = "[...document.querySelectorAll('tbody tr')].map(r => r.cells[0].innerText)"
    assert page.run(shown) == names
    assert page.run("document.querySelector('tbody .state').innerText") in ("ok", "warn", "fail")


def test_ports_are_links_or_tell_why_not(page: Page, vm: str) -> None:
    go(page, f"vm/{vm}/ports")
    page.wait("/listens at 127.77.3.9:8000 on this host/.test(document.body.innerText)")


def test_of_two_ports_with_a_number_the_one_meant_is_closed(
    page: Page, vm: str, site: Site
) -> None:
    go(page, f"vm/{vm}/ports")
    for place, protocol in (("[::1]:53", "tcp"), ("[::1]:53", "udp")):
        button = (
            "[...document.querySelectorAll('tr')].find(r => r.innerText.startsWith("
            f"'53/{protocol}') && r.innerText.includes('{place}'))?.querySelector('button')"
        )
        page.wait(button)
        page.run(f"{button}.click()")
        wait_until(
            lambda wanted=f"closed {place}/{protocol}": wanted in read_events(site.environ),
            "the end of the port",
        )


def test_snapshots_and_forks_are_a_tree(page: Page, vm: str) -> None:
    go(page, f"vm/{vm}/snapshots")
    page.wait("document.querySelector('[name=name]')")
    fill(page, name="before")
    click(page, "Take a snapshot")
    page.wait("/before, 1.4 MiB/.test(document.querySelector('.tree').innerText)")
    fill(page, number="2")
    click(page, "Fork")
    clones = "[...document.querySelectorAll('.tree a')]"
    page.wait(f"{clones}.filter(a => /^vm-[0-9]+-[12]$/.test(a.text)).length == 2")
    page.run(f"{clones}.find(a => a.text.endsWith('-1')).click()")
    page.wait("document.querySelector('h1').innerText.includes('-1')")
    click(page, "Fork")
    page.wait(f"{clones}.some(a => a.text.endsWith('-1-1'))")
    go(page, f"vm/{vm}/snapshots")
    page.wait(f"{clones}.some(a => /^vm-[0-9]+-1-1$/.test(a.text))")
    place = f"{clones}.find(a => a.text.endsWith('-1-1')).closest('ul').closest('li').closest('ul')"
    page.wait(f"{place}.closest('li').querySelector('a').text.endsWith('-1')")


def test_a_vm_is_made_by_the_form(page: Page, site: Site) -> None:
    go(page, "create")
    page.wait("document.querySelector('[name=repository]')")
    fill(page, name="formed", repository="/srv/project")
    click(page, "Create")
    page.wait("/^#.vm.[0-9a-f]+$/.test(location.hash)")
    page.wait("document.querySelector('h1').innerText.startsWith('formed')")
    assert read_events(site.environ)[-2:] == ["created formed", "prepared formed"]


def test_a_refusal_is_told_with_its_remedy(page: Page) -> None:
    go(page, "create")
    page.wait("document.querySelector('[name=name]')")
    fill(page, name="unbootable")
    click(page, "Create")
    page.wait("document.querySelector('[role=alert]')")
    said = page.run("document.querySelector('[role=alert]').innerText")
    assert said.split("\n") == ["The VM did not boot.", "", "Try: banger vm logs unbootable"]


def test_a_stream_that_fails_is_told(page: Page, site: Site) -> None:
    """Its answer has no end; a browser may drop what it has of it."""
    site.do("create", "--name", "unsafe", "--label", "unsafe=x")
    said = page.run(
        "import('/static/api.js').then(async ({read}) => { try {"
        " for await (const piece of read('workspace.export', {ref: 'unsafe'})); return 'all';"
        " } catch (error) { return error.message; } })"
    )
    assert said == "The web front's answer broke off."


@pytest.mark.parametrize(("width", "dark"), [(380, True), (1600, False)])
def test_every_view_is_for_everybody(page: Page, vm: str, width: int, dark: bool) -> None:
    """By axe-core; and nothing is wider than the window."""
    page.run(AXE.read_text() + "; 0")
    page.resize(width, dark=dark)
    for place in [*PLACES, *(f"vm/{vm}/{tab}" for tab in TABS)]:
        go(page, place)
        page.wait("document.querySelector('main h1') && !/Loading/.test(document.body.innerText)")
        assert page.run(AXE_FINDINGS) == [], place
        assert page.run("document.documentElement.scrollWidth") <= width, place
