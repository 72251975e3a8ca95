"""The demo's table for the terminal."""

from rich.table import Table
from rich.text import Text

from media_inference.demo.result import DemoResult, JobResult, Neighbour, PhotoResult

_NUMBERS = {"Faces", "Score"}
_STATUS_STYLES = {"completed": "green", "failed": "bold red"}


def table_of(result: DemoResult) -> Table:
    """One row per photo and task: status, faces, nearest neighbour with its score."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("Photo", "Task", "Status", "Faces", "Nearest neighbour", "Score"):
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left", no_wrap=True)
    for photo in result.photos:
        for job in photo.jobs:
            table.add_row(*_row(photo, job))
        table.add_section()
    return table


def _row(photo: PhotoResult, job: JobResult) -> tuple[Text, ...]:
    nearest = photo.nearest(job.task_type)
    status = job.status if job.failure is None else f"{job.status}: {job.failure.code}"
    return (
        Text(photo.name),
        Text(job.task_type),
        Text(status, style=_STATUS_STYLES.get(job.status, "")),
        Text(_face_count(photo, job)),
        Text(_name(nearest)),
        Text("" if nearest is None else f"{nearest.score:.3f}"),
    )


def _face_count(photo: PhotoResult, job: JobResult) -> str:
    counts = job.task_type != "image_embedding" and job.status == "completed"
    return str(len(photo.faces)) if counts else ""


def _name(neighbour: Neighbour | None) -> str:
    if neighbour is None:
        return ""
    return neighbour.name if neighbour.face_index is None else f"{neighbour.name}, face {neighbour.face_index}"
