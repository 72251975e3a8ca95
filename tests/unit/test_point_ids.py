"""Ids of points: contract §5."""

from uuid import UUID, uuid5

import pytest

from media_inference.vectors.point_ids import NAMESPACE, face_point_id, image_point_id, payload_media_id

LARGEST = 9_007_199_254_740


@pytest.mark.parametrize(("media_store_id", "point_id"), [("0", 0), ("123", 123), (str(LARGEST), LARGEST)])
def test_a_decimal_media_id_is_the_point_id(media_store_id: str, point_id: int) -> None:
    assert image_point_id(media_store_id) == point_id
    assert face_point_id(media_store_id, 7) == point_id * 1000 + 7


@pytest.mark.parametrize("media_store_id", ["image-789", "007", "00", str(LARGEST + 1), "9" * 128, "1.5", "１２"])
def test_any_other_media_id_gives_a_uuid(media_store_id: str) -> None:
    assert image_point_id(media_store_id) == str(uuid5(NAMESPACE, media_store_id))
    assert face_point_id(media_store_id, 7) == str(uuid5(NAMESPACE, media_store_id + "#7"))


def test_the_largest_face_ids_are_exact_in_a_double() -> None:
    largest = face_point_id(str(LARGEST), 991)
    assert isinstance(largest, int)
    assert largest < 2**53


def test_the_namespace_never_changes() -> None:
    assert UUID("ac9d813a-bf71-4150-b2b3-e749787691f9") == NAMESPACE
    assert image_point_id("image-789") == "9aaad0f7-1d9d-5124-998e-56c9c3aaeba9"


@pytest.mark.parametrize("index", [-1, 1000])
def test_a_face_index_that_would_be_another_pictures_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="face index"):
        face_point_id("5", index)


@pytest.mark.parametrize(("media_store_id", "payload"), [("0", 0), ("123", 123), (str(2**63 - 1), 2**63 - 1)])
def test_a_decimal_media_id_is_an_integer_in_payloads(media_store_id: str, payload: int) -> None:
    assert payload_media_id(media_store_id) == payload


@pytest.mark.parametrize("media_store_id", ["image-789", "007", str(2**63), "9" * 128])
def test_a_media_id_that_a_number_would_change_stays_a_string_in_payloads(media_store_id: str) -> None:
    assert payload_media_id(media_store_id) == media_store_id
