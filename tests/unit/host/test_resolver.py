"""Which resolver a host has, and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.doctor.checks import probe_names
from banger.host.resolver import MARK, Resolver, plan_delegation, plan_removal, probe_resolver

NSS = "hosts: files myhostname resolve [!UNAVAIL=return] dns\n"
STUB = "run/systemd/resolve/stub-resolv.conf"
HOSTS: dict[str, tuple[dict[str, str], Resolver | None]] = {
    "stub": ({STUB: "", "etc/resolv.conf": "nameserver 127.0.0.53\n"}, Resolver.RESOLVED),
    "newer": (
        {
            STUB: "",
            "etc/resolv.conf": "nameserver 127.0.0.53\n",
            "usr/lib/systemd/systemd-resolved": "\x7fELF\0/etc/systemd/dns-delegate.d\0",
        },
        Resolver.DELEGATE,
    ),
    "older": (
        {
            STUB: "",
            "etc/resolv.conf": "nameserver 127.0.0.53\n",
            "usr/lib/systemd/systemd-resolved": "\x7fELF\0/etc/systemd/resolved.conf.d\0",
        },
        Resolver.RESOLVED,
    ),
    "nss": ({STUB: "", "etc/nsswitch.conf": NSS}, Resolver.RESOLVED),
    "unused": (
        {STUB: "", "etc/nsswitch.conf": "hosts: files dns\n#hosts: resolve\n"},
        None,
    ),
    "gone": ({"etc/resolv.conf": "nameserver 127.0.0.53\n"}, None),
    "plain": ({"etc/resolv.conf": "search lan\nnameserver 192.0.2.1\n"}, None),
    "none": ({}, None),
    "dnsmasq": (
        {"etc/resolv.conf": "nameserver 127.0.0.1\n", "etc/dnsmasq.d/README": ""},
        Resolver.DNSMASQ,
    ),
    "another": ({"etc/resolv.conf": "nameserver 127.0.0.1\n"}, None),
    "manager": (
        {
            "etc/resolv.conf": "nameserver 127.0.0.1\n",
            "etc/dnsmasq.d/README": "",
            "run/NetworkManager/conf": "",
            "etc/NetworkManager/conf.d/dns.conf": "[main]\ndns = dnsmasq\n",
        },
        Resolver.NETWORK_MANAGER,
    ),
    "manager of resolved": (
        {
            "etc/resolv.conf": "nameserver 127.0.0.53\n",
            STUB: "",
            "run/NetworkManager/conf": "",
            "etc/NetworkManager/NetworkManager.conf": "[main]\ndns=systemd-resolved\n",
        },
        Resolver.RESOLVED,
    ),
}


def make_host(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("name", HOSTS)
def test_the_resolver_that_answers_is_found(tmp_path: Path, name: str) -> None:
    files, expected = HOSTS[name]
    assert probe_resolver(make_host(tmp_path, files)) is expected


@pytest.mark.parametrize("resolver", Resolver)
def test_each_resolver_has_a_file_of_its_own(tmp_path: Path, resolver: Resolver) -> None:
    """G4: it is written by nobody here, known by its first line, and names the port."""
    planned = plan_delegation(resolver, 7753, tmp_path)
    assert planned.content.startswith(MARK) and "127.0.0.1" in planned.content
    assert "7753" in planned.content and "{" not in planned.content
    assert not planned.is_there and planned.replaced is None
    assert list(plan_removal(tmp_path)) == []

    make_host(tmp_path, {str(planned.path.relative_to(tmp_path)): planned.content})
    assert plan_delegation(resolver, 7753, tmp_path).is_there
    assert plan_delegation(resolver, 7754, tmp_path).replaced == planned.content
    assert list(plan_removal(tmp_path)) == [(planned.path, planned.reload)]
    planned.path.write_text("somebody else's\n")
    assert list(plan_removal(tmp_path)) == []
    assert plan_delegation(resolver, 7753, tmp_path).replaced == "somebody else's\n"


def test_doctor_says_whether_the_resolver_is_told(tmp_path: Path) -> None:
    """H8: with the command."""
    assert probe_names(tmp_path).hint is None
    root = make_host(tmp_path, HOSTS["stub"][0])
    assert probe_names(root).hint == "banger setup --dns"
    planned = plan_delegation(Resolver.RESOLVED, 7753, root)
    make_host(root, {str(planned.path.relative_to(root)): planned.content})
    found = probe_names(root)
    assert found.hint is None and str(planned.path) in found.fact
