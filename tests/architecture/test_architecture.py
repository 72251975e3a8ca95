"""Rules of the house that no linter knows."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

import media_inference
from media_inference.media.catalog import STORE_KINDS
from media_inference.media.store_kind import StoreKind
from media_inference.models.catalog import MODELS
from media_inference.models.model import Model
from media_inference.tasks.catalog import TASKS
from media_inference.tasks.task import Task

PACKAGE = Path(media_inference.__file__).parent
ROOT = PACKAGE.parents[1]
SOURCES = sorted(PACKAGE.rglob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))

LONGEST_FILE, LONGEST_FUNCTION, MEDIAN_FUNCTION = 300, 40, 8


class Function(NamedTuple):
    """A function and the number of its lines."""

    name: str
    lines: int


def functions() -> Iterator[Function]:
    for path in [*SOURCES, *BENCHMARKS]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.body[0].lineno + 1
                yield Function(f"{path.relative_to(ROOT)}:{node.name}", lines)


def test_files_are_short() -> None:
    every = [*SOURCES, *BENCHMARKS]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in every}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    every = [function for function in functions() if "migrations/versions" not in function.name]
    assert [function for function in every if function.lines > LONGEST_FUNCTION] == []
    assert median(function.lines for function in every) <= MEDIAN_FUNCTION


def test_every_folder_says_what_it_does_in_one_line() -> None:
    for init in PACKAGE.rglob("__init__.py"):
        docstring = ast.get_docstring(ast.parse(init.read_text()))
        assert docstring, init
        assert len(docstring.splitlines()) == 1, init


def test_every_module_class_and_public_function_has_a_docstring() -> None:
    missing = []
    for path in [*SOURCES, *BENCHMARKS]:
        tree = ast.parse(path.read_text())
        if path.name != "__init__.py" and "versions" not in path.parts and not ast.get_docstring(tree):
            missing.append(str(path))
        for node in tree.body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if not node.name.startswith("_") and not ast.get_docstring(node):
                missing.append(f"{path.relative_to(ROOT)}:{node.name}")
    assert [name for name in missing if "migrations/versions" not in name] == []


@pytest.mark.parametrize(
    ("folder", "entry_type", "listed"),
    [
        ("tasks", Task, list(TASKS.values())),
        ("models", Model, list(MODELS.values())),
        ("media", StoreKind, list(STORE_KINDS.values())),
    ],
    ids=["tasks", "models", "media"],
)
def test_no_entry_is_missing_from_its_catalogue(folder: str, entry_type: type, listed: list[object]) -> None:
    package = importlib.import_module(f"media_inference.{folder}")
    found = [
        value
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
        if not module.ispkg
        for value in vars(importlib.import_module(module.name)).values()
        if isinstance(value, entry_type)
    ]
    assert {id(value) for value in found} == {id(value) for value in listed}


def test_only_processes_read_settings_and_the_environment() -> None:
    allowed = {"processes", "demo", "cli.py", "settings.py", "__main__.py"}
    pattern = re.compile(r"os\.environ|getenv|import Settings|load_settings")
    readers = {
        str(path.relative_to(PACKAGE))
        for path in SOURCES
        if path.relative_to(PACKAGE).parts[0] not in allowed and pattern.search(path.read_text())
    }
    # Alembic's entry point is started by Alembic, and has nobody who could pass it a value.
    assert readers == {"queue/migrations/env.py"}


def test_the_api_starts_without_an_inference_engine() -> None:
    code = (
        "import sys, media_inference.processes.serve;"
        "print([m for m in sys.modules if m.startswith(('onnx', 'tokenizers'))])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


def test_a_worker_starts_without_the_migrations() -> None:
    code = "import sys, media_inference.processes.worker_process; print([m for m in sys.modules if m == 'alembic'])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


def test_every_child_process_of_the_service_is_started_in_a_few_known_places() -> None:
    starters = {
        str(path.relative_to(PACKAGE)) for path in SOURCES if re.search(r"subprocess\.(Popen|run)\(", path.read_text())
    }
    assert starters == {
        "processes/worker_template.py",
        "processes/text_child.py",
        "media/guarded_child.py",
        "demo/private_up.py",
    }


def test_nothing_in_the_repository_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    machine = re.compile(rb"(?<![\w.])/(?:work|root|home)/|file" + rb"s\.pythonhosted|pypi" + rb"\.org")
    named = [
        name
        for name in listed.split("\0")
        if name and (ROOT / name).is_file() and machine.search((ROOT / name).read_bytes())
    ]
    assert named == []
