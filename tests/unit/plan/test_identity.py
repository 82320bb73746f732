"""The files that make a guest itself."""

from __future__ import annotations

from banger.plan.identity import render_identity_files


def render(name: str, nameservers: tuple[str, ...] = ("10.0.2.3",)) -> dict[str, str]:
    files = render_identity_files(
        hostname=name,
        machine_id="0" * 32,
        nameservers=nameservers,
        host_key=b"private",
        host_key_public=b"public",
        host_address="10.0.2.2",
    )
    return {file.path: file.content.decode() for file in files}


def test_the_name_is_where_a_system_looks_for_it() -> None:
    files = render("calm-otter")
    assert files["/etc/hostname"] == "calm-otter\n"
    assert "127.0.1.1 calm-otter\n" in files["/etc/hosts"]
    assert files["/etc/hosts"].endswith("\n10.0.2.2 host.vm\n")
    assert files["/etc/machine-id"] == "0" * 32 + "\n"


def test_the_private_key_is_private() -> None:
    """D2, G6."""
    modes = {
        file.path: file.mode
        for file in render_identity_files(
            hostname="a", machine_id="", nameservers=(), host_key=b"", host_key_public=b""
        )
    }
    assert modes["/etc/ssh/ssh_host_ed25519_key"] == 0o600


def test_without_a_network_there_is_no_nameserver() -> None:
    assert render("a", ())["/etc/resolv.conf"] == ""
