"""What is asked of a kernel that is built here, and whether it has become so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import InvalidRequest
from banger.kernels.catalogue import needs_of
from banger.kernels.smallconfig import find_refused, load_options, parse_options, render_options


def test_the_built_in_options_have_all_that_guests_need() -> None:
    """Built in, as there are no modules; a kernel that lacks one would be refused at the end."""
    asked = {name: value for line in load_options("x86_64") for name, value in line.items()}
    needed = {need.option for need in needs_of("x86_64")} - {"MODULES"}
    assert {name for name in needed if asked.get(name) != "y"} == set()
    assert asked["PVH"] == "y"  # it is booted uncompressed
    assert asked["IKCONFIG"] == "y"  # and carries what it was built with


def test_no_option_is_asked_for_twice() -> None:
    names = [name for line in load_options("x86_64") for name in line]
    assert sorted(names) == sorted(set(names))


def test_there_is_no_list_for_other_machines() -> None:
    with pytest.raises(InvalidRequest, match="no kernel configuration for aarch64"):
        load_options("aarch64")


TEXT = """
# a comment
CONFIG_A=y
CONFIG_B=n
CONFIG_OLD=y | CONFIG_NEW=y
CONFIG_NUMBER=64
CONFIG_NAME="-banger"
"""


def test_what_was_taken_and_what_was_not() -> None:
    """Kconfig is silent about both; an option that is off has no line with a value."""
    wanted = parse_options(TEXT, where="here")
    assert render_options(wanted) == (
        'CONFIG_A=y\nCONFIG_B=n\nCONFIG_OLD=y\nCONFIG_NEW=y\nCONFIG_NUMBER=64\nCONFIG_NAME="-banger"\n'
    )
    taken = (
        'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_NEW=y\nCONFIG_NUMBER=64\nCONFIG_NAME="-banger"'
    )
    assert find_refused(wanted, taken) == []
    other = "CONFIG_A=m\nCONFIG_B=y\nCONFIG_NUMBER=8\n"
    assert find_refused(wanted, other) == [
        "CONFIG_A=y",
        "CONFIG_B=n",
        "CONFIG_OLD=y or CONFIG_NEW=y",
        "CONFIG_NUMBER=64",
        'CONFIG_NAME="-banger"',
    ]


def test_a_later_line_for_the_same_option_counts() -> None:
    wanted = parse_options("CONFIG_A=y\nCONFIG_A=n\n", where="here")
    assert find_refused(wanted, "# CONFIG_A is not set\n") == []
    assert find_refused(wanted, "CONFIG_A=y\n") == ["CONFIG_A=n"]


@pytest.mark.parametrize("line", ["A=y", "CONFIG_A", "CONFIG_A=m", "CONFIG_A=y |", "CONFIG_A= y"])
def test_other_lines_are_refused_by_their_number(line: str) -> None:
    with pytest.raises(InvalidRequest, match="mine, line 2: not a line such as"):
        parse_options(f"\n{line}\n", where="mine")


@given(st.text(max_size=300))
def test_any_text_is_options_or_our_error(text: str) -> None:
    try:
        wanted = parse_options(text, where="here")
    except InvalidRequest:
        return
    assert len(find_refused(wanted, "")) <= len(wanted)
