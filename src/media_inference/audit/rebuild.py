"""All points of a database into an empty vector store."""

from media_inference.audit.points import is_sound
from media_inference.queue.inventory import Inventory
from media_inference.vectors.store import COLLECTIONS, Point, VectorStore


def rebuild_points(inventory: Inventory, vectors: VectorStore) -> int:
    """Stores the newest published set of every media item; returns how many points. Nobody else may publish."""
    stored = 0
    for page in inventory.embeddings():
        for collection in COLLECTIONS:
            points = [
                Point(each.point_id, each.numbers, each.payload)
                for each in page
                if each.newest and each.collection == collection and is_sound(each.numbers)
            ]
            vectors.upsert(collection, points)
            stored += len(points)
    return stored
