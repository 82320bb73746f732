"""What a guest reaches of its host and of the world, tried from inside."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.support.installations import Installation
from tests.support.outward import outward_address
from tests.support.templates import is_in_memory
from tests.support.vms import TINY

SET_RULES = """
UPDATE vms SET spec = CAST(json_set(CAST(spec AS TEXT), '$.egress.rules', json(?)) AS BLOB)
WHERE name = ?
"""
SECRET = b"sk-proj-" + b"the-value-of-a-token" * 2
ISSUER = """
echo "$REACH_TOKEN"
connect="-connect three.example:443 -servername three.example -verify_hostname three.example"
for with in "env" "env -u SSL_CERT_FILE"; do
    $with openssl s_client $connect -verify_return_error </dev/null 2>/dev/null
done | sed -n 's/^issuer=CN = //p' | uniq -c
"""
"""What there is of the secret, and the issuers that are trusted, with their number."""
CLOSED = ("127.0.0.1", "127.77.3.4", "0.0.0.0", "10.0.2.2", "169.254.169.254")
REACH = Path(__file__).with_name("reach.py")


def reaches(banger: Installation, vm: str, target: str) -> bool:
    """Tell whether a guest's kernel connects to HOST:PORT: by its bash, which starts fast."""
    connect = f"</dev/tcp/{target.replace(':', '/')}"
    status = banger.exec(vm, "timeout", "60", "bash", "-c", connect).status
    assert status in (0, 1, 124), status
    return status == 0


def test_a_guest_reaches_the_world_and_not_its_host(banger: Installation, system: str) -> None:
    """E4: by connecting, and by frames made by hand, to a service on every address of the host."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        tries = [f"{kind}:{to}:{port}:3" for kind in ("socket", "frame") for to in CLOSED]
        world = [f"{kind}:{outward_address()}:{port}:60" for kind in ("socket", "frame")]
        said = banger.do(
            *("vm", "exec", "-i", system, "--", "python3", "-", *tries, *world),
            stdin=REACH.read_bytes(),
        )
    assert said.text.splitlines() == [f"{each} no" for each in tries] + [
        f"{each} yes" for each in world
    ]


def test_what_a_guest_reaches_is_changed_while_it_runs(banger: Installation, system: str) -> None:
    """I6, I7: by a new rule, also after the daemon's death; what was denied is listed."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        target = f"{outward_address()}:{listener.getsockname()[1]}"
        host = f"host.vm:{target.rpartition(':')[2]}"

        assert reaches(banger, system, target)
        said = banger.do("vm", "network", "limit", system, "1G")
        assert said.text.splitlines()[-1] == "bandwidth 1 GiB per second"
        banger.do("vm", "network", "deny", system, target)
        assert not reaches(banger, system, target)
        (denied,) = [
            each
            for each in banger.json("vm", "network", "logs", system)
            if each["target"] == f"{target}/tcp"
        ]
        banger.kill_daemon()
        assert not reaches(banger, system, target)
        said = banger.do("vm", "network", "allow", system, denied["rule"].removeprefix("allow "))
        assert said.text.splitlines()[0] == f"allow {target}/tcp"
        assert reaches(banger, system, target)
        assert not reaches(banger, system, host)
        assert banger.json("vm", "network", "show", system)["bandwidth_mib"] == 1024
        assert banger.json("vm", "network", "limit", system, "none")["bandwidth_mib"] == 0
        banger.do("vm", "network", "allow", system, host.replace(".vm", ""))
        assert reaches(banger, system, host)
        banger.kill_daemon()
        # As if it had died between the row and the filter.
        rules = json.dumps([f"deny {target}", f"allow {outward_address()}"])
        with banger.database() as connection:
            connection.execute(SET_RULES, (rules, system))
        banger.do("vm", "list")
        assert not reaches(banger, system, target)


@pytest.mark.usefixtures("system")  # its image is there then
def test_names_that_a_policy_allows_are_reached_by_name(banger: Installation) -> None:
    """E4, I7, I8: in a clone, its fork, and after the daemon's death; what is denied is listed.

    G6, D6: the clone and the fork have the placeholder of a secret, which no template has, and
    trust for its host the certificate of their own authority, by the variables and without. They
    reach hosts that the secret got while they ran.
    """
    set_secret = ("secret", "set", "REACH_TOKEN", "--host")
    banger.do(*set_secret, "*.later.example:8443", stdin=SECRET)
    with socket.create_server(("0.0.0.0", 0)) as listener:
        target = f"{outward_address()}:{listener.getsockname()[1]}"
        rules = ("--egress", "allowlist", "--allow", "one.example", "--allow", target)
        banger.do("vm", "create", "--name", "named", *rules, "--secret", "REACH_TOKEN")

        def find(vm: str, name: str) -> str:
            said = banger.exec(vm, "getent", "ahostsv4", name)
            return said.text.split()[0] if said.status == 0 else ""

        def find_issuer(vm: str) -> str:
            return banger.exec(vm, "sh", "-c", ISSUER, status=0).text

        assert find("named", "one.example").startswith("198.1")
        assert not find("named", "three.example")
        banger.do(*set_secret, "three.example", stdin=SECRET)
        (told,) = banger.json("vm", "network", "show", "named")["secrets"]
        assert (told["name"], told["hosts"]) == ("REACH_TOKEN", ["three.example"])
        shown = banger.do("vm", "network", "show", "named").text.splitlines()
        assert "secret REACH_TOKEN for three.example in authorization, x-api-key" in shown
        placeholder, number, issuer = find_issuer("named").split(maxsplit=2)
        assert placeholder.startswith("sk-proj-")
        assert SECRET.decode() != placeholder
        assert number == "2"
        assert issuer.startswith("banger ")
        assert issuer.count(" ") == 1
        assert not find("named", "two.example")
        assert reaches(banger, "named", target)
        (denied,) = [
            each
            for each in banger.json("vm", "network", "logs", "named")
            if each["target"] == "two.example"
        ]
        banger.kill_daemon()
        banger.do("vm", "network", "allow", "named", denied["rule"].removeprefix("allow "))
        banger.do("vm", "network", "deny", "named", "one.example")
        banger.do("vm", "fork", "named", "--name", "fork-of-named")
        for vm in ("named", "fork-of-named"):
            assert find(vm, "two.example").startswith("198.1")
            assert not find(vm, "one.example")
            assert reaches(banger, vm, target)
        assert find_issuer("fork-of-named").split(maxsplit=2) == [placeholder, number, issuer]
        (secret,) = banger.json("secret", "list")
        assert len(secret["vms"]) == 2
        database = banger.layout.database
        logs = [banger.layout.daemon_log, *banger.layout.vms.rglob("*.log")]
        files = [*logs, *database.parent.glob(f"{database.name}*")]
        assert not [path for path in files if SECRET in path.read_bytes()]
        template = banger.vm("named")["template"]
        assert not is_in_memory(banger.layout, template, placeholder.encode())
        banger.do("vm", "network", "profile", "named", "registries")
        assert find("named", "pypi.org").startswith("198.1")
        assert not find("fork-of-named", "pypi.org")
        banger.kill_daemon()
        # As if it had died between the file and the proxy: the host is not allowed any more.
        (banger.layout.secrets / "REACH_TOKEN.json").unlink()
        banger.do("vm", "list")
        assert not find("named", "three.example")
        said = banger.run("vm", "network", "profile", "named", "public")
        assert said.status != 0
        assert "banger vm stop named" in said.err
        banger.do("vm", "delete", "--force", "named", "fork-of-named")


def test_a_guest_without_an_interface_has_none(own: Installation) -> None:
    """E4: `--network none` is no network at all, and the agent still works."""
    own.do("vm", "create", "--name", "alone", "--network", "none", *TINY)
    assert own.exec("alone", "ls", "/sys/class/net", status=0).text.split() == ["lo"]
    assert own.json("vm", "network", "show", "alone") is None
