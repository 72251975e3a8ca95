"""What users have set for the hub holds here too: mirror, offline mode, proxies, token."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from media_inference.models.model import HubFile
from media_inference.models.yunet import YUNET_2023MAR
from tests.stands.hub import Behaviour, Hub, hub
from tests.stands.model_commands import pulling, run_on_a_terminal

pytestmark = pytest.mark.slow

(FILE,) = (file for file in YUNET_2023MAR.files if isinstance(file, HubFile))
TOKEN = "hf_secret"


@pytest.fixture
def running(shared: Path) -> Iterator[Hub]:
    """A hub that has the default detector."""
    with hub() as stand:
        stand.put(FILE.repo, FILE.revision, FILE.path, (shared / "models" / FILE.name).read_bytes())
        yield stand


def pull(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    with pulling(folder, environment) as process:
        said = process.communicate(timeout=60)[1]
    return subprocess.CompletedProcess(process.args, process.returncode, "", said)


def is_there(folder: Path) -> bool:
    return (folder / "models" / YUNET_2023MAR.name / FILE.name).is_file()


def test_a_mirror_is_asked_in_place_of_the_hub(running: Hub, tmp_path: Path) -> None:
    done = pull(tmp_path, HF_ENDPOINT=running.url)

    assert done.returncode == 0, done.stderr
    assert is_there(tmp_path)
    assert len(running.ranges) == 1


def test_the_bar_stays_on_one_line_of_a_terminal(running: Hub, tmp_path: Path) -> None:
    status, lines = run_on_a_terminal(
        tmp_path, 80, "models", "pull", YUNET_2023MAR.name, "mtcnn", settings={"HF_ENDPOINT": running.url}
    )

    assert status == 0
    assert max(map(len, lines)) <= 80
    bars = [line for line in lines if line.startswith(f"{YUNET_2023MAR.name} ")]
    assert re.search(r"232\.6/232\.6 kB +[\d.]+ [kMG]?B/s +0:00:00$", bars[-1])
    assert lines[-1] == "mtcnn: built in"


def test_offline_nobody_is_asked(running: Hub, tmp_path: Path) -> None:
    done = pull(tmp_path, HF_ENDPOINT=running.url, HF_HUB_OFFLINE="1")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "HF_HUB_OFFLINE is set, so nothing is downloaded"
    assert running.requests == []


def test_a_proxy_is_asked_for_what_can_not_be_reached_directly(running: Hub, tmp_path: Path) -> None:
    done = pull(tmp_path, HF_ENDPOINT="http://hub.invalid", HTTP_PROXY=running.url)

    assert done.returncode == 0, done.stderr
    assert is_there(tmp_path)


def test_a_proxy_for_https_is_asked_for_a_tunnel_to_the_hub_and_sees_no_more(running: Hub, tmp_path: Path) -> None:
    done = pull(tmp_path, HF_ENDPOINT="https://hub.invalid", HTTPS_PROXY=running.url, HF_TOKEN=TOKEN)

    assert done.returncode == 1
    assert set(running.requests) == {"CONNECT hub.invalid:443"}
    assert {request.authorization for request in running.received} == {None}
    assert done.stderr.splitlines()[-1].startswith("the hub at hub.invalid can't be reached")


def test_an_address_that_needs_no_proxy_is_asked_directly(running: Hub, tmp_path: Path) -> None:
    with hub() as proxy:
        done = pull(tmp_path, HF_ENDPOINT=running.url, HTTP_PROXY=proxy.url, NO_PROXY="127.0.0.1")
        assert proxy.requests == []

    assert done.returncode == 0, done.stderr


def test_the_token_goes_to_the_hub_and_stays_within_its_origin(running: Hub, tmp_path: Path) -> None:
    """The hub sends whoever wants a file to another host, which has no business with the token."""
    with hub() as front:
        front.usual = Behaviour(redirect=running.url)
        front.script = [Behaviour(redirect=front.url)]
        done = pull(tmp_path, HF_ENDPOINT=front.url, HF_TOKEN=TOKEN)

    assert done.returncode == 0, done.stderr
    assert {request.authorization for request in front.received} == {f"Bearer {TOKEN}"}
    assert len(front.ranges) == 2
    assert [request.authorization for request in running.received] == [None]


def test_a_redirect_keeps_where_to_go_on(running: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "models" / YUNET_2023MAR.name
    folder.mkdir(parents=True)
    content = running.files[f"/{FILE.repo}/resolve/{FILE.revision}/{FILE.path}"]
    (folder / f"{FILE.name}.{FILE.sha256}.part").write_bytes(content[:1000])
    with hub() as front:
        front.usual = Behaviour(redirect=running.url)
        done = pull(tmp_path, HF_ENDPOINT=front.url)

    assert done.returncode == 0, done.stderr
    assert running.ranges == ["bytes=1000-"]


def test_without_a_token_none_is_sent(running: Hub, tmp_path: Path) -> None:
    pull(tmp_path, HF_ENDPOINT=running.url)

    assert {request.authorization for request in running.received} == {None}
    assert "HF_TOKEN" not in os.environ


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"HF_TOKEN": "hf_sécret"}, "the token for the hub has characters that no token has: look at HF_TOKEN"),
        ({"HF_TOKEN": "hf_se\x01cret"}, "the token for the hub has characters that no token has: look at HF_TOKEN"),
        ({"HF_TOKEN_PATH": "/"}, "the file with the token for the hub can't be read"),
        ({"HF_TOKEN_PATH": sys.executable}, "the file with the token for the hub can't be read"),
        ({"ALL_PROXY": "socks5://127.0.0.1:1"}, "can't be asked (Using SOCKS proxy"),
        ({"HTTP_PROXY": "carrier-pigeon://coop"}, "can't be asked (Unknown scheme for proxy"),
        ({"SSL_CERT_FILE": "/no/such/file"}, "can't be asked ([Errno 2] No such file or directory): look at"),
        ({"HF_ENDPOINT": "http://[hub"}, "HF_ENDPOINT is no address of a hub (Invalid IPv6 URL)"),
        ({"HF_ENDPOINT": "hub.example"}, "the hub at hub.example can't be reached"),
    ],
)
def test_settings_that_allow_no_request_are_one_line_that_names_them(
    running: Hub, tmp_path: Path, setting: dict[str, str], told: str
) -> None:
    done = pull(tmp_path, **{"HF_ENDPOINT": running.url} | setting)

    assert done.returncode == 1
    (line,) = done.stderr.split("\n\n")[-1].strip().splitlines()
    assert told in line
    assert "cret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert running.ranges == []
