"""docs/media-store.md, its OpenAPI file, the reference server and the client say the same."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from examples.media_store.server import ID, create_app
from media_inference.errors import DependencyAway, JobError, PermanentError
from media_inference.jobs.job import MEDIA_STORE_ID
from media_inference.media.http_store import HttpStore
from media_inference.media.store import ResultUpload
from media_inference.media.store_kind import StoreOptions

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "media-store.md").read_text()

GET, POST = ("/media/{media_id}", "get"), ("/media/{media_id}/results", "post")
REQUIRED = {"A photo": GET, "A result": POST}
UNLISTED = {206, 402, 406, 411, 416, 431, 451, 501, 505, 507, 599}

Json = dict[str, Any]
Ask = Callable[[HttpStore, int], None]


class Echo(BaseHTTPRequestHandler):
    """Answers with the status that the id asks for; 200 for everything else."""

    def do_GET(self) -> None:
        asked = re.match(r"/media/(\d+)", self.path)
        self.send_response(int(asked[1]) if asked else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


def _fetch(store: HttpStore, status: int) -> None:
    store.fetch(str(status))


def _upload(store: HttpStore, status: int) -> None:
    store.upload(str(status), ResultUpload("job-1", "image_embedding", None, {}))


ASKS: dict[str, Ask] = {"A photo": _fetch, "A result": _upload}


@pytest.fixture(scope="module")
def store() -> Iterator[HttpStore]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        opened = HttpStore(StoreOptions(f"http://127.0.0.1:{server.server_port}"))
        yield opened
        opened.close()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def described() -> Json:
    return dict(json.loads((DOCS / "media-store.openapi.json").read_text()))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Json:
    return create_app(tmp_path_factory.mktemp("served")).openapi()


def _table(section: str) -> dict[int, str]:
    """Status and class, as a section of the page has them; a 304 is an answer to a question that is not asked here."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return {int(status): row[1] for row in rows if "`304`" not in row[0] for status in re.findall(r"`(\d{3})`", row[0])}


def _class_of(ask: Ask, store: HttpStore, status: int) -> str:
    try:
        ask(store, status)
    except DependencyAway:
        return "away"
    except JobError as error:
        return "permanent" if isinstance(error, PermanentError) else "transient"
    return "done"


def _operation(document: Json, route: tuple[str, str]) -> Json:
    path, method = route
    shared = document["paths"][path].get("parameters", [])
    operation: Json = document["paths"][path][method]
    return operation | {"parameters": shared + operation.get("parameters", [])}


def _parameters(operation: Json) -> set[tuple[str, str, bool, str | None]]:
    return {
        (each["name"].lower(), each["in"], each["required"], each["schema"].get("pattern"))
        for each in operation["parameters"]
    }


@pytest.mark.parametrize("section", ASKS)
def test_every_status_in_the_table_ends_as_the_table_says(store: HttpStore, section: str) -> None:
    table = _table(section)
    assert {status: _class_of(ASKS[section], store, status) for status in table} == table


@pytest.mark.parametrize("section", ASKS)
def test_every_class_is_in_the_table(section: str) -> None:
    assert set(_table(section).values()) == {"done", "permanent", "away", "transient"}


@pytest.mark.parametrize("section", ASKS)
def test_every_status_that_the_table_does_not_name_is_transient_or_another_2xx(store: HttpStore, section: str) -> None:
    outcomes = {status: _class_of(ASKS[section], store, status) for status in UNLISTED - set(_table(section))}
    done = {206} if section == "A result" else set()
    assert outcomes == {status: "done" if status in done else "transient" for status in outcomes}


@pytest.mark.parametrize("section", ASKS)
def test_the_openapi_file_names_the_statuses_that_are_no_matter_of_course(described: Json, section: str) -> None:
    named = {status for status in _operation(described, REQUIRED[section])["responses"] if status.isdecimal()}
    table = {str(status) for status, ending in _table(section).items() if ending in {"permanent", "away"}}
    a_proxy_in_between_says = {"502", "503", "504"}
    assert named - {"200", "201", "304"} - a_proxy_in_between_says == table
    assert "default" in _operation(described, REQUIRED[section])["responses"]


@pytest.mark.parametrize("route", REQUIRED.values(), ids=REQUIRED)
def test_the_reference_server_takes_what_the_openapi_file_says(
    described: Json, served: Json, route: tuple[str, str]
) -> None:
    assert _parameters(_operation(served, route)) == _parameters(_operation(described, route))


def test_the_reference_server_takes_the_form_that_the_openapi_file_describes(described: Json, served: Json) -> None:
    def form(document: Json) -> Json:
        return dict(_operation(document, POST)["requestBody"]["content"]["multipart/form-data"]["schema"])

    finding = described["components"]["schemas"]["Finding"]
    assert form(served)["required"] == form(described)["required"] == ["result"]
    assert form(served)["properties"]["result"]["required"] == finding["required"]
    assert set(form(served)["properties"]["result"]["properties"]) == set(finding["properties"])


@pytest.mark.parametrize("route", REQUIRED.values(), ids=REQUIRED)
def test_the_reference_server_answers_nothing_that_the_openapi_file_lacks(
    described: Json, served: Json, route: tuple[str, str]
) -> None:
    known = set(_operation(described, route)["responses"])
    # A fetch of what is no id: media-inference never sends one, and would take the 422 as any other status.
    assert set(_operation(served, route)["responses"]) - known <= ({"422"} if route == GET else set())


def test_what_is_not_needed_is_marked_and_served_all_the_same(described: Json, served: Json) -> None:
    routes = {(path, method) for path, item in described["paths"].items() for method in item if method != "parameters"}
    optional = {route for route in routes if described["paths"][route[0]][route[1]].get("x-optional")}
    assert routes - optional == set(REQUIRED.values())
    assert all(method in served["paths"][path] for path, method in optional)


def test_the_page_the_server_and_the_client_mean_the_same_ids(described: Json) -> None:
    assert f"^{MEDIA_STORE_ID.pattern}$" == ID
    assert f"`{ID}`" in PAGE
    assert described["paths"]["/media/{media_id}"]["parameters"][0]["schema"]["pattern"] == ID
