"""E6, G6: how a browser logs in, and what its cookie is good for."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from http.cookies import SimpleCookie
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger import store
from banger.api.tokens import TokenCreate
from banger.engine.verbs import tokens
from banger.errors import TokenInvalid
from banger.model.scopes import Scope
from tests.component.daemon.running import DEADLINE_S
from tests.component.web.fronts import Answer, Front


def log_in(front: Front, token: str | None = None) -> Answer:
    """Exchange a one-time token, as the page does."""
    token = token or front.call("login.offer").json["token"]
    return browse(front, "POST", "/session", json.dumps({"token": token}).encode())


def browse(
    front: Front, method: str, path: str, body: bytes | None = None, **more: str | None
) -> Answer:
    """Send a request as the page does."""
    headers = {"Host": front.host, "Origin": front.origin, "Sec-Fetch-Site": "same-origin", **more}
    if body is not None:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return front.send(method, path, body, headers)


def cookie_of(answer: Answer) -> str:
    (morsel,) = SimpleCookie(answer.headers["set-cookie"]).values()
    return f"{morsel.key}={morsel.value}"


def login_of(answer: Answer) -> dict[str, str]:
    """Return what the page sends once it is logged in."""
    return {"Cookie": cookie_of(answer), "Banger-Login-Key": answer.json["key"]}


@pytest.fixture
def login(front: Front) -> dict[str, str]:
    return login_of(log_in(front))


def test_a_page_logs_in_once_with_a_token(front: Front) -> None:
    token = front.call("login.offer").json["token"]
    answer = log_in(front, token)
    assert answer.status == 200
    assert answer.json["expires_at"] > time.time()
    (morsel,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert morsel["httponly"] and morsel["samesite"] == "strict" and morsel["path"] == "/"
    assert not morsel["domain"]
    assert morsel.key.startswith("banger-")
    assert browse(front, "POST", "/api/vm.list", **login_of(answer)).status == 200
    again = log_in(front, token)
    assert (again.status, "set-cookie" in again.headers) == (401, False)


@pytest.mark.parametrize("body", [b"{}", b'{"token": 1}', b"[]", b'{"token": "x"}'])
def test_what_is_no_token_logs_nobody_in(front: Front, body: bytes) -> None:
    answer = browse(front, "POST", "/session", body)
    assert answer.status in (400, 401) and "set-cookie" not in answer.headers


def test_no_address_gives_a_token_away(front: Front) -> None:
    for path in ("/session", "/api/login.offer"):
        assert browse(front, "GET", path).status in (404, 405)
    assert "set-cookie" not in browse(front, "GET", "/").headers
    assert browse(front, "POST", "/api/login.offer").status == 401


def test_another_page_cannot_log_a_browser_in(front: Front) -> None:
    token = front.call("login.offer").json["token"]
    body = json.dumps({"token": token}).encode()
    other = browse(front, "POST", "/session", body, Origin="https://attacker.example")
    none = browse(front, "POST", "/session", body, Origin=None)
    assert (other.status, none.status) == (403, 403)
    assert log_in(front, token).status == 200


def test_a_page_logs_out(front: Front, login: dict[str, str]) -> None:
    """For good: whoever has kept the cookie is refused."""
    answer = browse(front, "DELETE", "/session", **login)
    assert answer.status == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert browse(front, "POST", "/api/vm.list", **login).status == 401
    assert browse(front, "DELETE", "/session").status == 204


def test_a_guests_page_that_gets_the_cookie_has_no_use_for_it(
    front: Front, login: dict[str, str]
) -> None:
    """Browsers send a cookie to every port of a host, so to a guest's server on 127.0.0.1."""
    cookie = login["Cookie"]
    assert front.with_token(cookie.partition("=")[2]).call("vm.list").status == 401
    assert browse(front, "POST", "/api/vm.list", Cookie=cookie).status == 401
    for guest in ("http://127.0.0.1:8080", "http://8000-box.localhost:7780", None):
        answer = browse(front, "POST", "/api/vm.list", **login, Origin=guest)
        assert (answer.status, answer.json["code"]) == (403, "denied"), guest
    same_site = {"Origin": None, "Sec-Fetch-Site": "same-site", **login}
    assert browse(front, "GET", "/api/events", **same_site).status == 403


def test_neither_half_of_a_login_is_a_token(front: Front, login: dict[str, str]) -> None:
    name, half = login["Cookie"].split("=")
    key = login["Banger-Login-Key"]
    assert browse(front, "POST", "/api/vm.list", **{"Banger-Login-Key": key}).status == 401
    assert front.with_token(half + key).call("vm.list").status == 401
    for cookie in (f"{name}={front.token}", f"{name}={half}{key}", f"{name}={half[:-1]}x"):
        answer = browse(front, "POST", "/api/vm.list", **{**login, "Cookie": cookie})
        assert answer.status == 401


def test_a_token_that_was_not_used_in_time_is_refused(tmp_path: Path) -> None:
    """Nor is it left to be used by another page later."""

    async def work() -> None:
        database = await store.open_database(tmp_path / "banger.db")
        engine: Any = SimpleNamespace(database=database)
        now = time.time()
        for number, expires_at in enumerate((now - 1, now + 60)):
            await database.write(
                store.insert_token,
                store.TokenRow(
                    hash=hashlib.sha256(str(number).encode()).digest(),
                    kind="offer",
                    scope="manage",
                    created_at=now - 31,
                    expires_at=expires_at,
                ),
            )
        with pytest.raises(TokenInvalid):
            await tokens.begin_login(engine, "0")
        assert (await tokens.begin_login(engine, "1")).expires_at is not None
        offer = await tokens.offer_login(engine)
        assert offer.expires_at is not None and offer.expires_at <= time.time() + tokens.OFFER_S
        assert len(await database.read(store.load_tokens, "offer")) == 1
        await database.close()

    asyncio.run(work())


def test_a_token_s_end_is_waited_for(tmp_path: Path) -> None:
    """Its time or its deletion; the end of another is none."""

    async def work() -> None:
        database = await store.open_database(tmp_path / "banger.db")
        engine: Any = SimpleNamespace(database=database, token_deleted=asyncio.Event())

        async def begin(**more: float) -> asyncio.Future[object]:
            params = TokenCreate(name=f"t{len(more)}", scope=Scope.READ, **more)
            made = await tokens.create_token(engine, params)
            return asyncio.ensure_future(tokens.wait_for_token_end(engine, made.token, "program"))

        for_ever, short = await begin(), await begin(expires_s=1.0)
        await asyncio.wait({short})
        assert not for_ever.done()
        await tokens.create_token(engine, TokenCreate(name="other", scope=Scope.READ))
        await tokens.delete_token(engine, "other")
        await asyncio.sleep(0)
        assert not for_ever.done()
        await tokens.delete_token(engine, "t0")
        assert (await for_ever).name == "t0"
        await database.close()

    asyncio.run(asyncio.wait_for(work(), DEADLINE_S))
