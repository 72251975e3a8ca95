"""How deep a JSON text is nested."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from media_inference.api.json_depth import MOST_DEPTH, is_deeper

JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\a'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[]{}"\\'), inner, max_size=3),
)


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(JSON)
def test_the_depth_is_that_of_the_parsed_text(value: Any) -> None:
    text, depth = json.dumps(value).encode(), depth_of(value)
    assert not is_deeper(text, depth)
    assert depth == 0 or is_deeper(text, depth - 1)


@pytest.mark.parametrize("text", [b"[" * 500_000, b'{"a":' * 100_000, b'"' + b"[" * 500_000, b'"\\' * 250_000])
def test_text_that_is_no_json_is_told_in_one_pass(text: bytes) -> None:
    assert is_deeper(text, MOST_DEPTH) is not text.startswith(b'"')


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_body_that_is_nested_too_deeply_is_400(supporter: TestClient, opening: str) -> None:
    answer = supporter.post(
        "/job/face_detection", content=opening * 10_000, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert "deep" in answer.json()["detail"]


def test_a_megabyte_of_brackets_is_413(supporter: TestClient) -> None:
    answer = supporter.post("/job/face_detection", content="[" * 500_000, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_brackets_in_a_text_are_no_depth(supporter: TestClient) -> None:
    answer = supporter.post("/search/image_embeddings", json={"text": "[" * 100})
    assert answer.json()["code"] == "text_not_supported"
