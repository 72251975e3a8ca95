"""The OpenAPI document, and the page that shows it."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi.testclient import TestClient

from media_inference.api.problems import ProblemCode


@pytest.fixture
def document(stranger: TestClient) -> dict[str, Any]:
    """The OpenAPI document."""
    answer: dict[str, Any] = stranger.get("/openapi.json").json()
    return answer


def _references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_references(value) for value in node.values()))
    return set().union(*(_references(item) for item in node)) if isinstance(node, list) else set()


def test_every_error_answer_is_a_problem_document(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
            assert "500" in errors
            for status, answer in errors.items():
                own = ["application/json"] if (path, status) == ("/health", "503") else []
                assert list(answer["content"]) == [*own, "application/problem+json"], (path, status)


def test_every_reference_leads_somewhere_and_no_shape_is_left_over(document: dict[str, Any]) -> None:
    shapes = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert _references(document) == shapes


def test_the_document_lists_the_task_types(document: dict[str, Any]) -> None:
    parameters = {each["name"]: each for each in document["paths"]["/job/{task_type}"]["post"]["parameters"]}
    assert parameters["task_type"]["schema"]["enum"] == ["image_embedding", "face_detection", "face_embedding"]
    assert "Faces to vectors." in parameters["task_type"]["description"]


def test_the_document_knows_the_bearer_scheme(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")


def test_the_problem_shape_lists_every_code(document: dict[str, Any]) -> None:
    problem = document["components"]["schemas"]["ProblemDocument"]
    assert set(problem["required"]) == {"type", "title", "status", "detail", "code"}
    assert problem["properties"]["code"]["enum"] == list(ProblemCode)


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.open_tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.loads += [value for name, value in attrs if name == "src" and value]
        assert "style" not in found, "the policy forbids style attributes"
        assert not [name for name in found if name.startswith("on")], "the policy forbids handlers in attributes"
        self.links += [value for name, value in attrs if name == "href" and value]
        if tag not in {"meta", "input"}:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag


def test_the_page_shows_every_route_and_loads_nothing(stranger: TestClient, document: dict[str, Any]) -> None:
    answer = stranger.get("/docs")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = _Page(answer.text)
    assert page.loads == []
    assert page.open_tags == []
    assert len(page.ids) == len(set(page.ids))
    operations = {
        operation["operationId"] for operations in document["paths"].values() for operation in operations.values()
    }
    assert operations | set(ProblemCode) <= set(page.ids)
    assert {link.removeprefix("#") for link in page.links if link.startswith("#")} <= set(page.ids)
    assert not re.search(r"https?://", answer.text.replace("http://www.w3.org", ""))


def test_the_policy_allows_exactly_the_pages_own_style_and_script(stranger: TestClient) -> None:
    answer = stranger.get("/docs")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_a_problem_type_leads_to_its_row_on_the_page(stranger: TestClient) -> None:
    path, _, anchor = stranger.get("/nothing").json()["type"].partition("#")
    assert anchor in _Page(stranger.get(path).text).ids
