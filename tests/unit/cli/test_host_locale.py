"""`--host-locale`: which variables, and the rule of the host's time zone."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.cli.options.locale import host_locale

HEAD = b"TZif2" + bytes(60) + b"\n\n\0"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (HEAD + b"\nCET-1CEST,M3.5.0,M10.5.0/3\n", "CET-1CEST,M3.5.0,M10.5.0/3"),
        (HEAD + b"\n<+0530>-5:30\n", "<+0530>-5:30"),
        (HEAD + b"\n\n", None),
        (HEAD + b"\nUTC0", None),
        (HEAD + b"\nA B\n", None),
        (HEAD + b"\n" + b"A" * 200 + b"\n", None),
        (b"text\nUTC0\n", None),
        (b"TZif", None),
        (b"", None),
    ],
)
def test_the_rule_of_a_zone_file(tmp_path: Path, content: bytes, rule: str | None) -> None:
    zone = tmp_path / "localtime"
    zone.write_bytes(content)
    assert host_locale({}, localtime=str(zone)).get("TZ") == rule


def test_variables_of_the_language_and_no_others(tmp_path: Path) -> None:
    environ = {"LANG": "de_DE.UTF-8", "LC_TIME": "C", "PATH": "/bin", "LCX": "1", "SECRET": "x"}
    missing = str(tmp_path / "none")
    assert host_locale(environ, localtime=missing) == {"LANG": "de_DE.UTF-8", "LC_TIME": "C"}
    assert host_locale({"TZ": "Asia/Tokyo"}, localtime=missing) == {"TZ": "Asia/Tokyo"}
