"""The page at `/docs`: the OpenAPI document for people, with forms to try it. Nothing is loaded from elsewhere."""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse

from media_inference.api.problems import MEANINGS

_STYLE = Path(__file__).with_name("docs_page.css").read_text("utf-8")
_SCRIPT = Path(__file__).with_name("docs_page.js").read_text("utf-8")


def _hash_source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_hash_source(_STYLE)}",
        f"script-src {_hash_source(_SCRIPT)}",
        "connect-src 'self'",
        "img-src blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def docs_page(document: Mapping[str, Any]) -> HTMLResponse:
    """The page for an OpenAPI document."""
    title = escape(document["info"]["title"])
    body = "\n".join(
        (
            f"<h1>{title} <small>{escape(document['info']['version'])}</small></h1>",
            _paragraphs(document["info"]["description"]),
            '<p><a href="openapi.json">openapi.json</a></p>',
            "<p><label>Token for the routes marked <em>token</em>",
            '<input id="token" type="password" autocomplete="off"></label></p>',
            *_operations(document),
            "<h2>Errors</h2>",
            "<p>Each is <code>application/problem+json</code>; <code>code</code> is one of:</p>",
            _problem_table(),
            "<h2>Shapes</h2>",
            *_shapes(document["components"]["schemas"]),
        )
    )
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body>{body}<script>{_SCRIPT}</script></body></html>",
        headers={"Content-Security-Policy": _POLICY},
    )


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    tag = ""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                yield f"<h2>{escape(tag.capitalize())}</h2>"
            yield _operation(document, method.upper(), path, operation)


def _operation(document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    token = " <em>token</em>" if "security" in operation else ""
    answers = "".join(
        f"<tr><th>{status}</th><td>{_paragraphs(answer['description'])}</td><td>{_shape_of(answer)}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><b class="{method}">{method}</b> '
        f"<code>{escape(path)}</code>{token} <span>{escape(operation['summary'])}</span></summary>"
        f"{_paragraphs(operation.get('description', ''))}"
        f'<form data-method="{method}" data-path="{escape(path)}">{"".join(_fields(document, operation))}'
        f"<button>Send</button></form><pre hidden></pre><table>{answers}</table></details>"
    )


def _fields(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[str]:
    for parameter in operation.get("parameters", ()):
        name, schema = escape(parameter["name"]), parameter["schema"]
        attributes = f'name="{name}" data-in="{parameter["in"]}"'
        if "enum" in schema:
            options = "".join(f"<option>{escape(value)}</option>" for value in schema["enum"])
            field = f"<select {attributes}>{options}</select>"
        else:
            default = schema.get("default", "")
            value = default if isinstance(default, str) else json.dumps(default)
            field = f'<input {attributes} value="{escape(value)}">'
        yield f"<label>{name} {field}</label>{_paragraphs(parameter.get('description', ''))}"
    content = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        yield '<label>file <input type="file" name="file"></label>'
    if "application/json" in content:
        name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
        example = json.dumps(document["components"]["schemas"][name].get("example", {}), indent=2)
        yield f'<label>{_link(name)} <textarea name="body" rows="5">{escape(example)}</textarea></label>'


def _shape_of(answer: Mapping[str, Any]) -> str:
    references = [media["schema"].get("$ref", "") for media in answer.get("content", {}).values() if "schema" in media]
    return ", ".join(_link(reference.rpartition("/")[2]) for reference in references if reference)


def _link(shape: str) -> str:
    return f'<a href="#shape-{escape(shape)}">{escape(shape)}</a>'


def _problem_table() -> str:
    rows = (
        f'<tr id="{code}"><th>{meaning.status}</th><td><code>{code}</code></td><td>{escape(meaning.detail)}</td></tr>'
        for code, meaning in MEANINGS.items()
    )
    return f"<table>{''.join(rows)}</table>"


def _shapes(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        safe, text = escape(name), escape(json.dumps(schema, indent=2))
        yield f'<details id="shape-{safe}"><summary><code>{safe}</code></summary><pre>{text}</pre></details>'


def _paragraphs(text: str) -> str:
    """Lines of text, with `words` in back quotes set as code."""
    lines = (escape(line).split("`") for line in text.splitlines())
    return "".join(
        f"<p>{''.join(f'<code>{part}</code>' if odd % 2 else part for odd, part in enumerate(parts))}</p>"
        for parts in lines
    )
