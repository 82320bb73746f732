"""Settings: precedence, origins, and what is said of a faulty file (F6)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.config import load_settings, parse_config
from banger.errors import ConfigInvalid
from banger.setting import HostSize
from banger.settings import OPTIONS


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_without_a_file_everything_is_a_default(config_file: Path) -> None:
    settings = load_settings(config_file, {})
    assert {origin.partition(":")[0] for _, _, origin in settings.items()} == {"default"}
    assert settings.default_image == "debian-bookworm"


def test_the_environment_beats_the_file_and_the_file_the_default(config_file: Path) -> None:
    config_file.write_text('network = "none"\n[vm_defaults]\nvcpu = 3\nmemory_mib = 1024\n')
    settings = load_settings(config_file, {"BANGER_VM_DEFAULTS_VCPU": "5"})
    assert settings.vm_defaults.vcpu == 5
    assert settings.origins["vm_defaults.vcpu"] == "environment: BANGER_VM_DEFAULTS_VCPU"
    assert settings.vm_defaults.memory_mib == 1024
    assert settings.origins["network"] == f"file: {config_file}"


@pytest.mark.parametrize(
    ("cores", "memory_mib", "vcpu", "default_mib"),
    [(1, 1024, 1, 512), (8, 24 * 1024, 2, 3072), (64, 512 * 1024, 4, 8192)],
)
def test_defaults_scale_with_the_host(
    cores: int, memory_mib: int, vcpu: int, default_mib: int
) -> None:
    host = HostSize(cores=cores, memory_mib=memory_mib)
    by_key = {option.key: option.default(host)[0] for option in OPTIONS}
    assert by_key["vm_defaults.vcpu"] == vcpu
    assert by_key["vm_defaults.memory_mib"] == default_mib


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense = 1\n", "line 1: there is no setting nonsense"),
        ("\n\n[vm_defaults]\ncpu = 1\n", "line 4: there is no setting vm_defaults.cpu"),
        ("[vm_defaults]\nvcpu = 0\n", "line 2: vm_defaults.vcpu is 0, expected a whole number"),
        ("[vm_defaults]\nvcpu = true\n", "line 2: vm_defaults.vcpu is True"),
        ('network = "wifi"\n', "line 1: network is 'wifi', expected one of user, bridge, none"),
        ("network = \n", "not valid TOML"),
    ],
)
def test_a_fault_names_file_line_and_key(config_file: Path, text: str, said: str) -> None:
    """F6."""
    config_file.write_text(text)
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(config_file, {})
    assert said in caught.value.message
    assert str(config_file) in caught.value.message


def test_a_near_match_is_offered() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        parse_config("netwrok = 1\n", "f")
    assert "network" in str(caught.value.hint)


def test_a_faulty_variable_is_named(config_file: Path) -> None:
    with pytest.raises(ConfigInvalid, match="BANGER_ACCEL is 'warp'"):
        load_settings(config_file, {"BANGER_ACCEL": "warp"})


def test_an_unreadable_file_is_one_sentence(config_file: Path) -> None:
    config_file.mkdir()
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_settings(config_file, {})


def test_a_file_that_is_no_text_is_refused(config_file: Path) -> None:
    config_file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigInvalid, match="not UTF-8"):
        load_settings(config_file, {})


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ('vm_defaults.memory_mib = "2G"', "vm_defaults.memory_mib", 2048),
        ("vm_defaults.memory_mib = 2048", "vm_defaults.memory_mib", 2048),
        ('vm_defaults.disk_gib = "20GiB"', "vm_defaults.disk_gib", 20),
        ('template.cache_gib = "1T"', "template.cache_gib", 1024),
        ("template.enabled = true", "template.enabled", True),
        ("template.enabled = false", "template.enabled", False),
        ('template.enabled = "off"', "template.enabled", False),
    ],
)
def test_sizes_and_switches_are_written_as_people_do(line: str, key: str, value: object) -> None:
    assert parse_config(line, "f") == {key: value}


@pytest.mark.parametrize(
    "line",
    [
        'vm_defaults.disk_gib = "512M"',
        'vm_defaults.memory_mib = "2X"',
        'vm_defaults.memory_mib = "9999T"',
        "template.enabled = 1",
        'template.enabled = "yes"',
    ],
)
def test_other_sizes_and_switches_are_refused(line: str) -> None:
    with pytest.raises(ConfigInvalid, match="expected"):
        parse_config(line, "f")


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        values = parse_config(text, "f")
    except ConfigInvalid:
        return
    assert set(values) <= {option.key for option in OPTIONS}


def test_reading_settings_writes_nothing(tmp_path: Path) -> None:
    """B8."""
    load_settings(tmp_path / "config.toml", os.environ)
    assert list(tmp_path.iterdir()) == []
