"""A host, a world of HTTPS servers, and a guest whose requests carry secrets.

Run as `with_secrets.py DIRECTORY` where `by_name.py` runs. The guest runs real clients. Prints
what each attempt came to, as JSON.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from banger.api.secrets import SecretSet
from banger.engine.verbs.secrets import delete_secret, set_secret
from banger.host.attachments import AttachmentKind
from banger.model.egress import Egress, Profile
from banger.model.secrets import (
    BUNDLE_VARIABLES,
    BoundSecret,
    HeldSecrets,
    Secret,
    make_placeholder,
)
from banger.network.egress.process import wait_network_gone
from banger.network.user.kind import NETWORK
from banger.network.user.process import UserNetworkHandle
from banger.secrets import render_authority, render_chain
from tests.component.network import by_name
from tests.component.network.by_name import (
    INTERFACE,
    ONE,
    RESOLVER,
    THREE,
    TWO,
    make_host,
    other,
    run,
)
from tests.component.network.secret_engine import open_with_vm
from tests.component.network.secret_servers import HOSTS, make_certificates, serve
from tests.component.network.station import give_address, hand_over, make_devices
from tests.support.installations import wait_for

API, OTHER, FILES = "sk-proj-the-real-value-of-api", "the-real-value-of-other", "file:s/p@ss word"
AUTHORITY, SEED = "0" * 32, b"s" * 32
OF_API = (
    *("api.example", "bad.example", "socket.example"),
    *("*.wild.example", "registry.example:8443"),
)
BOUND = (*OF_API, "other.example", "files.example")
LATER = "later.example:8443"
ANSWER_S = 150.0
PACKAGE = "told-1.0-py3-none-any.whl"


def be_world(directory: Path) -> None:
    by_name.ZONE |= {host: [ONE] for host in HOSTS}
    by_name.ZONE |= {"bad.example": [TWO], "socket.example": [THREE]}
    print("unshared", flush=True)
    sys.stdin.readline()
    run("ip link set lo up", "ip address add 192.0.2.1/24 dev up1", "ip link set up1 up")
    run(*(f"ip address add {address}/32 dev lo" for address in (RESOLVER, ONE, TWO, THREE)))
    asyncio.run(serve_world(directory))


async def serve_world(directory: Path) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: by_name.Nameserver([]), local_addr=(RESOLVER, 53))
    places = {"good": ONE, "bad": TWO, "sockets": THREE}
    await serve(directory / "certificates", directory / "files", **places, password=FILES)
    print("serves", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


def make_files(folder: Path) -> None:
    """A repository, as static files, and a package index."""
    work = folder / "work"
    work.mkdir(parents=True)
    identity = ("-c", "user.name=t", "-c", "user.email=t@example")
    for words in (
        ("init", "-q", "-b", "main"),
        (*identity, "commit", "-q", "--allow-empty", "-m", "told"),
        ("update-server-info",),
    ):
        subprocess.run(["git", "-C", str(work), *words], check=True)
    (work / ".git").rename(folder / "told.git")
    index = folder / "simple" / "told"
    index.mkdir(parents=True)
    (index / "index.html").write_text(f'<a href="{PACKAGE}">{PACKAGE}</a>')
    info = "told-1.0.dist-info"
    with zipfile.ZipFile(index / PACKAGE, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: told\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def trust_world(directory: Path) -> None:
    """Have the host trust the world's authority, as OpenSSL looks for it."""
    certificate = directory / "certificates" / "ca.pem"
    folder = directory / "etc" / "ssl" / "certs"
    folder.mkdir(parents=True)
    shutil.copy(certificate, folder.parent / "cert.pem")
    shutil.copy(certificate, folder / "world.pem")
    run(f"openssl rehash {folder}")
    shutil.copy(certificate, folder / "ca-certificates.crt")  # Debian's pip reads it at its start


def be_guest(side: int, directory: Path) -> None:
    """Run what each line of the input says, with the variables of a VM that has secrets."""
    vmm = socket.socket(fileno=side)
    make_devices()
    hand_over(vmm)
    give_address()
    resolver = directory / "guest.resolv.conf"
    resolver.write_text(f"nameserver {INTERFACE.dns[0]}\n")
    run(f"mount --bind {resolver} /etc/resolv.conf")
    bundle = str(directory / "bundle.pem")
    own = {"HOME": str(directory), "PATH": os.environ["PATH"], "GIT_TERMINAL_PROMPT": "0"}
    for line in sys.stdin:
        done = subprocess.run(
            json.loads(line),
            check=False,
            env=dict.fromkeys(BUNDLE_VARIABLES, bundle) | own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
        )
        print(json.dumps([done.returncode, done.stdout, done.stderr]), flush=True)
    vmm.close()


def list_bound(api: str = API) -> list[BoundSecret]:
    return [
        bound("api", api, OF_API),
        bound("other", OTHER, ("other.example", "plain.example"), ("x-other",)),
        bound("files", FILES, ("files.example",)),
    ]


def bound(
    name: str, value: str, hosts: tuple[str, ...], headers: tuple[str, ...] = ("authorization",)
) -> BoundSecret:
    secret = Secret(name=name, value=value, hosts=hosts, headers=headers)
    return BoundSecret(secret=secret, placeholder=PLACEHOLDERS[name])


def random_of(label: str) -> Any:
    return lambda count: (label * count)[:count].encode()


PLACEHOLDERS = {
    name: make_placeholder(value, random_of(name))
    for name, value in (("api", API), ("other", OTHER), ("files", FILES), ("later", OTHER))
}


async def main(directory: Path) -> None:
    make_certificates(directory / "certificates")
    make_files(directory / "files")
    with other("world", str(directory), program=__file__) as world:
        make_host(directory, world)
        trust_world(directory)
        by_name.change_network(directory / "etc")
        print(json.dumps(await try_all(directory)), flush=True)


async def try_all(directory: Path) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    rules = (*(f"allow {host}" for host in (*BOUND, "plain.example")),)
    egress = Egress(profile=Profile.ALLOWLIST, rules=rules)
    network = await NETWORK.start(
        INTERFACE,
        attachment=AttachmentKind.TAP,
        egress=egress,
        log_file=directory / "network.log",
        control=directory / "egress.sock",
    )
    bundle = (directory / "certificates" / "ca.pem").read_bytes()
    (directory / "bundle.pem").write_bytes(bundle + render_authority(SEED, AUTHORITY))
    side, handle = network.attachment.side, network.handle
    assert isinstance(handle, UserNetworkHandle)
    found: dict[str, Any] = {"lacks a certificate": await handle.set_secrets(list_bound())}
    names = [host.partition(":")[0] for host in BOUND]
    await handle.set_certificate(render_chain(SEED, AUTHORITY, names, now=now))
    with other(
        "guest", str(side.fileno()), str(directory), pass_fds=(side.fileno(),), program=__file__
    ) as guest:
        side.close()

        async def do(label: str, argv: list[str]) -> None:
            found[label] = await asyncio.to_thread(guest.do, *argv)

        for label, argv in attempts(directory).items():
            await do(label, argv)
        kept = [sys.executable, "-c", KEPT_OPEN, PLACEHOLDERS["api"], str(directory)]
        task = asyncio.create_task(do("kept open", kept))
        await change(handle, directory, 0, list_bound("rotated"))
        await change(handle, directory, 1, list_bound()[1:])
        await task
        await do("gone", ask("https://api.example/", "-H", f"Authorization: {PLACEHOLDERS['api']}"))
        await try_later(do, directory, handle, egress)
        denials = await handle.read_denials(INTERFACE)
        found["denials"] = [(each.target, each.is_outside, each.why) for each in denials]
    await wait_network_gone(handle)
    found["log"] = (directory / "network.log").read_text("utf-8", "replace")
    return found


async def try_later(do: Any, directory: Path, handle: UserNetworkHandle, egress: Egress) -> None:
    """Save and delete a secret of the running VM, as its user does."""
    to_later = ask(f"https://{LATER}/", "-H", f"Authorization: {PLACEHOLDERS['later']}")
    held = HeldSecrets(AUTHORITY, {"later": PLACEHOLDERS["later"]})
    async with open_with_vm(directory, handle, egress, held, seed=SEED) as engine:
        op = engine.new_operation("test")
        await do("before", to_later)
        await set_secret(engine, op, SecretSet(name="later", value=OTHER, hosts=[LATER]))
        await do("later", to_later)
        await set_secret(engine, op, SecretSet(name="later", value="rotated"))
        await do("rotated", to_later)
        await delete_secret(engine, op, "later")
        await do("afterwards", to_later)


async def change(
    handle: UserNetworkHandle, directory: Path, number: int, bound: list[BoundSecret]
) -> None:
    """Change the secrets once the guest has had an answer; have it go on."""
    answered = directory / f"answered-{number}"
    await asyncio.to_thread(wait_for, answered.exists, "an answer")
    await handle.set_secrets(bound)
    (directory / f"changed-{number}").mkdir()


def ask(*words: str) -> list[str]:
    return ["curl", "-sS", "--max-time", "140", *words]


def attempts(directory: Path) -> dict[str, list[str]]:
    api, other_one, files = (PLACEHOLDERS[name] for name in ("api", "other", "files"))
    bearer = ("-H", f"Authorization: Bearer {api}")
    big = directory / "big"
    big.write_bytes(os.urandom(3 << 20))
    url = "https://api.example"
    return {
        "bearer": ask(f"{url}/v1?q=1", *bearer),
        "basic": ask(f"{url}/", "-u", f"user:{api}"),
        "kept alive": ask(f"{url}/1", f"{url}/2", *bearer),
        "body": ask(f"{url}/", *bearer, "--data-binary", f"@{big}"),
        "chunked": ask(
            f"{url}/", *bearer, "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{big}"
        ),
        "expect": ask(f"{url}/", *bearer, "-H", "Expect: 100-continue", "--data-binary", f"@{big}"),
        "big answer": ask(f"{url}/big", *bearer, "-o", "/dev/null", "-w", "%{size_download}"),
        "other": ask("https://other.example/", "-H", f"X-Other: {other_one}"),
        "plain": ask("https://plain.example/", *bearer),
        "at another port": ask("https://registry.example:8443/", *bearer),
        "under a wildcard": ask("https://v1.wild.example/", *bearer),
        "two labels under a wildcard": ask("https://a.v1.wild.example/", *bearer),
        "without TLS at another port": ask("http://registry.example:8443/", *bearer),
        "no secret": ask(f"{url}/"),
        "in url": ask(f"{url}/?key={api}"),
        "in another header": ask(f"{url}/", "-H", f"X-Else: {api}"),
        "in the body": ask(f"{url}/", "-d", f"x={api}"),
        "in a big body": ask(f"{url}/", "-F", f"a=@{big}", "-F", f"b={api}"),
        "to another bound host": ask("https://other.example/", *bearer),
        "in another bound header": ask("https://other.example/", "-H", f"X-Other: {api}"),
        "in another's basic": ask("https://other.example/", "-u", f"user:{api}"),
        "fronting": ask(f"{url}/", *bearer, "-H", "Host: other.example"),
        "absolute": ask(f"{url}/", *bearer, "--request-target", "https://other.example/"),
        "by http": ask("http://api.example/", *bearer),
        "bad certificate": ask("https://bad.example/", *bearer),
        "distrust": [sys.executable, "-c", DISTRUST, str(directory / "certificates" / "ca.pem")],
        "websocket": [sys.executable, "-c", WEBSOCKET, api],
        "git": ["git", "ls-remote", f"https://user:{files}@files.example/told.git", "main"],
        "git without": ["git", "ls-remote", "https://files.example/told.git", "main"],
        "pip": [
            *(sys.executable, "-m", "pip", "download", "--no-cache-dir", "--no-deps", "-q"),
            *("--disable-pip-version-check", "-d", str(directory / "downloaded")),
            *("-i", f"https://user:{files}@files.example/simple", "told==1.0"),
        ],
    }


WEBSOCKET = """
import sys
from websockets.sync.client import connect
headers = {"Authorization": sys.argv[1]}
with connect("wss://socket.example/", additional_headers=headers, open_timeout=140) as side:
    side.send(sys.argv[1] * 10000)
    print(side.recv(140), side.recv(140) == sys.argv[1] * 10000)
"""
DISTRUST = """
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.wrap_socket(socket.create_connection(("api.example", 443)), server_hostname="api.example")
"""
KEPT_OPEN = """
import http.client, json, os, sys, time
connection = http.client.HTTPSConnection("api.example", timeout=140)
for number in range(3):
    try:
        connection.request("GET", "/", headers={"Authorization": sys.argv[1]})
        print(json.load(connection.getresponse())["headers"]["authorization"])
    except (OSError, http.client.HTTPException):
        print("ended")
    os.mkdir(f"{sys.argv[2]}/answered-{number}")
    while number < 2 and not os.path.exists(f"{sys.argv[2]}/changed-{number}"):
        time.sleep(0.02)
"""


if __name__ == "__main__":
    if sys.argv[1] == "world":
        be_world(Path(sys.argv[2]))
    elif sys.argv[1] == "guest":
        be_guest(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        asyncio.run(main(Path(sys.argv[1])))
    os._exit(0)
