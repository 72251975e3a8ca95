"""One vector for the whole picture."""

from media_inference.jobs.job import Claim
from media_inference.jobs.outcome import Embedding, EmbeddingSet, Findings
from media_inference.media.reader import Media
from media_inference.tasks.files import VECTOR_FILE, vector_file
from media_inference.tasks.task import Task
from media_inference.tasks.toolbox import Toolbox
from media_inference.vectors.point_ids import image_point_id, payload_media_id
from media_inference.vectors.store import IMAGE_EMBEDDINGS


def embed_image(claim: Claim, media: Media, toolbox: Toolbox) -> Findings:
    """Embeds the upright picture; one point in `image_embeddings`, one file `embedding.bin`."""
    embedder = toolbox.image_embedder
    picture = media.picture(short_side=embedder.short_side)
    vector = embedder.embed([picture.pixels], [picture.extent])[0]
    point_id = image_point_id(claim.media_store_id)
    payload = {
        "job_id": claim.job_id,
        "media_store_id": payload_media_id(claim.media_store_id),
        "task_type": claim.task_type,
        "model": embedder.name,
    }
    return Findings(
        result={
            "embedding_dimension": len(vector),
            "stored_in_vector_db": True,
            "collection": IMAGE_EMBEDDINGS,
            "point_id": point_id,
        },
        model=embedder.name,
        embedding_set=EmbeddingSet(IMAGE_EMBEDDINGS, embedder.name, (Embedding(point_id, vector, payload),)),
        artifacts=(vector_file(VECTOR_FILE, vector),),
    )


IMAGE_EMBEDDING = Task(
    "image_embedding",
    "One 512-d vector of the whole picture, searchable.",
    embed_image,
    makes_vectors=True,
    files=lambda _result: {VECTOR_FILE: 0},
)
