"""The report of `make bench-kvm`, and the program that measures."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench import drivers
from tests.bench.kvm import COUNTS, FEW, Row, measure_all, read_facts, render_report

ROWS = [
    Row("none", "exec", {"firecracker": {"command": [10, 30, 20]}, "qemu": {"command": [40, 40]}}),
    Row(
        "user",
        "density",
        {
            "firecracker": {"idle clone": [8], "of it slirp4netns": [0.5]},
            "qemu": {"idle clone": [20]},
        },
    ),
]


def test_medians_stand_beside_each_other_with_their_ratio() -> None:
    report = render_report(ROWS, {"machine": "Linux"})
    assert "- machine: Linux" in report
    assert "| what | network | firecracker | qemu | firecracker / qemu |" in report
    assert "| command | none | 20 ms | 40 ms | 0.50 |" in report
    assert "| idle clone | user | 8 MiB | 20 MiB | 0.40 |" in report
    assert "| of it slirp4netns | user | 0.5 MiB |  |  |" in report


def test_a_rival_stands_beside_the_drivers_where_it_was_measured() -> None:
    boots = {name: {drivers.BOOT: [ms]} for name, ms in (("firecracker", 8), ("msb", 16))}
    report = render_report([Row("none", "start", boots), ROWS[1]], {})
    assert "| what | network | firecracker | msb | qemu | firecracker / msb" in report
    assert "| run with a boot | none | 8 ms | 16 ms |  | 0.50 |  |" in report
    assert "| idle clone | user | 8 MiB |  | 20 MiB |  | 0.40 |" in report


def test_a_rival_runs_the_files_of_our_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/word").write_text("ours\n")
    images = tmp_path / "banger/images/0a1b"
    images.mkdir(parents=True)
    squash = ("mksquashfs", tmp_path / "files", images / "root.squashfs", "-quiet", "-no-progress")
    subprocess.run(squash, check=True)
    programs = {
        "banger": """case $1 in config) echo '{"default_image": {"value": "ours"}}';;
            *) [ $3 = named ] && echo '{"digest": "0a1b"}';; esac""",
        "msb": f"""echo "$@" >>{tmp_path}/said
            for each do [ ! -d "$each" ] || cat "$each/word" >>{tmp_path}/said; done""",
    }
    (tmp_path / "bin").mkdir()
    for name, script in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = ["--memory", "256M", "--vcpu", "1", "--image", "named"]
    samples = drivers.measure_msb(2, flags)
    assert len(samples[drivers.BOOT]) == 2
    said = (tmp_path / "said").read_text().splitlines()
    assert said[1::2] == ["ours"] * 3
    assert said[0].startswith("run --no-net --no-stdin --memory 256M --cpus 1 /")


def test_a_rival_that_is_not_installed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert drivers.measure_msb(2, []) == {}


def test_a_rival_that_fails_costs_no_other_row() -> None:
    async def run(words: Sequence[str]) -> str:
        if words[0] == "msb":
            raise RuntimeError("no libkrunfw")
        return json.dumps({words[0]: [1]})

    rows = asyncio.run(measure_all(run, {"start": 1, "exec": 1}, flags=()))
    assert {each for row in rows for each in row.samples} == {"firecracker", "qemu"}
    assert len(rows) == 4


def test_the_raw_samples_are_in_the_report() -> None:
    raw = json.loads(render_report(ROWS, {}).partition("```json\n")[2].partition("```")[0])
    assert raw[0] == {"scenario": "exec", "network": "none", **ROWS[0].samples}


def test_the_host_is_described_by_what_concerns_the_drivers() -> None:
    checks = [{"name": name, "fact": f"{name} is."} for name in ("python", "accel", "firecracker")]
    facts = read_facts("Linux", json.dumps({"checks": checks}))
    assert facts == {"machine": "Linux", "accel": "accel is.", "firecracker": "firecracker is."}


def test_each_scenario_is_measured_on_both_kinds_of_host() -> None:
    assert set(COUNTS) == set(FEW) == set(drivers.SCENARIOS)


def test_every_process_that_names_a_vm_is_weighed() -> None:
    with subprocess.Popen(
        ["sh", "-c", "echo runs; read line", "0a1b2c"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as one:
        assert one.stdin and one.stdout
        assert one.stdout.readline() == b"runs\n"
        found = drivers.weigh_vm("0a1b2c")
        one.stdin.close()
    assert len(found) == 1
    assert all(mib > 0 for mib in found.values())


def test_a_command_that_fails_ends_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "banger"
    program.write_text("#!/bin/sh\necho 'no KVM' >&2\nexit 6\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SystemExit, match="status 6\nno KVM"):
        drivers.banger("vm", "list")
