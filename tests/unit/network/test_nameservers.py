"""The nameservers of a bridge's guests."""

from __future__ import annotations

from pathlib import Path

from banger.network.bridge.nameservers import find_nameservers


def test_a_guest_asks_what_it_can_reach(tmp_path: Path) -> None:
    """The upstreams of a resolver that listens on the host's loopback; IPv4, and three at most."""
    stub, upstreams = tmp_path / "stub", tmp_path / "upstreams"
    stub.write_text("# a stub\nnameserver 127.0.0.53\noptions edns0\nnameserver\n")
    upstreams.write_text("".join(f"nameserver {each}\n" for each in ("fe80::1", *"abc")))
    assert find_nameservers((stub, upstreams, tmp_path / "missing")) == ()
    with upstreams.open("a") as file:
        file.writelines(f"nameserver 192.0.2.{each} # text\n" for each in range(4))
    assert find_nameservers((stub, upstreams)) == ("192.0.2.0", "192.0.2.1", "192.0.2.2")
    stub.write_text("nameserver 10.0.0.1\n")
    assert find_nameservers((stub, upstreams)) == ("10.0.0.1",)
