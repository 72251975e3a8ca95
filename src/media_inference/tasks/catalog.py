"""Every task that a job can ask for: one import line each."""

from media_inference.registry import Registry
from media_inference.tasks.face_detection import FACE_DETECTION
from media_inference.tasks.face_embedding import FACE_EMBEDDING
from media_inference.tasks.image_embedding import IMAGE_EMBEDDING
from media_inference.tasks.task import Task

TASKS = Registry.of(Task, globals(), "task type", key=lambda task: task.type)
