"""The documents say what is so."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from pydantic import SecretStr

import media_inference
from media_inference.api.problems import MEANINGS
from media_inference.api.tokens import Refusal
from media_inference.cli import app
from media_inference.errors import ErrorCode
from media_inference.models.catalog import MODELS
from media_inference.models.kinds import Kind
from media_inference.models.model import HubFile
from media_inference.queue.job_queue import JobQueue
from media_inference.queue.job_records import JobRecords
from media_inference.queue.outbox import Outbox
from media_inference.settings import Settings, load_settings
from tests.stands.documents import ROOT, blocks, document, documents, section, table, without_blocks

PACKAGE = Path(media_inference.__file__).parent
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?<![\w/.])media-inference ((?:-{0,2}[A-Za-z0-9./]+ ?)+)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings without any environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return load_settings()


def test_the_table_of_settings_is_complete_with_every_default(settings: Settings) -> None:
    rows = table(section(document("README.md"), "Settings"), "name", "default", "meaning")
    assert {name: default for name, default, _ in rows} == {
        name.upper(): default_of(name, settings) for name in Settings.model_fields
    }
    assert len(rows) == len(Settings.model_fields)


def default_of(name: str, settings: Settings) -> str:
    """A default as the table shows it; those that follow from DATABASE_DIR are shown so."""
    follows = {"database_url": settings.database_url, "storage_dir": settings.storage_dir}
    follows["public_key_path"] = settings.key_path
    if name in follows:
        return str(follows[name]).replace(str(settings.database_dir), "{DATABASE_DIR}")
    default = Settings.model_fields[name].default
    if default is None:
        return "unset"
    assert not isinstance(default, SecretStr), name
    return (
        str(default).lower()
        if isinstance(default, bool)
        else f"{default:g}"
        if isinstance(default, float)
        else str(default)
    )


def test_the_table_of_models_is_the_catalogue() -> None:
    columns = ("name", "kind", "licence of the weights", "MB", "what it is")
    rows = table(section(document("README.md"), "Models"), *columns)
    defaults = set(default_models())
    shown = {
        (name.removesuffix(" *"), kind, licence, size, name.endswith(" *")) for name, kind, licence, size, _ in rows
    }
    assert shown == {
        (model.name, model.kind.value, model.licence.name, megabytes(model.files), model.name in defaults)
        for model in MODELS.values()
    }


def test_the_licences_that_have_to_be_accepted_are_those_of_the_text() -> None:
    told = re.findall(r"`([^`]+)`", " ".join(section(document("README.md"), "Licences").split()).partition(";")[0])
    assert set(told) == {model.licence.name for model in MODELS.values() if not model.licence.commercial_use}


def default_models() -> list[str]:
    """Those of the settings, then the text tower."""
    names = [Settings.model_fields[name].default for name in ("image_model", "face_detector", "face_model")]
    return [*names, *(tower for name in names if (tower := MODELS[name].text_tower))]


def megabytes(files: tuple[object, ...]) -> str:
    size = sum(file.size for file in files if isinstance(file, HubFile))
    return f"{size / 1e6:.1f}" if size else "-"


def test_the_sizes_of_the_first_downloads_are_those_of_the_default_models() -> None:
    sizes = {
        name: sum(file.size for file in MODELS[name].files if isinstance(file, HubFile)) / 1e6
        for name in default_models()
    }
    towers = sum(size for name, size in sizes.items() if MODELS[name].kind is Kind.TEXT_EMBEDDER)
    demo, pulled = (float(told) for told in re.findall(r"about (\d+) MB", document("README.md")))
    assert demo == pytest.approx(sum(sizes.values()) - towers, abs=5)
    assert pulled == pytest.approx(sum(sizes.values()), abs=5)


def test_every_code_of_a_failed_job_is_explained() -> None:
    rows = table(document("docs/errors.md"), "code", "family", "means", "do")
    assert [code for code, *_ in rows] == list(ErrorCode)
    assert {family for _, family, *_ in rows} == {"permanent", "transient", "both"}


def test_every_problem_is_explained_with_its_status() -> None:
    rows = table(document("docs/errors.md"), "code", "status", "means")
    assert {code: int(status) for code, status, _ in rows} == {
        code.value: meaning.status for code, meaning in MEANINGS.items()
    }


def test_every_reason_to_refuse_a_token_is_explained() -> None:
    rows = table(document("docs/errors.md"), "reason", "means")
    assert [reason for reason, _ in rows] == [f"{reason}" for reason in Refusal]


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    targets = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in targets if not (path.parent / link.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_every_command_and_option_exists(path: Path) -> None:
    unknown = [words for words in commands_in(path.read_text(encoding="utf-8")) if not known(words)]
    assert unknown == []


def commands_in(text: str) -> Iterator[list[str]]:
    code = [*blocks(text, "bash"), *blocks(text, "text"), *re.findall(r"`([^`\n]+)`", without_blocks(text))]
    for piece in code:
        for found in COMMAND.findall(piece):
            yield found.split()


def known(words: list[str]) -> bool:
    """Whether a command of that name takes these options."""
    root = typer.main.get_command(app)
    command, names = root, list(words)
    while names and not names[0].startswith("-") and (inner := getattr(command, "commands", {}).get(names[0])):
        command = inner
        names.pop(0)
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return command is not root and all(word in options for word in names if word.startswith("-"))


def test_the_tree_names_every_folder_with_its_own_words() -> None:
    (tree, *_) = [block for block in blocks(document("ARCHITECTURE.md"), "text") if "├──" in block]
    told = re.findall(r"([a-z]+)/ {2,}(.+)", tree)
    folders = [init for init in PACKAGE.rglob("__init__.py") if init.parent != PACKAGE]
    assert sorted(told) == sorted(
        (init.parent.name, ast.get_docstring(ast.parse(init.read_text())) or "") for init in folders
    )


def test_the_layers_are_those_that_are_checked() -> None:
    contracts = tomllib.loads(document("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    (told,) = [block for block in blocks(document("ARCHITECTURE.md"), "text") if block.startswith("__main__")]
    assert told.split("\n")[:-1] == layers


def test_every_function_in_the_life_of_a_job_exists() -> None:
    rows = table(document("docs/job-life.md"), "arrow", "what happens", "function", "rows")
    assert [arrow for arrow, *_ in rows] == list("abcdefghijkl")
    owners = {owner.__name__: owner for owner in (JobQueue, JobRecords, Outbox)}
    for _, _, functions, _ in rows:
        for function in functions.split(", "):
            owner, _, method = function.partition(".")
            assert hasattr(owners[owner], method), function


def test_every_place_in_the_glossary_exists() -> None:
    rows = table(document("docs/glossary.md"), "word", "means", "in the code")
    words = [word.strip("*") for word, *_ in rows]
    assert words == sorted(words, key=str.lower)
    source = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    for _, _, places in rows:
        for place in places.split(", "):
            if "/" in place:
                assert list(PACKAGE.glob(place)), place
            else:
                assert all(re.search(rf"\b{part}\b", source) for part in place.split(".")), place


def test_every_decision_is_listed_and_says_what_enforces_it() -> None:
    folder = ROOT / "docs" / "decisions"
    decisions = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    rows = table((folder / "README.md").read_text(), "no.", "decision")
    assert [f"# {number[1:5]}: {title}" for number, title in rows] == [
        path.read_text().splitlines()[0] for path in decisions
    ]
    for path in decisions:
        for part in ("Context", "Decision", "Consequence", "Enforced by"):
            assert f"**{part}.**" in path.read_text(), path


def test_what_enforces_a_decision_exists() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    contracts = document("pyproject.toml")
    for path in (ROOT / "docs" / "decisions").glob("*.md"):
        text = " ".join(path.read_text().split())
        assert [name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in tests] == []
        assert [file for file in re.findall(r"`(tests/[^`]+)`", text) if not (ROOT / file).exists()] == []
        assert [name for name in re.findall(r'"([A-Z][^"]+)"', text) if f'"{name}"' not in contracts] == []


def test_every_chore_is_listed() -> None:
    rows = table(document("CONTRIBUTING.md"), "chore", "does")
    chores = set(re.findall(r"^([a-z]+):.*##", document("Makefile"), re.MULTILINE)) - {"help"}
    assert {chore.removeprefix("make ") for chore, _ in rows} == chores


def test_the_picture_of_the_report_is_small() -> None:
    assert 0 < (ROOT / "docs" / "demo-report.jpg").stat().st_size <= 250_000


def test_the_changelog_has_this_release() -> None:
    version = tomllib.loads(document("pyproject.toml"))["project"]["version"]
    assert f"## [{version}] - " in document("CHANGELOG.md")
