"""G6: requests of real clients, in which values take the place of placeholders (ADR 0100)."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.component.network.test_user_network import run_in_namespace
from tests.component.network.with_secrets import API, FILES, OTHER, PLACEHOLDERS
from tests.support.environs import make_short_dir

pytestmark = pytest.mark.timeout(400)
SCRIPT = Path(__file__).with_name("with_secrets.py")
API_ONLY = "api is for the headers authorization of requests to api.example, bad.example, socket"
REFUSED = {
    "in url": API_ONLY,
    "in another header": API_ONLY,
    "in the body": API_ONLY,
    "in a big body": API_ONLY,
    "to another bound host": API_ONLY,
    "in another bound header": API_ONLY,
    "in another's basic": API_ONLY,
    "fronting": "HTTP for other.example",
    "absolute": "HTTP without a host, or with two",
    "bad certificate": "the server's certificate: self",
}


@pytest.fixture(scope="module")
def found(run_dir: Path) -> dict[str, Any]:
    """What each attempt came to; see `with_secrets.py`."""
    said = run_in_namespace(str(SCRIPT), str(make_short_dir(run_dir)), deadline_s=380)
    result: dict[str, Any] = json.loads(said.splitlines()[-1])
    return result


def read_answers(found: dict[str, Any], label: str) -> list[dict[str, Any]]:
    """Return what the server was asked, as it told that."""
    status, said, errors = found[label]
    assert status == 0, errors
    decoder, answers = json.JSONDecoder(), []
    while said:
        answer, end = decoder.raw_decode(said)
        answers.append(answer)
        said = said[end:]
    return answers


BEARER = ("bearer", "kept alive", "body", "chunked", "expect", "at another port")


@pytest.mark.parametrize("label", [*BEARER, "under a wildcard"])
def test_the_value_takes_the_place_of_the_placeholder(found: dict[str, Any], label: str) -> None:
    """G6: whatever way the request is made, and however often on a connection."""
    answers = read_answers(found, label)
    assert {each["headers"]["authorization"] for each in answers} == {f"Bearer {API}"}
    assert len({each["connection"] for each in answers}) == 1


def test_the_value_takes_the_place_in_a_password(found: dict[str, Any]) -> None:
    """G6: of Basic credentials."""
    (answer,) = read_answers(found, "basic")
    coded = answer["headers"]["authorization"].removeprefix("Basic ")
    assert base64.b64decode(coded).decode() == f"user:{API}"


def test_a_body_arrives_as_it_was_sent(found: dict[str, Any]) -> None:
    """E4: of 3 MiB, whose length is told, or in chunks, at once or when the server asks for it."""
    sent = [read_answers(found, label)[0]["body"] for label in ("body", "chunked", "expect")]
    bodies = {tuple(each) for each in sent}
    assert {length for length, _ in bodies} == {3 << 20}
    assert len(bodies) == 1


def test_an_answer_of_any_size_comes_back(found: dict[str, Any]) -> None:
    assert found["big answer"][:2] == [0, str(8 << 20)]


def test_each_secret_is_for_its_own_hosts_and_headers(found: dict[str, Any]) -> None:
    """G6: and what has no placeholder is passed on as it is."""
    assert read_answers(found, "other")[0]["headers"]["x-other"] == OTHER
    assert "authorization" not in read_answers(found, "no secret")[0]["headers"]


def test_tls_to_other_hosts_is_not_ended(found: dict[str, Any]) -> None:
    """E4, G6: nor to those that there is no certificate for; the client verifies the server's."""
    assert found["lacks a certificate"] is True
    for label in ("plain", "two labels under a wildcard"):
        (answer,) = read_answers(found, label)
        assert answer["headers"]["authorization"] == f"Bearer {PLACEHOLDERS['api']}"


def test_hosts_that_a_secret_gets_and_loses_are_those_of_a_running_vm(
    found: dict[str, Any],
) -> None:
    """G6, I8: at once, with no rule of the VM's own; afterwards its name is resolved no more."""
    for label, value in (("later", OTHER), ("rotated", "rotated")):
        (answer,) = read_answers(found, label)
        assert answer["headers"]["authorization"] == value
    for label in ("before", "afterwards"):
        assert "Could not resolve host" in found[label][2]


@pytest.mark.parametrize("label", REFUSED)
def test_a_misuse_is_refused_told_and_noted(found: dict[str, Any], label: str) -> None:
    """G6, I6: as is a server whose certificate the host does not trust."""
    host = {"bad certificate": "bad.example"}.get(label, "api.example")
    host = "other.example" if "bound" in label or "another's" in label else host
    assert "the egress policy of this VM refuses this" in found[label][1]
    whys = [why for target, _, why in found["denials"] if target == f"{host}:443/tcp"]
    assert [why for why in whys if why.startswith(REFUSED[label])]


def test_a_placeholder_goes_nowhere_without_tls(found: dict[str, Any]) -> None:
    """G6."""
    assert found["by http"][0] != 0
    assert found["without TLS at another port"][0] != 0
    (why,) = [why for target, _, why in found["denials"] if target == "registry.example:8443/tcp"]
    assert why == "not TLS"
    (why,) = [why for target, _, why in found["denials"] if target == "api.example:80/tcp"]
    assert why.startswith(API_ONLY)


def test_a_websocket_passes_after_the_server_agreed(found: dict[str, Any]) -> None:
    """E4: of a real client, which says who it is by a header; what it sends is as it was."""
    assert found["websocket"][:2] == [0, f"{API} True\n"], found["websocket"]


def test_a_client_that_does_not_trust_the_authority_is_noted(found: dict[str, Any]) -> None:
    """I6: it has certificates of its own, and the variables do not reach it."""
    assert "CERTIFICATE_VERIFY_FAILED" in found["distrust"][2]
    whys = [why for target, _, why in found["denials"] if target == "api.example:443/tcp"]
    assert [why for why in whys if why.startswith("TLS with the guest: TLS")]


def test_git_and_pip_work_with_a_placeholder(found: dict[str, Any]) -> None:
    """G6: in the password of a URL; without it the server refuses."""
    assert found["git"][0] == 0, found["git"]
    assert found["git"][1].endswith("refs/heads/main\n")
    assert found["git without"][0] != 0
    assert found["pip"][0] == 0, found["pip"]


def test_a_new_value_is_used_by_the_next_request(found: dict[str, Any]) -> None:
    """G6: of an open connection; one that was for a secret that is gone ends."""
    status, said, errors = found["kept open"]
    assert status == 0, errors
    assert said.splitlines() == [API, "rotated", "ended"]


def test_without_the_secret_tls_is_not_ended(found: dict[str, Any]) -> None:
    """G6: the server gets the placeholder, from the guest itself."""
    (answer,) = read_answers(found, "gone")
    assert answer["headers"]["authorization"] == PLACEHOLDERS["api"]


def test_no_value_is_in_the_log_or_in_a_refusal(found: dict[str, Any]) -> None:
    """G6."""
    said = json.dumps([found["log"], found["denials"], *(found[each] for each in REFUSED)])
    assert not [value for value in (API, OTHER, FILES) if value in said]
