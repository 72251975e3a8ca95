"""The command line: help, exit codes, and what programs read."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from media_inference import __version__
from media_inference.api.tokens import TokenRefused, TokenVerifier, create_key_pair
from media_inference.cli import app
from media_inference.models.catalog import MODELS

pytestmark = pytest.mark.slow

BUILT_IN = {"IMAGE_MODEL": "gabor-512", "FACE_DETECTOR": "mtcnn", "FACE_MODEL": "gabor-face-512"}
COMMANDS = (
    "",
    "up",
    "serve",
    "worker",
    "migrate",
    "demo",
    "token",
    "audit",
    "backup",
    "restore",
    "doctor",
    "models",
    "models list",
    "models pull",
    "models verify",
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a machine where nothing was ever run; there is no hub."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DATABASE_DIR": str(tmp_path / "data"),
        "MODELS_DIR": str(tmp_path / "models"),
        "HF_HUB_OFFLINE": "1",
    }


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A data folder with the key pair that `up` makes; the public key."""
    data = tmp_path / "data"
    data.mkdir()
    private, public = create_key_pair()
    (data / "private_key.pem").write_bytes(private)
    (data / "public_key.pem").write_bytes(public)
    return data / "public_key.pem"


def run(environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [Path(sys.executable).with_name("media-inference"), *arguments],
        cwd=environment["HOME"],
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="media-inference")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: media-inference {command}".rstrip())
    assert done.stderr == ""


def test_the_version_is_that_of_the_package(environment: dict[str, str]) -> None:
    assert run(environment, "--version").stdout.strip() == __version__


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("up", "--nonsense"),
        ("up", "--port", "65536"),
        ("up", "--workers", "0"),
        ("up", "--host", ""),
        ("worker", "--processes", "many"),
        ("token",),
        ("token", "--sub", "me", "--ttl", "1y"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "Usage:" in done.output


def test_the_exit_code_of_wrong_usage_reaches_the_shell(environment: dict[str, str]) -> None:
    done = run(environment, "nonsense")
    assert done.returncode == 2
    assert "No such command 'nonsense'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        (("up",), {}, "models pull"),
        (("up",), {"IMAGE_MODEL": "nonsense"}, "'nonsense' can't be the image_embedder"),
        (("up",), {"LOG_LEVEL": "loud"}, "LOG_LEVEL: expected"),
        (("migrate",), {"DATABASE_URL": "postgresql://db"}, "DATABASE_URL: expected sqlite"),
        (("serve",), BUILT_IN, "media-inference migrate"),
        (("audit",), BUILT_IN, "media-inference migrate"),
        (("backup", "somewhere"), BUILT_IN, "media-inference migrate"),
        (("restore", "nowhere"), BUILT_IN, "nowhere is not a backup"),
        (("worker",), BUILT_IN, "media-inference migrate"),
        (("token", "--sub", "me"), {}, "no private key"),
        (("models", "pull", "nonsense"), {}, "no model is called 'nonsense'"),
        (("demo", "nowhere"), BUILT_IN, "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_start_exits_with_3_and_one_line(
    environment: dict[str, str], arguments: tuple[str, ...], settings: dict[str, str], told: str
) -> None:
    done = run({**environment, **settings}, *arguments)
    assert done.returncode == 3, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("media-inference: ")
    assert told in line
    assert done.stdout == ""


def test_a_download_that_fails_exits_with_1(environment: dict[str, str]) -> None:
    done = run(environment, "models", "pull", "yunet-2023mar")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "HF_HUB_OFFLINE is set, so nothing is downloaded"


def test_a_token_is_the_one_that_was_asked_for(environment: dict[str, str], keys: Path) -> None:
    asked = ("--sub", "me", "--permission", "ai_inference_support", "--permission", "other", "--ttl", "15m")
    done = run(environment, "token", *asked)
    assert done.returncode == 0, done.stderr
    caller = TokenVerifier(keys).identify(done.stdout.strip())
    assert caller.subject == "me"
    assert caller.permissions == {"ai_inference_support", "other"}
    assert not caller.is_admin


def test_an_administrators_token_says_so(environment: dict[str, str], keys: Path) -> None:
    token = run(environment, "token", "--sub", "me", "--admin").stdout.strip()
    caller = TokenVerifier(keys).identify(token)
    assert caller.is_admin
    assert not caller.permissions


def test_a_token_of_another_service_is_refused(environment: dict[str, str], keys: Path) -> None:
    token = run(environment, "token", "--sub", "me").stdout.strip()
    keys.write_bytes(create_key_pair()[1])
    with pytest.raises(TokenRefused):
        TokenVerifier(keys).identify(token)


def test_the_models_are_listed_for_programs(environment: dict[str, str]) -> None:
    done = run(environment, "models", "list", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert list(rows) == list(MODELS)
    assert {name for name, row in rows.items() if row["on_disk"]} == set(BUILT_IN.values())
    defaults = {"clip-vit-b-32", "yunet-2023mar", "auraface-v1"}
    assert {name for name, row in rows.items() if row["chosen"]} == defaults | {"clip-vit-b-32-text"}
    assert rows["buffalo-l-face"] == {
        "name": "buffalo-l-face",
        "kind": "face_embedder",
        "summary": MODELS["buffalo-l-face"].summary,
        "licence": "insightface-research",
        "commercial_use": False,
        "licence_forbids": "any use but non-commercial research",
        "accepted": False,
        "bytes": 174383860,
        "dimension": 512,
        "threshold": 0.5,
        "threshold_source": MODELS["buffalo-l-face"].source,
        "origin": "immich-app/buffalo_l@d0971591",
        "on_disk": False,
        "chosen": False,
    }


def test_the_doctor_finds_nothing_wrong_with_an_empty_folder(environment: dict[str, str]) -> None:
    done = run({**environment, **BUILT_IN}, "doctor", "--json")
    findings = json.loads(done.stdout)
    assert [finding for finding in findings if not finding["ok"]] == []
    assert done.returncode == 0
    assert {"sqlite", "database", "tokens", "decoder", "media store", "vector store"} <= {
        finding["what"] for finding in findings
    }


def test_the_doctor_names_what_would_stop_the_service_and_looks_at_the_rest(environment: dict[str, str]) -> None:
    done = run({**environment, **BUILT_IN, "FACE_MODEL": "auraface-v1"}, "doctor", "--json")
    assert done.returncode == 1
    findings = json.loads(done.stdout)
    (broken,) = [finding for finding in findings if not finding["ok"]]
    off = {"what": "text search", "ok": True, "detail": "off: gabor-512 has no text tower", "weak": False}
    assert off in findings
    assert broken["what"] == "face embedder"
    assert "models pull auraface-v1" in broken["detail"]


def test_the_doctor_tells_the_engine_and_the_device_really_used(environment: dict[str, str]) -> None:
    done = run({**environment, **BUILT_IN}, "doctor", "--json")
    details = {finding["what"]: finding["detail"] for finding in json.loads(done.stdout)}
    assert details["engine"].startswith("onnxruntime ")
    assert all("runs on cpu" in details[kind] for kind in ("image embedder", "face detector", "face embedder"))


def test_the_doctor_finds_two_engines_that_overwrite_each_other(environment: dict[str, str], tmp_path: Path) -> None:
    metadata = tmp_path / "onnxruntime_gpu-1.31.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.31.0\n")
    done = run({**environment, **BUILT_IN, "PYTHONPATH": str(tmp_path)}, "doctor", "--json")
    (broken,) = [finding for finding in json.loads(done.stdout) if not finding["ok"]]
    assert broken["detail"].startswith("onnxruntime and onnxruntime-gpu overwrite each other")
