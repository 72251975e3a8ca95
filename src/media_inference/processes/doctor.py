"""Looks at all that could stop the service, before it does."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import distributions, version

from rich.table import Table

from media_inference import __version__
from media_inference.api.key_file import KeyFile
from media_inference.errors import CannotStart, MediaInferenceError, StoreInUse
from media_inference.models.kinds import TASK_KINDS, Kind
from media_inference.processes.chosen_models import find_chosen, find_text_tower, refuse_other_models
from media_inference.processes.console import wide_console
from media_inference.processes.database import make_data_folder
from media_inference.processes.floors import checked
from media_inference.processes.media import open_decoder, open_store
from media_inference.processes.networks import device_of
from media_inference.processes.vectors import open_vectors
from media_inference.queue.engine import open_engine, sqlite_module, wal_is_safe
from media_inference.queue.job_records import JobRecords
from media_inference.queue.migrate import database_revision, newest_revision
from media_inference.runtime.device import ENGINES
from media_inference.runtime.load import load_network
from media_inference.runtime.session import ENGINE, built_in_devices
from media_inference.runtime.text_tower import load_text_tower
from media_inference.runtime.weights import on_disk
from media_inference.settings import Settings
from media_inference.vectors.store import COLLECTIONS


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    ``ok`` False: it would stop the service, or searches by words, or is not safe. ``weak`` True: the service runs
    without it, less well guarded.
    """

    what: str
    ok: bool
    detail: str
    weak: bool = False

    def as_json(self) -> dict[str, object]:
        """As an object."""
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Looks at everything in turn; a broken thing never hides the next one."""
    return [
        _look("version", lambda: f"media-inference {__version__}, Python {platform.python_version()}"),
        _look("data folder", lambda: _data_folder(settings)),
        _sqlite(),
        _look("database", lambda: _database(settings)),
        _look("tokens", lambda: _tokens(settings)),
        _look("PyJWT", lambda: checked("PyJWT", version("pyjwt"))),
        _look("engine", _engine),
        *(_look(kind.replace("_", " "), partial(_model, kind, settings)) for kind in TASK_KINDS),
        _look("text search", lambda: _text_search(settings)),
        *_decoder(settings),
        _look("media store", lambda: _media_store(settings)),
        _look("vector store", lambda: _vector_store(settings)),
    ]


def print_findings(findings: Sequence[Finding]) -> None:
    """A table on stdout."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        mark = "[red]broken[/]" if not finding.ok else "[yellow]weak[/]" if finding.weak else "[green]ok[/]"
        table.add_row(mark, finding.what, finding.detail)
    wide_console().print(table)


def _look(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, ok=True, detail=look())
    except MediaInferenceError as error:
        return Finding(what, ok=False, detail=str(error))


def _data_folder(settings: Settings) -> str:
    make_data_folder(settings)
    if not os.access(settings.database_dir, os.W_OK):
        raise CannotStart(f"DATABASE_DIR: {settings.database_dir} can't be written")
    return str(settings.database_dir)


def _sqlite() -> Finding:
    module = sqlite_module()
    safe = wal_is_safe(module.sqlite_version_info)
    journal = "WAL" if safe else "TRUNCATE (older than 3.51.3: WAL is not safe)"
    return Finding("sqlite", ok=True, detail=f"{module.sqlite_version}, journal mode {journal}", weak=not safe)


def _database(settings: Settings) -> str:
    engine = open_engine(settings.database_url)
    try:
        found = database_revision(engine)
        if found is None:
            return "no tables yet; `up` and `migrate` make them"
        if found != newest_revision():
            raise CannotStart(
                f"revision {found}, this release needs {newest_revision()}: run `media-inference migrate`"
            )
        refuse_other_models(settings, JobRecords(engine))
    finally:
        engine.dispose()
    return f"revision {found}"


def _tokens(settings: Settings) -> str:
    if settings.auth_disabled:
        return "AUTH_DISABLED is on: everybody may do everything"
    if settings.public_key_path is None and not settings.key_path.exists():
        return "no key yet; `up` makes a pair"
    keys = KeyFile(settings.key_path).keys().keys
    return f"ES256, {settings.key_path}" + (f", {len(keys)} keys" if len(keys) > 1 else "")


def _engine() -> str:
    there = [name for name in ENGINES if any(True for _ in distributions(name=name))]
    if len(there) > 1:
        raise CannotStart(f"{' and '.join(there)} overwrite each other: uninstall both, then install one of them")
    return f"{ENGINE}, for {', '.join(built_in_devices())}"


def _model(kind: Kind, settings: Settings) -> str:
    model = find_chosen(settings, kind)
    loaded = load_network(model, settings.models_dir, threads=1, device=settings.device)
    return f"{model.name} ({model.licence.name}), runs on {device_of([loaded.provider])}"


def _text_search(settings: Settings) -> str:
    """Off is no error; a tower that is there and can't be used is one, though it stops nothing else."""
    tower = find_text_tower(settings)
    if tower is None:
        return f"off: {settings.image_model} has no text tower"
    if not on_disk(tower, settings.models_dir):
        return f"off: {tower.name} is not pulled"
    loaded = load_text_tower(tower, settings.models_dir, threads=1, device=settings.device)
    return f"{tower.name} ({tower.licence.name}), runs on {device_of([loaded.provider])}"


def _decoder(settings: Settings) -> list[Finding]:
    """What a real child says: what it decodes with, and what guards it on this machine."""
    decoder = open_decoder(settings)
    try:
        greeting = decoder.warm()
    except MediaInferenceError as error:
        return [Finding("decoder", ok=False, detail=str(error))]
    finally:
        decoder.close()
    return [
        Finding("decoder", ok=True, detail="a guarded child process"),
        *(_look(name, partial(checked, name, found)) for name, found in greeting.libraries.items()),
        *(Finding(f"guard: {name}", ok=True, detail=how) for name, how in greeting.guards.held.items()),
        *(
            Finding(f"guard: {name}", ok=True, detail=f"missing: {why}", weak=True)
            for name, why in greeting.guards.missing.items()
        ),
    ]


def _media_store(settings: Settings) -> str:
    store = open_store(settings)
    try:
        store.check()
    finally:
        store.close()
    if settings.media_store_stub:
        return "stub: sample pictures"
    return settings.media_store_url or f"built-in folder {settings.media_dir}"


def _vector_store(settings: Settings) -> str:
    try:
        store = open_vectors(settings)
    except StoreInUse:
        return f"embedded in {settings.qdrant_dir}, in use by a running service"
    try:
        counts = ", ".join(f"{store.count(collection)} in {collection}" for collection in COLLECTIONS)
    finally:
        store.close()
    where = settings.qdrant_url or f"embedded in {settings.qdrant_dir}"
    return f"{where}: {counts}"
