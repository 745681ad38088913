"""The OpenAPI document is what people and generators learn the API from."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from dragoman.surfaces.http.openapi import PROBLEM
from dragoman.surfaces.rest import examples, wire
from tests.surfaces.house import house


async def document():
    async with house() as at:
        return (await at.client.get("/openapi.json")).json()


async def operations():
    paths = (await document())["paths"]
    return [(f"{method} {path}", operation) for path, of in paths.items() for method, operation in of.items()]


async def test_every_operation_is_explained():
    for name, operation in await operations():
        assert operation["summary"], name
        assert len(operation["description"]) > 20, name
        assert operation["tags"], name
        assert len(set(operation["tags"])) == len(operation["tags"]), name


async def test_no_two_operations_share_an_id():
    ids = [operation["operationId"] for _, operation in await operations()]
    assert len(set(ids)) == len(ids)


async def test_every_operation_has_an_example_of_its_answer_and_of_its_body():
    for name, operation in await operations():
        good = {status: answer for status, answer in operation["responses"].items() if status < "300"}
        assert good, name
        for status, answer in good.items():
            media = answer.get("content", {})
            assert status == "204" or all("example" in content for content in media.values()), (name, status)
            assert status == "204" or media, (name, status)
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["examples"], name


async def test_every_operation_names_its_errors_in_the_one_shape():
    for name, operation in await operations():
        bad = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        if name.split("/")[1] not in ("livez", "readyz", "health", "metrics"):
            assert {"401", "403", "422", "503"} <= set(bad), name
            for status, answer in bad.items():
                (content,) = answer["content"].items()
                assert content[0] == "application/problem+json", (name, status)
                assert content[1]["schema"] == {"$ref": "#/components/schemas/Problem"}
                for example in content[1]["examples"].values():
                    Draft202012Validator(PROBLEM).validate(example["value"])
                    assert str(example["value"]["status"]) == status


async def test_every_parameter_is_explained_or_says_it_all_by_its_name():
    plain = {"status", "agent", "conversation_id", "limit"}
    for name, operation in await operations():
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description") or parameter["name"] in plain, (name, parameter["name"])


@pytest.mark.parametrize("path", ["/{agent}/stream", "/agents/{agent}/stream", "/runs/{run_id}/events"])
async def test_a_stream_lists_every_event(path):
    found = await document()
    (operation,) = found["paths"][path].values()
    schema = operation["responses"]["200"]["content"]["text/event-stream"]["schema"]
    names = [branch["$ref"].rsplit("/", 1)[1] for branch in schema["anyOf"]]
    types = {found["components"]["schemas"][name]["properties"]["type"]["const"] for name in names}
    assert types == {
        "queued",
        "run_started",
        "raw_response",
        "run_item",
        "agent_updated",
        "progress",
        "approval_required",
        "approval_decided",
        "steered",
        "run_resumed",
        "stream_complete",
        "error",
    }


async def test_every_reference_leads_somewhere():
    found = await document()
    known = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}

    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            node = list(node.values())
        if isinstance(node, list):
            for inner in node:
                yield from references(inner)

    assert set(references(found)) <= known


async def test_examples_have_the_shape_of_real_answers():
    async with house() as at:
        run = (await at.client.post("/chat/run", json={"input": "Hello", "session_id": "s"})).json()
        record = (await at.client.get(f"/runs/{run['run_id']}")).json()
        info = (await at.client.get("/chat/info")).json()
        session = (await at.client.get("/chat/session/s")).json()
    assert set(run) == set(examples.RUN)
    assert set(run["usage"]) == set(examples.RUN["usage"])
    assert set(record) == set(examples.RECORD)
    assert set(info) == set(examples.INFO)
    assert set(session) == set(examples.SESSION)
    assert [set(m) for m in session["messages"]] == [set(m) for m in examples.SESSION["messages"]]


def test_the_documented_event_types_are_those_of_the_wire():
    assert set(wire.EVENT_TYPES.values()) == set(wire.EventType.__args__)


async def test_every_route_is_in_the_reference():
    page = (Path(__file__).parents[2] / "docs/reference/http.md").read_text()
    for name, _ in await operations():
        method, path = name.split()
        assert path.startswith("/{agent}") or f"`{method.upper()} {path}`" in page, name
