"""Tables, sizes, values of options, and text that must not steer a terminal."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.cli.app import values
from banger.cli.commands import ports
from banger.cli.commands.list import COLUMNS
from banger.cli.terminal import progress
from banger.cli.terminal.guest_text import harmless
from banger.cli.terminal.output import (
    format_age,
    format_bytes,
    format_mib,
    printable,
    render_table,
)
from banger.cli.terminal.progress import Stages

ROW = [
    *["0123456789ab", "golden-linden", "running", "debian-bookworm", "127.77.203.19"],
    *["4", "8192M", "8G", "/root/some-long-repository-name", "12d"],
    "http://golden-linden.localhost:7780/",
]


def test_a_table_fits_eighty_columns() -> None:
    table = render_table(COLUMNS, [ROW] * 3, width=80).splitlines()
    assert len(table) == 4
    assert max(len(line) for line in table) <= 80
    assert table[1].startswith("0123456789ab golden-linden running ")


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_an_id_and_a_name_can_be_pasted_at_every_width(width: int) -> None:
    """Other columns are cut, then left out, before a name is cut; an id never is."""
    table = render_table(COLUMNS, [ROW], width=width).splitlines()
    assert max(len(line) for line in table) <= width
    assert table[1].split()[:3] == ROW[:3]


def test_what_is_left_out_first_is_what_is_spared_first() -> None:
    def titles(width: int) -> list[str]:
        return render_table(COLUMNS, [ROW], width=width).splitlines()[0].split()

    assert titles(250) == [column.title for column in COLUMNS]
    assert titles(78) == [c.title for c in COLUMNS if c.title not in ("WORKSPACE", "LINK")]
    assert titles(50) == ["ID", "NAME", "STATE", "ADDRESS"]


def test_the_number_of_a_port_is_never_cut() -> None:
    row = ["box", "tcp", "127.0.0.1:65535", "127.77.203.219:65535", "blocked", "http://x/" * 5]
    for width in (60, 80, 100):
        assert row[2] in render_table(ports.COLUMNS, [row], width=width).splitlines()[1].split()


def test_without_a_terminal_nothing_is_cut() -> None:
    assert render_table(COLUMNS, [ROW], width=None).splitlines()[1].split() == ROW


@given(st.lists(st.text(), min_size=11, max_size=11), st.integers(20, 200))
def test_a_table_is_one_line_for_each_row(row: list[str], width: int) -> None:
    """E3: whatever a name holds."""
    assert len(render_table(COLUMNS, [row, ROW], width=width).split("\n")) == 3


@given(st.text(st.characters(exclude_categories=())))
def test_printable_text_cannot_steer(text: str) -> None:
    """E3: no control character, and it can be written to any UTF-8 file."""
    shown = printable(text)
    assert shown.isprintable()
    shown.encode("utf-8")


@given(st.binary())
def test_a_logs_line_cannot_steer(line: bytes) -> None:
    """E3: only tabs and printable bytes are left."""
    shown = harmless(line.replace(b"\n", b""))
    assert all(byte in (9,) or byte >= 32 for byte in shown)
    assert 0x7F not in shown


def test_a_logs_line_keeps_its_text() -> None:
    """E3: colours, titles and bells go; words stay."""
    line = b"\x1b[1;31m[  OK  ]\x1b[0m \x1b]0;title\x07Started\x07 ssh.\r"
    assert harmless(line) == b"[  OK  ] Started ssh."


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (format_mib(512), "512M"),
        (format_mib(8192), "8G"),
        (format_mib(1536), "1.5G"),
        (format_bytes(820), "820 B"),
        (format_bytes(3_400_000), "3.4 MB"),
        (format_bytes(62_000_000_000), "62 GB"),
        (format_age(-5), "0s"),
        (format_age(119), "119s"),
        (format_age(7199), "119m"),
        (format_age(172799), "47h"),
        (format_age(864000), "10d"),
    ],
)
def test_sizes_and_ages(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.size_mib, "2048", 2048),
        (values.size_mib, "512M", 512),
        (values.size_mib, "8g", 8192),
        (values.size_mib, "2GiB", 2048),
        (values.size_mib, "1T", 1024 * 1024),
        (values.count, "4", 4),
        (values.duration_s, "90", 90.0),
        (values.duration_s, "1.5s", 1.5),
        (values.duration_s, "10m", 600.0),
        (values.duration_s, "2h", 7200.0),
        (values.label, "a=b=c", ("a", "b=c")),
        (values.label, "a", ("a", "")),
        (values.variable, "A=", ("A", "")),
    ],
)
def test_values(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (values.size_mib, ["0", "-1", "", "G", "1.5G", "8Q", "1e3", "99999999999"]),
        (values.count, ["0", "-1", "", "1.5", "x", "٣"]),
        (values.duration_s, ["0", "-1", "", "s", "1w", "inf", "nan"]),
        (values.label, ["", "=x"]),
        (values.variable, ["", "=x", "SURELY_NOT_SET_ANYWHERE"]),
        (values.driver, ["", "QEMU", "hyperv"]),
        (values.network, ["", "wifi"]),
    ],
)
def test_values_that_are_refused(parse: Callable[[str], object], texts: list[str]) -> None:
    """C7: before anything exists."""
    for text in texts:
        with pytest.raises(ArgumentTypeError):
            parse(text)


def test_stages_keep_their_times_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    with Stages() as stages:
        stages.on_event("note", {"kind": "spec", "text": "1 vcpu"})
        stages.on_event("progress", {"stage": "boot", "done": 1, "total": 2})
        stages.on_event("progress", {"stage": "boot", "done": 2, "total": 2})
        stages.enter("\x1b[2Jcommand")
        stages.on_event("unknown", {})
    assert [name for name, _ in stages.times] == ["boot", "\x1b[2Jcommand"]
    assert stages.render_times().splitlines()[-1].startswith("total")
    assert capsys.readouterr().err == "spec: 1 vcpu\n"


def test_the_table_of_times_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """H9: what lies before, between and after the stages is the client's."""
    moments = iter([10.0, 11.0, 13.0, 17.0, 25.0])
    monkeypatch.setattr(progress, "_age_s", lambda: 0.5)
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    stages = Stages(quiet=True, timings=True)  # 10
    stages.enter("boot")  # 11
    stages.end()  # 13
    stages.enter("command")  # 17
    stages.end()  # 25
    table = [line.split() for line in stages.render_times().splitlines()]
    assert table == [
        ["client", "5.500", "s"],
        ["boot", "2.000", "s"],
        ["command", "8.000", "s"],
        ["total", "15.500", "s"],
    ]


def test_a_process_knows_its_age() -> None:
    first = progress._age_s()
    time.sleep(0.05)
    assert 0 < first < progress._age_s()


@pytest.mark.parametrize(
    ("text", "address", "host", "guest"),
    [
        ("80", None, None, 80),
        ("8080:80", None, 8080, 80),
        ("8080:80/tcp", None, 8080, 80),
        ("0.0.0.0:8080:80", "0.0.0.0", 8080, 80),
        ("127.0.0.1::80", "127.0.0.1", None, 80),
        ("localhost:8080:80", "127.0.0.1", 8080, 80),
        ("[::1]:8080:80", "::1", 8080, 80),
    ],
)
def test_a_published_port_is_written_as_docker_has_it(
    text: str, address: str | None, host: int | None, guest: int
) -> None:
    found = {"guest_port": guest, "host_port": host, "host_address": address}
    expected = {key: value for key, value in found.items() if value is not None}
    assert values.published_port(text) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("53/udp", {"guest_port": 53, "protocol": "udp"}),
        ("5353:53/udp", {"guest_port": 53, "host_port": 5353, "protocol": "udp"}),
        (
            "0.0.0.0:5353:53/udp",
            {"guest_port": 53, "host_port": 5353, "host_address": "0.0.0.0", "protocol": "udp"},
        ),
        ("8080:/run/app.sock", {"guest_path": "/run/app.sock", "host_port": 8080}),
        (
            "[::1]:8080:/run/app.sock",
            {"guest_path": "/run/app.sock", "host_port": 8080, "host_address": "::1"},
        ),
        ("/tmp/a.sock:/run/app.sock", {"guest_path": "/run/app.sock", "host_path": "/tmp/a.sock"}),
        ("/tmp/a.sock:80", {"guest_port": 80, "host_path": "/tmp/a.sock"}),
        ("./a.sock:/run/app.sock", {"guest_path": "/run/app.sock", "host_path": "/here/a.sock"}),
        ("../a.sock:80", {"guest_port": 80, "host_path": "/a.sock"}),
    ],
)
def test_datagrams_and_sockets_are_published(
    monkeypatch: pytest.MonkeyPatch, text: str, found: dict[str, object]
) -> None:
    monkeypatch.setattr("os.getcwd", lambda: "/here")
    assert values.published_port(text) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *((text, "is not") for text in ("", ":", "web", "80-90:80-90", "1:2:3", "80:", "8080:a.s")),
        ("8080:80/sctp", "the protocol of a port is tcp or udp"),
        ("/tmp/a.sock:53/udp", "over UDP"),
        ("/run/app.sock", "needs a port or path on the host: 8080:/run/app.sock"),
        (":/run/app.sock", "needs a port or path on the host"),
        ("a.sock:/run/app.sock", "is not"),
        ("127.0.0.1:/tmp/a.sock:80", "is not"),
    ],
)
def test_what_is_no_published_port_is_refused(text: str, why: str) -> None:
    with pytest.raises(ArgumentTypeError, match=why):
        values.published_port(text)


def test_what_was_published_is_named_by_a_relative_path_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.getcwd", lambda: "/here")
    assert values.published_name("./a.sock") == "/here/a.sock"
    assert values.published_name("./a.sock:/run/b.sock") == "/here/a.sock:/run/b.sock"
    assert values.published_name("127.0.0.1:8080:80/tcp") == "127.0.0.1:8080:80/tcp"
