"""What an older banger left running is still known: its rows, and the names of its processes."""

from __future__ import annotations

import re

import msgspec

from banger.network.user.kind import NETWORK
from banger.network.user.process import UserNetworkHandle

ROW = (
    b'{"network":"user","guard":{"pid":7,"start_ticks":70,"boot_id":"b"},'
    b'"passt":{"pid":8,"start_ticks":80,"boot_id":"b"}}'
)


def test_a_row_names_the_filter_as_the_first_releases_did() -> None:
    """B2: a VM that was started before the filter had its name is adopted with it."""
    handle = msgspec.json.decode(ROW, type=UserNetworkHandle)
    assert [process.pid for process in handle.processes] == [7, 8]
    assert msgspec.json.decode(msgspec.json.encode(handle)) == {
        **msgspec.json.decode(ROW),
        "monitor": None,
        "control": None,
        "dns_protocols": ["udp"],
        "proxy": None,
    }


def test_a_filter_of_either_name_is_a_leftover() -> None:
    """B4: also of a VM whose daemon was of an older release when it died."""
    ours = re.compile("|".join(NETWORK.process_names))
    names = ("banger-egress-filter", "banger-guard", "passt", "passt.avx2", "slirp4netns")
    assert all(ours.match(name) for name in names)
    assert not ours.match("banger-guardian")
