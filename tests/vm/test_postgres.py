"""A database in a guest, and the host's own client of it: psql at the VM's address.

The server is the host's own, copied into the guest, so the host needs one, of the guest's release;
`make test` installs none, since the package starts a server on the host.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installations import Installation, wait_for
from tests.support.ssh import free_port
from tests.vm.test_ports import ports_of

RELEASE = "bookworm"
FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
NEEDED = ("plpgsql.so", "dict_snowball.so")
PORT = free_port()
"""Of the database, which nobody on this host may have on all addresses."""
LINES = 20_000
WHERE = "/srv/postgres"
DATABASE = "template1"
DROP_OTHERS = b"""update pg_database set datistemplate = false;
drop database template0;
drop database postgres;
"""
"""A third of the files is copied then."""

pytestmark = pytest.mark.skipif(
    not FOUND or platform.freedesktop_os_release().get("VERSION_CODENAME") != RELEASE,
    reason=f"this host has no PostgreSQL server of Debian {RELEASE}",
)


def gather(folder: Path) -> Path:
    """Put the host's server, what it is linked with, and an empty database into a directory."""
    server = FOUND[-1]
    version = server.parent.parent
    zones = Path("usr/share/postgresql", version.name, "timezonesets")
    shutil.copytree("/" / zones, folder / zones)
    inside = folder / version.relative_to("/")
    for part in ("bin", "lib"):
        (inside / part).mkdir(parents=True)
    shutil.copy(server, inside / "bin")
    for name in NEEDED:
        shutil.copy(version / "lib" / name, inside / "lib")
    (folder / "libraries").mkdir()
    linked = subprocess.run(["ldd", server], capture_output=True, text=True, check=True).stdout
    for line in linked.splitlines():
        name, _, path = line.split(" (")[0].strip().partition(" => ")
        if path and not name.startswith(("libc.so", "libm.so", "ld-linux")):
            shutil.copy(path, folder / "libraries" / name)
    initdb = [version / "bin/initdb", "-N", "-A", "trust", "-U", "postgres", "--locale=C"]
    more = ["--wal-segsize=1", "-D", str(folder / "data")]
    subprocess.run([*initdb, *more], capture_output=True, check=True)
    single = [server, "--single", "-F", "-D", folder / "data", DATABASE]
    subprocess.run(single, input=DROP_OTHERS, capture_output=True, check=True)
    return folder


@pytest.fixture
def address(banger: Installation, system: str, tmp_path: Path) -> Iterator[str]:
    """The address of a VM in which PostgreSQL serves everybody who reaches its loopback."""
    banger.do("vm", "cp", str(gather(tmp_path / "all")), f"{system}:{WHERE}")
    banger.exec(system, "chown", "-R", "nobody:", f"{WHERE}/data", status=0)
    server = f"{WHERE}{FOUND[-1]}"
    command = ("-e", f"LD_LIBRARY_PATH={WHERE}/libraries", system, "--", server)
    options = ("-D", f"{WHERE}/data", "-k", "", "-h", "localhost", "-p", str(PORT))
    started = banger.start("vm", "exec", "-t", "-u", "nobody", "-w", "/", *command, *options)
    try:
        wait_for(lambda: PORT in ports_of(banger, system) or started.poll() is not None, "a server")
        assert started.poll() is None, started.communicate()
        found = str(banger.vm(system)["address"])
        wait_for(lambda: run_psql(found, "select 1").returncode == 0, "the database")
        yield found
    finally:
        started.terminate()
        started.communicate(timeout=120)
        banger.exec(system, "rm", "-r", WHERE, status=0)


def run_psql(address: str, *commands: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run commands to their end."""
    words = [word for command in commands for word in ("-c", command)]
    options = ("-qAtX", "-v", "ON_ERROR_STOP=1")
    place = ("-h", address, "-p", str(PORT), "-U", "postgres", DATABASE)
    return subprocess.run(
        ["psql", *options, *place, *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def psql(address: str, *commands: str, stdin: str = "") -> str:
    """Return what commands print; they must succeed."""
    done = run_psql(address, *commands, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_psql_reaches_a_database_in_a_guest(address: str) -> None:
    """I1: rows both ways, a notification, a query that is cancelled; with no port named before."""
    psql(address, "create table lines (number int, text text)")
    sent = "".join(f"{n}\tline {n}\n" for n in range(LINES))
    psql(address, "copy lines from stdin", stdin=sent)
    assert psql(address, "select count(*), max(number) from lines") == f"{LINES}|{LINES - 1}"
    assert psql(address, "copy lines to stdout") == sent.rstrip("\n")
    assert psql(address, "show listen_addresses") == "localhost"
    told = psql(address, "listen news", "notify news, 'it is out'", "select 1")
    assert 'notification "news" with payload "it is out"' in told
    with pytest.raises(AssertionError, match="statement timeout"):
        psql(address, "set statement_timeout = 100; select pg_sleep(1000)")
