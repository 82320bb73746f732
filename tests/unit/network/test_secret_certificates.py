"""The certificates of VMs with secrets, as OpenSSL and its users judge them."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

from banger.secrets import render_authority, render_chain

SEED, NAME = b"s" * 32, "0" * 32
NOW = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def shake_hands(folder: Path, *, seed: bytes, name: str, host: str) -> str:
    """Connect to a proxy of `SEED` and `NAME`; return what is wrong."""
    chain = folder / "chain.pem"
    chain.write_bytes(render_chain(SEED, NAME, ["api.example"], now=NOW))
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(chain)
    theirs = ssl.create_default_context(cadata=render_authority(seed, name).decode())
    theirs.verify_flags |= ssl.VERIFY_X509_STRICT
    to, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = theirs.wrap_bio(back, to, server_hostname=host)
    server = ours.wrap_bio(to, back, server_side=True)
    try:
        for side in (client, server, client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    return ""


def test_a_guest_trusts_its_own_authority_for_its_hosts_alone(tmp_path: Path) -> None:
    """G6, D2: after a restart and in a fork, too, and no other VM does."""
    assert shake_hands(tmp_path, seed=SEED, name=NAME, host="api.example") == ""
    assert "Hostname mismatch" in shake_hands(tmp_path, seed=SEED, name=NAME, host="other.example")
    for seed, name in ((b"t" * 32, NAME), (SEED, "1" * 32)):
        assert shake_hands(tmp_path, seed=seed, name=name, host="api.example")


def test_the_key_of_an_authority_is_in_nothing_that_is_handed_out(tmp_path: Path) -> None:
    """G6: each chain has a key of its own."""
    first, second = (render_chain(SEED, NAME, ["api.example"], now=NOW) for _ in range(2))
    assert first.partition(b"-----END")[0] != second.partition(b"-----END")[0]
    assert first.count(b"BEGIN PRIVATE KEY") == first.count(b"BEGIN CERTIFICATE") == 1
    assert b"PRIVATE" not in render_authority(SEED, NAME)
