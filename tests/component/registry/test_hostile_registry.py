"""F5: a registry that lies, stalls, floods and misleads gets a typed error, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from banger.errors import (
    ConfigInvalid,
    DeadlineExceeded,
    ImageInvalid,
    ImageUnsupported,
    RegistryDenied,
    RegistryMisbehaved,
    RegistryUnreachable,
)
from banger.host.http import tls
from banger.images.content import OCI_INDEX
from banger.images.registry import pull, retries
from banger.model.registries import Registries, RegistrySettings
from tests.component.registry.hostile import (
    Handler,
    HostileRegistry,
    hostile_registry,
    make_certificate,
)
from tests.component.registry.pulling import Puller, a_puller, run

CONTENT = bytes(range(256)) * 2000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait shorter between tries, and for an answer, than one does in the world."""
    monkeypatch.setattr(retries, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(tls, "PROBE_S", 0.5)


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with hostile_registry() as registry:
        registry.add_image("x", CONTENT)
        yield registry


@pytest.fixture
def other() -> Iterator[HostileRegistry]:
    """Another host: another port is another origin."""
    with hostile_registry() as registry:
        yield registry


def pull_x(registry: HostileRegistry, root: Path, **more: object) -> Puller:
    """Pull the image `x` and return what is left."""
    return pull_named(f"{registry.address}/x", root, **more)


def pull_named(reference: str, root: Path, **more: object) -> Puller:
    async def work() -> Puller:
        async with a_puller(root, **more) as puller:  # type: ignore[arg-type]
            await puller.pull(reference, insecure="registries" not in more)
            return puller

    return run(work())


def blobs_left(root: Path) -> list[str]:
    """Return the names of all files that the cache holds."""
    return [path.name for path in root.rglob("k/blobs/*/*")]


def test_the_honest_one_is_believed(registry: HostileRegistry, tmp_path: Path) -> None:
    assert registry.digests[0].removeprefix("sha256:") in pull_x(registry, tmp_path).blobs()


# --- manifests -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda h: h.send(b"<html>", kind="text/html"), ImageInvalid),
        (lambda h: h.send(b"", kind=OCI_INDEX), ImageInvalid),
        (lambda h: h.send_endlessly(), RegistryMisbehaved),
        (lambda h: h.send(b"x", length=2**40), RegistryMisbehaved),
        (lambda h: h.send(b"{}", length=9), RegistryUnreachable),
        (lambda h: h.send(b"", status=204), RegistryMisbehaved),
        (lambda h: h.send(b"", status=418), RegistryMisbehaved),
        (lambda h: h.send(b"", status=403), RegistryDenied),
        (lambda h: h.wfile.write(b"what?\r\n\r\n"), RegistryMisbehaved),
        (lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000), RegistryMisbehaved),
        (lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\na: " + b"b" * 10**6), RegistryMisbehaved),
        (lambda h: h.redirect("file:///etc/passwd"), RegistryMisbehaved),
        (lambda h: h.redirect("ftp://127.0.0.1/"), RegistryMisbehaved),
        (lambda h: h.redirect("http://[::1"), RegistryMisbehaved),
        (lambda h: h.redirect("http://127.0.0.1:99999/"), RegistryMisbehaved),
        (lambda h: h.redirect("http://x y/"), RegistryMisbehaved),
        (lambda h: h.redirect(h.path), RegistryMisbehaved),
        (lambda h: h.redirect(""), RegistryMisbehaved),
    ],
)
def test_an_answer_that_is_no_manifest_is_refused(
    registry: HostileRegistry, tmp_path: Path, answer: Callable[[Handler], None], error: type
) -> None:
    """F5."""
    registry.routes["/v2/x/manifests/latest"] = answer
    with pytest.raises(error) as caught:
        pull_x(registry, tmp_path)
    assert caught.type is error
    assert blobs_left(tmp_path) == []


def test_a_manifest_that_is_not_the_one_of_the_digest_is_refused(
    registry: HostileRegistry, tmp_path: Path
) -> None:
    """F5."""
    digest = f"sha256:{7:064x}"
    registry.routes[f"/v2/x/manifests/{digest}"] = registry.routes["/v2/x/manifests/latest"]
    with pytest.raises(ImageInvalid, match="does not match its digest"):
        pull_named(f"{registry.address}/x@{digest}", tmp_path)


def test_indexes_within_indexes_are_refused(registry: HostileRegistry, tmp_path: Path) -> None:
    """F5."""
    inner = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    entry = registry.add_blob("x", inner, OCI_INDEX)
    entry["platform"] = {"os": "linux", "architecture": "amd64"}
    registry.add_manifest("x", inner, tag=entry["digest"])
    outer = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    for tag, content in ((entry["digest"], inner), ("latest", outer)):
        registry.routes[f"/v2/x/manifests/{tag}"] = lambda h, content=content: h.send(
            content, kind=OCI_INDEX
        )
    with pytest.raises(ImageUnsupported, match="index of indexes"):
        pull_x(registry, tmp_path)


# --- layers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda h: h.send(b"short"), RegistryUnreachable),
        (lambda h: h.send(b"x" * (len(CONTENT) + 10240)), ImageInvalid),
        (lambda h: h.send(CONTENT * 2), ImageInvalid),
        (lambda h: h.send(b"x", length=2**50), ImageInvalid),
        (lambda h: h.send_endlessly(), ImageInvalid),
        (lambda h: h.send(b"", status=404), RegistryMisbehaved),
        (lambda h: h.send(b"x", status=206, Content_Range="bytes 5-9/10"), RegistryUnreachable),
    ],
)
def test_a_layer_that_is_something_else_is_refused(
    registry: HostileRegistry, tmp_path: Path, answer: Callable[[Handler], None], error: type
) -> None:
    """F5, F1: wrong digests, wrong sizes, truncated and endless bodies."""
    registry.routes[registry.blob_path("x")] = answer
    with pytest.raises(error) as caught:
        pull_x(registry, tmp_path)
    assert caught.type is error
    hidden = registry.digests[0].removeprefix("sha256:")
    assert not (tmp_path / "k/blobs/sha256" / hidden).exists()
    assert len(registry.asked(registry.digests[0])) <= retries.TRIES


def test_a_download_that_breaks_off_goes_on_by_itself(
    registry: HostileRegistry, tmp_path: Path
) -> None:
    """F5: as long as each try gets further, tries do not run out."""
    path, whole = registry.blob_path("x"), registry.routes[registry.blob_path("x")]
    size = len(CONTENT) // 12

    def a_bit(handler: Handler) -> None:
        start = int((handler.headers["Range"] or "bytes=0-")[6:-1])
        caught: list[bytes] = []
        keeper = type("Keeper", (), {"send": lambda _, content: caught.append(content)})()
        whole(keeper)
        content = caught[0]
        headers = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        status, rest = (206, content[start:]) if start else (200, content)
        handler.send(rest[:size], status=status, length=len(rest), **(headers if start else {}))

    registry.routes[path] = a_bit
    pull_x(registry, tmp_path)
    asked = registry.asked(path)
    assert len(asked) > 2 * retries.TRIES
    assert [headers.get("Range") for headers in asked[:3]] == [
        None,
        f"bytes={size}-",
        f"bytes={2 * size}-",
    ]


def test_a_registry_that_knows_no_ranges_begins_anew(
    registry: HostileRegistry, tmp_path: Path
) -> None:
    path, whole = registry.blob_path("x"), registry.routes[registry.blob_path("x")]
    numbers = itertools.count()
    registry.routes[path] = lambda h: (
        h.send(b"bad", length=len(CONTENT)) if next(numbers) == 0 else whole(h)
    )
    pull_x(registry, tmp_path)
    assert len(registry.asked(path)) == 2


# --- trying again ----------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_registry_is_asked_again(
    registry: HostileRegistry, tmp_path: Path, status: int
) -> None:
    """F5: 429 and 5xx; Retry-After is kept."""
    whole = registry.routes["/v2/x/manifests/latest"]
    numbers = itertools.count()
    registry.routes["/v2/x/manifests/latest"] = lambda h: (
        h.send(b"", status=status, Retry_After="0") if next(numbers) < 3 else whole(h)
    )
    pull_x(registry, tmp_path)
    assert len(registry.asked("manifests")) == 4


def test_a_registry_that_asks_for_a_long_time_is_not_waited_for(
    registry: HostileRegistry, tmp_path: Path
) -> None:
    """F5."""
    body = json.dumps({"errors": [{"code": "TOOMANY", "message": "slow\x1b[2Jly"}]}).encode()
    registry.routes["/v2/x/manifests/latest"] = lambda h: h.send(
        body, status=429, Retry_After="86400"
    )
    with pytest.raises(RegistryUnreachable, match=r"429 \(TOOMANY: slow\?\[2Jly\)"):
        pull_x(registry, tmp_path)
    assert len(registry.asked("manifests")) == 1


def test_a_registry_that_is_always_busy_is_given_up(
    registry: HostileRegistry, tmp_path: Path
) -> None:
    """F5."""
    registry.routes["/v2/x/manifests/latest"] = lambda h: h.send(b"", status=502)
    with pytest.raises(RegistryUnreachable, match="status 502"):
        pull_x(registry, tmp_path)
    assert len(registry.asked("manifests")) == retries.TRIES


def test_everything_together_has_a_deadline(
    registry: HostileRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F5: a body that trickles is no silence, and yet it ends."""
    monkeypatch.setattr(pull, "PULL_DEADLINE_S", 0.5)

    def trickle(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not over.wait(0.05):
            handler.wfile.write(b"{")

    over = threading.Event()
    registry.routes["/v2/x/manifests/latest"] = trickle
    try:
        with pytest.raises(DeadlineExceeded, match="x:latest took longer than"):
            pull_x(registry, tmp_path)
    finally:
        over.set()


# --- who gets to see credentials -----------------------------------------------------


def log_in(root: Path, registry: HostileRegistry) -> dict[str, str]:
    """Return an environment in which the user has logged in at a registry."""
    (root / "docker").mkdir()
    auth = base64.b64encode(b"user:pass word").decode()
    document = {"auths": {registry.address: {"auth": auth}}}
    (root / "docker/config.json").write_text(json.dumps(document))
    return {"DOCKER_CONFIG": str(root / "docker")}


def want_basic(answer: Callable[[Handler], None]) -> Callable[[Handler], None]:
    def guarded(handler: Handler) -> None:
        if handler.headers["Authorization"]:
            answer(handler)
        else:
            handler.send(b"", status=401, WWW_Authenticate='Basic realm="r"')

    return guarded


def test_credentials_stay_with_their_host(
    registry: HostileRegistry, other: HostileRegistry, tmp_path: Path
) -> None:
    """F5: a redirect is followed without them; they are sent only when they are asked for."""
    environ = log_in(tmp_path, registry)
    path = registry.blob_path("x")
    other.routes[path] = registry.routes[path]
    registry.routes[path] = want_basic(lambda h: h.redirect(f"http://{other.address}{path}"))
    registry.routes["/v2/x/manifests/latest"] = want_basic(
        registry.routes["/v2/x/manifests/latest"]
    )
    pull_x(registry, tmp_path, environ=environ)
    sent = [headers.get("Authorization") for headers in registry.asked("manifests")]
    assert sent == [None, "Basic " + base64.b64encode(b"user:pass word").decode()]
    assert [headers.get("Authorization") for headers in other.asked("blobs")] == [None]


def test_credentials_follow_a_redirect_at_home(registry: HostileRegistry, tmp_path: Path) -> None:
    environ = log_in(tmp_path, registry)
    whole = registry.routes["/v2/x/manifests/latest"]
    registry.routes["/elsewhere"] = want_basic(whole)
    registry.routes["/v2/x/manifests/latest"] = want_basic(lambda h: h.redirect("/elsewhere"))
    pull_x(registry, tmp_path, environ=environ)


def test_a_token_is_asked_for_with_the_credentials(
    registry: HostileRegistry, other: HostileRegistry, tmp_path: Path
) -> None:
    environ = log_in(tmp_path, registry)
    numbers = itertools.count(1)
    other.routes["/token"] = lambda h: h.send(
        json.dumps({"token": f"token-{next(numbers)}"}).encode()
    )
    challenge = f'Bearer realm="http://{other.address}/token",service="s",scope="everything"'

    def guard(path: str) -> None:
        whole = registry.routes[path]
        registry.routes[path] = lambda h: (
            whole(h)
            if h.headers["Authorization"] == "Bearer token-1"
            else h.send(b"", status=401, WWW_Authenticate=challenge)
        )

    for path in list(registry.routes):
        guard(path)
    pull_x(registry, tmp_path, environ=environ)
    (path, headers), *more = other.requests
    assert more == []
    assert path == "/token?service=s&scope=repository%3Ax%3Apull"
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"user:pass word").decode()


@pytest.mark.parametrize(
    ("challenge", "error"),
    [
        ('Bearer realm="file:///etc/passwd"', RegistryMisbehaved),
        ("Bearer", RegistryMisbehaved),
        ("Negotiate", RegistryMisbehaved),
        ("", RegistryMisbehaved),
        ('Basic realm="r"', RegistryDenied),
    ],
)
def test_a_way_in_that_is_none_is_refused(
    registry: HostileRegistry, tmp_path: Path, challenge: str, error: type
) -> None:
    """F5."""
    registry.routes["/v2/x/manifests/latest"] = lambda h: h.send(
        b"", status=401, WWW_Authenticate=challenge
    )
    with pytest.raises(error):
        pull_x(registry, tmp_path)


@pytest.mark.parametrize(
    "token", [b"{}", b"[]", b"\xff", b'{"token":"a\\r\\nX: b"}', b'{"token":1}']
)
def test_a_token_that_is_none_is_refused(
    registry: HostileRegistry, tmp_path: Path, token: bytes
) -> None:
    """F5: it would become a header of ours."""
    registry.routes["/token"] = lambda h: h.send(token)
    registry.routes["/v2/x/manifests/latest"] = lambda h: h.send(
        b"", status=401, WWW_Authenticate=f'Bearer realm="http://{registry.address}/token"'
    )
    with pytest.raises(RegistryMisbehaved, match="sent no token"):
        pull_x(registry, tmp_path)


# --- TLS -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificate: Path) -> Iterator[HostileRegistry]:
    with hostile_registry(certificate) as registry:
        registry.add_image("x", CONTENT)
        yield registry


def over_tls(registry: HostileRegistry) -> Registries:
    return Registries({registry.address: RegistrySettings(insecure=False)})


def test_the_systems_certificates_are_what_counts(
    secure: HostileRegistry, certificate: Path, tmp_path: Path
) -> None:
    """Or those that the caller names, as for other programs."""
    with pytest.raises(RegistryUnreachable, match=r"certificate of .* is not accepted"):
        pull_x(secure, tmp_path, registries=over_tls(secure))
    trusting = {"HOME": str(tmp_path), "SSL_CERT_FILE": str(certificate)}
    pull_x(secure, tmp_path, registries=over_tls(secure), environ=trusting)
    # On loopback it is found out.
    pull_x(secure, tmp_path, registries=Registries(), environ=trusting)
    (tmp_path / "empty").touch()
    with pytest.raises(
        ConfigInvalid, match="/empty, named by SSL_CERT_FILE, contains no certificates"
    ):
        pull_x(
            secure,
            tmp_path / "another",
            registries=over_tls(secure),
            environ={"SSL_CERT_FILE": str(tmp_path / "empty")},
        )


def test_tls_is_not_given_up_on_the_way(
    secure: HostileRegistry,
    other: HostileRegistry,
    certificate: Path,
    tmp_path: Path,
) -> None:
    """F5: neither by a redirect nor for a token."""
    trusting = {"HOME": str(tmp_path), "SSL_CERT_FILE": str(certificate)}
    manifest = "/v2/x/manifests/latest"
    secure.routes[manifest] = lambda h: h.redirect(f"http://{other.address}{manifest}")
    with pytest.raises(RegistryMisbehaved, match="from TLS to plain HTTP"):
        pull_x(secure, tmp_path, registries=over_tls(secure), environ=trusting)
    secure.routes[manifest] = lambda h: h.send(
        b"", status=401, WWW_Authenticate=f'Bearer realm="http://{other.address}/token"'
    )
    with pytest.raises(RegistryMisbehaved, match="token server that is not acceptable"):
        pull_x(secure, tmp_path, registries=over_tls(secure), environ=trusting)
    assert other.requests == []


def test_a_registry_without_tls_is_not_asked_in_the_open(
    registry: HostileRegistry, tmp_path: Path
) -> None:
    """F5: unless it is on loopback, or the user says so."""
    with pytest.raises(RegistryUnreachable):
        pull_x(registry, tmp_path, registries=over_tls(registry))
    assert registry.requests == []
    pull_x(registry, tmp_path, registries=Registries())


# --- going away --------------------------------------------------------------------


def test_who_goes_away_leaves_the_download_to_the_others(
    registry: HostileRegistry, tmp_path: Path
) -> None:
    """C3, C5: the last asker's going ends it; what was there of it is gone on from."""
    path, whole = registry.blob_path("x"), registry.routes[registry.blob_path("x")]
    begun, go_on = threading.Event(), threading.Event()

    def half(handler: Handler) -> None:
        caught: list[bytes] = []
        whole(type("Keeper", (), {"send": lambda _, content: caught.append(content)})())
        content = caught[0]
        start = int((handler.headers["Range"] or "bytes=0-")[6:-1])
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        middle = max(start, 100_000)
        handler.wfile.write(content[start:middle])
        begun.set()
        assert go_on.wait(60)
        handler.wfile.write(content[middle:])

    registry.routes[path] = half

    async def work() -> None:
        async with a_puller(tmp_path) as puller:
            reference = f"{registry.address}/x"
            askers = [asyncio.create_task(puller.pull(reference, insecure=True)) for _ in range(2)]
            await asyncio.to_thread(begun.wait, 60)
            await until_asked_by(2, puller, registry)
            askers[0].cancel()
            await asyncio.wait(askers[:1])
            assert not askers[1].done()
            askers[1].cancel()  # the last one
            await asyncio.wait(askers)
            begun.clear()
            again = asyncio.create_task(puller.pull(reference, insecure=True))
            await asyncio.to_thread(begun.wait, 60)
            another = asyncio.create_task(puller.pull(reference, insecure=True))
            await until_asked_by(2, puller, registry)
            again.cancel()
            await asyncio.wait([again])
            go_on.set()
            await another
            assert puller.partial() == []
            assert registry.digests[0].removeprefix("sha256:") in puller.blobs()

    try:
        run(work())
    finally:
        go_on.set()
    ranges = [headers.get("Range") for headers in registry.asked(path)]
    assert ranges == [None, "bytes=100000-"]


async def until_asked_by(number: int, puller: Puller, registry: HostileRegistry) -> None:
    """Return when so many pulls wait for the layer."""
    async with asyncio.timeout(60):
        while puller.count_askers(registry.digests[0]) < number:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
