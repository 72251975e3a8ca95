"""What `doctor` says of the decoder's guards and of libraries that are too old."""

import errno
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from media_inference.errors import CannotStart
from media_inference.processes import doctor
from media_inference.processes.database import open_database
from media_inference.processes.doctor import Finding, examine, print_findings
from media_inference.processes.floors import FLOORS, checked
from media_inference.settings import Settings, load_settings
from tests.stands.hostile_child import ALL, hostile_decoder
from tests.stands.open_files import open_files

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="most guards are Linux's")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings(database_dir=tmp_path / "data")


def _found(settings: Settings) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(settings)}


def test_the_doctor_asks_a_real_child_for_every_guard_and_for_its_libraries(settings: Settings) -> None:
    found = _found(settings)
    assert {what.removeprefix("guard: ") for what in found if what.startswith("guard: ")} == set(ALL)
    assert found["guard: memory"].detail == f"{settings.decoder_memory_bytes >> 20} MiB"
    assert all(found[name].ok for name in FLOORS)
    assert not found["sqlite"].weak


@linux_only
def test_a_guard_that_this_machine_lacks_is_weak_and_stops_nothing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with hostile_decoder(tmp_path, kernel={"landlock_create_ruleset": errno.ENOSYS}) as decoder:
        monkeypatch.setattr(doctor, "open_decoder", lambda _: decoder)
        finding = _found(settings)["guard: landlock"]
    assert finding == Finding("guard: landlock", ok=True, detail="missing: the kernel has none", weak=True)
    capsys.readouterr()
    print_findings([finding])
    assert " ".join(capsys.readouterr().out.split()) == "weak guard: landlock missing: the kernel has none"


@linux_only
def test_an_old_library_in_the_child_is_broken(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hostile_decoder(tmp_path, libraries={"Pillow": "12.3.0"}) as decoder:
        monkeypatch.setattr(doctor, "open_decoder", lambda _: decoder)
        finding = _found(settings)["Pillow"]
    assert not finding.ok
    assert finding.detail == "Pillow 12.3.0 is older than 13.0.0, and not safe: upgrade it"


def test_an_old_pyjwt_is_broken(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", lambda _: "2.14.0")
    assert not _found(settings)["PyJWT"].ok


def test_the_doctor_leaves_no_database_open(settings: Settings) -> None:
    assert _found(settings)["database"].ok
    assert not open_files(settings.database_dir)
    open_database(settings, migrate=True).dispose()
    assert _found(settings)["database"].detail.startswith("revision")
    assert not open_files(settings.database_dir)


def test_an_old_sqlite_is_weak_because_it_runs_without_wal(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(sqlite_version="3.51.2", sqlite_version_info=(3, 51, 2))
    monkeypatch.setattr(doctor, "sqlite_module", lambda: old)
    finding = _found(settings)["sqlite"]
    assert finding.ok
    assert finding.weak
    assert "TRUNCATE" in finding.detail


@pytest.mark.parametrize(
    ("library", "good", "bad"),
    [
        ("Pillow", ["13.0.0", "13.0", "13", "13.0.1", "14.0.0.dev1", "100.0"], ["12.9.9", "13.0.0rc1", "2.0", "", "x"]),
        ("libheif", ["1.22", "1.22.0", "1.23.1", "2.0.0"], ["1.21.9", "1.3.0", "0.99"]),
        ("PyJWT", ["2.15.0", "2.100.0", "3.0"], ["2.14.9", "2.9.0", "2.15.0b1"]),
    ],
)
def test_floors_are_compared_number_by_number(library: str, good: list[str], bad: list[str]) -> None:
    for version in good:
        assert checked(library, version).startswith(version)
    for version in bad:
        with pytest.raises(CannotStart):
            checked(library, version)
