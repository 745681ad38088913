"""``/docs`` and ``/redoc``: the OpenAPI document as one page that can be tried out. It loads nothing from anywhere."""

import json
from collections.abc import Iterator
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.responses import HTMLResponse


def reference_routes(app: FastAPI) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def reference() -> HTMLResponse:
        return HTMLResponse(render(app.openapi()))

    router.add_api_route("/docs", reference)
    router.add_api_route("/redoc", reference)
    return router


@cache
def _template() -> Template:
    return Template(files(__package__).joinpath("reference.html").read_text("utf-8"))


def render(document: dict[str, Any]) -> str:
    info = document["info"]
    return _template().substitute(
        title=escape(info["title"]),
        version=escape(info["version"]),
        description=escape(info.get("description", "")),
        operations="\n".join(_sections(document)),
    )


def _sections(document: dict[str, Any]) -> Iterator[str]:
    for tag in document.get("tags", ()):
        yield f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>"
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if tag["name"] in operation.get("tags", ()):
                    yield _operation(path, method.upper(), operation)


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    responses = "".join(_response(status, response) for status, response in operation["responses"].items())
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><span class="method">{method}</span>'
        f'<code>{escape(path)}</code> <span class="soft">{escape(operation["summary"])}</span></summary>'
        f"<p>{escape(operation.get('description', ''))}</p>{_form(path, method, operation)}{responses}</details>"
    )


def _form(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(_parameter(parameter) for parameter in operation.get("parameters", ()))
    body = _body(operation["requestBody"]) if "requestBody" in operation else ""
    return (
        f'<form data-path="{escape(path)}" data-method="{method}"><table>{rows}</table>{body}'
        "<p><button>Send</button></p><output></output></form>"
    )


def _parameter(parameter: dict[str, Any]) -> str:
    name, place = escape(parameter["name"]), parameter["in"]
    value = escape(str(parameter.get("schema", {}).get("examples", [""])[0])) if place == "path" else ""
    required = " required" if parameter.get("required") else ""
    return (
        f"<tr><td><code>{name}</code><td><input name='{place}:{name}' value='{value}'{required}>"
        f"<td>{escape(parameter.get('description', ''))}"
    )


def _body(body: dict[str, Any]) -> str:
    content = next(iter(body["content"].values()))
    values = [example["value"] for example in content.get("examples", {}).values()]
    return f"<textarea name='body'>{escape(_pretty(values[0]) if values else '')}</textarea>"


def _response(status: str, response: dict[str, Any]) -> str:
    shown = "".join(
        f"<p class='soft'>{escape(kind)}</p><pre>{escape(_pretty(example))}</pre>"
        for kind, content in response.get("content", {}).items()
        for example in _examples(content)
    )
    return f"<details><summary>{status} {escape(response['description'])}</summary>{shown}</details>"


def _examples(content: dict[str, Any]) -> list[Any]:
    if "example" in content:
        return [content["example"]]
    return [example["value"] for example in content.get("examples", {}).values()]


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
