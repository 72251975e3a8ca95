"""Which models this service runs."""

from media_inference.errors import CannotStart
from media_inference.models.catalog import all_models, find_model
from media_inference.models.custom import load_custom_models
from media_inference.models.kinds import TASK_KINDS, Kind
from media_inference.models.model import Model
from media_inference.processes.licences import refuse_unaccepted, refuse_unknown_licences
from media_inference.queue.job_records import JobRecords
from media_inference.registry import Registry
from media_inference.runtime.weights import CUSTOM_FOLDER, on_disk, refuse_cut_files, refuse_missing_own
from media_inference.settings import Settings
from media_inference.vectors.store import FACES, IMAGE_EMBEDDINGS


def chosen_models(settings: Settings) -> dict[Kind, Model]:
    """What tasks need, as the settings name it, by kind; raises as `find_chosen` does."""
    return {kind: find_chosen(settings, kind) for kind in TASK_KINDS}


def find_chosen(settings: Settings, kind: Kind) -> Model:
    """The catalogue's entry, or the user's own, that the settings name for one kind.

    Raises `CannotStart` when there is none of that name, or its licence was not accepted.
    """
    names = {
        Kind.IMAGE_EMBEDDER: settings.image_model,
        Kind.FACE_DETECTOR: settings.face_detector,
        Kind.FACE_EMBEDDER: settings.face_model,
    }
    refuse_unknown_licences(settings, known_models(settings).values())
    model = find_model(names[kind], kind, _custom_models(settings))
    refuse_unaccepted(model, settings)
    return model


def known_models(settings: Settings) -> Registry[Model]:
    """The catalogue and the users' own models; raises `CannotStart` for a wrong description."""
    return all_models(_custom_models(settings))


def _custom_models(settings: Settings) -> list[Model]:
    return load_custom_models(settings.models_dir / CUSTOM_FOLDER)


def find_known(settings: Settings, name: str) -> Model:
    """The model of that name, of whatever kind; raises `CannotStart` with those there are."""
    models = known_models(settings)
    if name not in models:
        raise CannotStart(f"no model is called {name!r}; there are {', '.join(models)}")
    return models[name]


def find_text_tower(settings: Settings) -> Model | None:
    """The text tower of the chosen image model, None where it has none; raises as `find_chosen` does."""
    name = find_chosen(settings, Kind.IMAGE_EMBEDDER).text_tower
    if name is None:
        return None
    tower = find_model(name, Kind.TEXT_EMBEDDER, _custom_models(settings))
    refuse_unaccepted(tower, settings)
    return tower


def models_to_pull(settings: Settings) -> list[Model]:
    """What a user expects to have after `models pull`: what tasks need, and the text tower."""
    tower = find_text_tower(settings)
    return [*chosen_models(settings).values(), *([] if tower is None else [tower])]


def collection_models(settings: Settings) -> dict[str, str]:
    """The model that each collection is to hold vectors of."""
    return {IMAGE_EMBEDDINGS: settings.image_model, FACES: settings.face_model}


def refuse_other_models(settings: Settings, records: JobRecords) -> None:
    """Raises `CannotStart` when a collection holds vectors of another model than the settings name."""
    stored = records.models()
    for (collection, wanted), setting in zip(
        collection_models(settings).items(), ("IMAGE_MODEL", "FACE_MODEL"), strict=True
    ):
        if stored.get(collection, wanted) != wanted:
            raise CannotStart(
                f"the collection {collection} holds vectors of {stored[collection]}, but {setting} is {wanted}: "
                f"set {setting}={stored[collection]}, or use another DATABASE_DIR"
            )


def refuse_missing_models(settings: Settings) -> None:
    """Raises `CannotStart` when a chosen model is not on disk, or not whole, with the ways out."""
    chosen = chosen_models(settings)
    for model in chosen.values():
        refuse_missing_own(model, settings.models_dir)
        refuse_cut_files(model, settings.models_dir)
    missing = [model.name for model in chosen.values() if not on_disk(model, settings.models_dir)]
    if missing:
        names = " ".join(missing)
        raise CannotStart(
            f"{'these models are' if len(missing) > 1 else 'this model is'} not in {settings.models_dir}: {names}; "
            f"get {'them' if len(missing) > 1 else 'it'} with `media-inference models pull {names}`, or use the "
            "built-in ones: IMAGE_MODEL=gabor-512 FACE_DETECTOR=mtcnn FACE_MODEL=gabor-face-512"
        )
