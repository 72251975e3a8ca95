"""Forged tokens over HTTP: all are told the same, and the log keeps none of them."""

import http.client
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from fastapi.testclient import TestClient

from media_inference.api.services import Services
from media_inference.api.tokens import Refusal, TokenVerifier
from tests.stands.forged_tokens import forged, genuine
from tests.stands.served_api import served
from tests.stands.token_parts import AUDIENCE, ISSUER, PUBLIC, true_token

ADMINS_ONLY = "/admin/stats"


@pytest.fixture
def services(services: Services, tmp_path: Path) -> Services:
    """A service that knows the key of the forgers' victim."""
    (tmp_path / "victim.pem").write_bytes(PUBLIC)
    return replace(services, access=TokenVerifier(tmp_path / "victim.pem", ISSUER, AUDIENCE))


@pytest.fixture
def connection(services: Services) -> Iterator[http.client.HTTPConnection]:
    """To a real server."""
    with served(services) as api:
        connection = http.client.HTTPConnection(*api.address, timeout=30)
        yield connection
        connection.close()


def _ask(
    connection: http.client.HTTPConnection, *authorization: str, path: str = ADMINS_ONLY
) -> tuple[int, bytes, str | None]:
    connection.putrequest("GET", path)
    for value in authorization:
        connection.putheader("Authorization", value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.getheader("WWW-Authenticate")


def _can_be_sent(token: str) -> bool:
    return token.isascii() and token.isprintable() and token == token.strip() and len(token) < 100_000


def test_every_forged_token_gets_the_same_401_from_a_real_server(connection: http.client.HTTPConnection) -> None:
    tokens = {name: token for name, token in forged() if _can_be_sent(token)}
    assert len(tokens) > 500
    without = _ask(connection)
    assert (without[0], without[2]) == (401, "Bearer")
    answers = {name: _ask(connection, f"Bearer {token}") for name, token in tokens.items()}
    assert {name: answer for name, answer in answers.items() if answer != without} == {}


def test_every_genuine_token_is_let_in_by_a_real_server(connection: http.client.HTTPConnection) -> None:
    for name, token in genuine():
        assert _ask(connection, f"Bearer {token}")[0] == 200, name


def test_a_token_is_read_from_one_authorization_header_and_from_nowhere_else(
    connection: http.client.HTTPConnection,
) -> None:
    token = true_token()
    good = f"Bearer {token}"
    assert _ask(connection, good)[0] == 200
    for headers in (
        (good, good),
        (good, "Bearer nonsense"),
        ("Bearer nonsense", good),
        (good, "Basic bTpt"),
        ("Basic bTpt", good),
        (good, ""),
        (f"{good}, {good}",),
        (f"{good},",),
        (f"Basic {token}",),
        (f"Token {token}",),
        (f"JWT {token}",),
        (f"DPoP {token}",),
        (f"Bearer: {token}",),
        (f"Bearer={token}",),
        (f'Bearer token="{token}"',),
        (f"Bearer\t{token}",),
        (token,),
    ):
        assert _ask(connection, *headers)[0] == 401, [header.replace(token, "…") for header in headers]
    for name in ("token", "access_token", "authorization", "bearer", "jwt"):
        assert _ask(connection, path=f"{ADMINS_ONLY}?{name}={token}")[0] == 401
    for name in ("X-Authorization", "Proxy-Authorization", "X-Access-Token", "X-Forwarded-Authorization", "Cookie"):
        connection.request("GET", ADMINS_ONLY, headers={name: f"token={token}" if name == "Cookie" else good})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 401, name


def test_the_log_says_why_and_has_no_piece_of_a_token(stranger: TestClient) -> None:
    tokens = {name: token for name, token in forged() if token and _can_be_sent(token)}
    with structlog.testing.capture_logs() as lines:
        for token in tokens.values():
            headers = {"Authorization": f"Bearer {token}"}
            assert stranger.get(ADMINS_ONLY, headers=headers).status_code == 401
    refused = [line for line in lines if line["action"] == "token_refused"]
    assert len(refused) == len(tokens)
    assert {line["reason"] for line in refused} >= set(Refusal) - {Refusal.MISSING, Refusal.TOO_LONG}
    told = {str(value) for line in refused for value in line.values()}
    assert len(told) < 50  # words of ours, however many tokens there are
    pieces = {piece for token in tokens.values() for piece in token.split(".") if len(piece) >= 8}
    assert not [piece for piece in pieces if any(piece in text for text in told)]


def test_a_token_of_a_megabyte_is_refused_at_once(stranger: TestClient) -> None:
    for token in ("A" * 1_000_000, true_token() + "A" * 1_000_000, "." * 1_000_000):
        assert stranger.get(ADMINS_ONLY, headers={"Authorization": f"Bearer {token}"}).status_code == 401
