"""``@tool``: what a model is told of a function, and how what it says comes to the function."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from dragoman import ToolContext, ToolError, tool
from dragoman.domain.errors import Invalid


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    text: str
    bold: bool = False


def properties(made):
    return made.parameters["properties"]


def test_a_function_becomes_a_tool_by_its_annotations_and_its_docstring():
    @tool
    async def book(room: str, nights: int = 1) -> str:
        """Book a room.

        Only after the guest has agreed.

        Args:
            room: Which one,
                by its name.
            nights (int): How many.

        Returns:
            A number.
        """
        return f"{room} for {nights}"

    assert book.name == "book"
    assert book.description == "Book a room.\n\nOnly after the guest has agreed."
    assert properties(book) == {
        "room": {"type": "string", "description": "Which one, by its name."},
        "nights": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "How many."},
    }
    assert book.parameters["required"] == ["room", "nights"]
    assert book.parameters["additionalProperties"] is False
    assert book.strict


def test_arguments_may_be_described_where_they_stand_or_in_the_manner_of_sphinx():
    @tool(name="look_up", description="Look it up.")
    def find(a: Annotated[str, "In short."], b: Annotated[int, Field(ge=1, description="A page.")], c: str) -> str:
        """Something else.

        :param c: A word.
        :returns: nothing
        """
        return a + c + str(b)

    assert (find.name, find.description) == ("look_up", "Look it up.")
    assert [part["description"] for part in properties(find).values()] == ["In short.", "A page.", "A word."]


async def test_it_is_still_the_function():
    @tool
    async def double(number: int) -> int:
        """Double it."""
        return 2 * number

    assert await double(4) == 8


def test_a_plain_function_is_known_to_block_and_the_context_is_not_the_models_business():
    @tool
    def wait(context: ToolContext, seconds: float) -> str:
        """Wait."""
        return f"{context.run_id} {seconds}"

    assert (wait.blocking, wait.takes_context) == (True, True)
    assert list(properties(wait)) == ["seconds"]


def test_arguments_come_as_what_the_function_declares():
    @tool
    async def order(line: Line, day: date, colour: Colour, kind: Literal["a", "b"], tags: list[str]) -> str:
        """Order."""
        return ""

    given = {"line": {"text": "x", "bold": True}, "day": "2026-01-02", "colour": "blue", "kind": "a", "tags": ["t"]}
    read = order.arguments(given)
    assert read["line"] == Line(text="x", bold=True)
    assert (read["day"], read["colour"]) == (date(2026, 1, 2), Colour.BLUE)


def test_every_object_of_a_strict_schema_is_closed_and_every_property_required():
    @dataclass
    class Address:
        street: str
        number: int | None = None

    @tool
    async def send(to: Annotated[Address, "Where."], then: list[Line]) -> str:
        """Send."""
        return ""

    def objects(node: Any) -> Any:
        if isinstance(node, dict):
            if node.get("type") == "object":
                yield node
            for inner in node.values():
                yield from objects(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from objects(inner)

    found = list(objects(send.parameters))
    assert len(found) >= 3
    assert all(node["required"] == list(node["properties"]) for node in found)
    assert all(node["additionalProperties"] is False for node in found)
    assert "default" not in str(send.parameters)
    assert properties(send)["to"]["description"] == "Where."


@pytest.mark.parametrize("given", [{}, {"note": None}], ids=["left out", "null"])
def test_an_optional_argument_may_be_left_out_as_either_kind_of_model_does(given):
    @tool
    async def save(note: str = "empty", tags: list[str] = ["a"]) -> str:  # noqa: B006
        """Save."""
        return note

    assert save.arguments(given) == {"note": "empty", "tags": ["a"]}


def test_null_is_null_where_the_function_takes_it():
    @tool
    async def save(note: str | None = "empty") -> str:
        """Save."""
        return str(note)

    assert save.arguments({"note": None}) == {"note": None}
    assert properties(save)["note"]["anyOf"] == [{"type": "string"}, {"type": "null"}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "'city': it is missing"),
        ({"city": 3}, "'city': Input should be a valid string"),
        ({"city": "Rome", "contry": "IT"}, "'contry': there is no such argument"),
        ({"city": "Rome", "days": "many"}, "'days'"),
    ],
)
def test_wrong_arguments_are_a_sentence_for_the_model(given, said):
    @tool
    async def weather(city: str, days: int = 1) -> str:
        """Tell the weather."""
        return city * days

    with pytest.raises(ToolError) as refused:
        weather.arguments(given)
    assert said in str(refused.value)
    assert str(refused.value).endswith("Correct them and call it again.")


def any_object(things: dict[str, Any]) -> str:
    """Take anything."""
    return str(things)


def anything(thing: Any) -> str:
    """Take anything."""
    return str(thing)


def loose_list(things: list) -> str:
    """Take anything."""
    return str(things)


@pytest.mark.parametrize("function", [any_object, anything, loose_list])
def test_what_may_be_anything_must_be_said_to_be_so(function):
    with pytest.raises(Invalid, match=r"thing.* may be anything.*strict=False"):
        tool(function)
    made = tool(strict=False)(function)
    assert not made.strict
    assert "title" not in str(made.parameters)


def unannotated(city):
    """Where."""
    return city


def variadic(*cities: str):
    """Where."""
    return cities


@pytest.mark.parametrize(("function", "said"), [(unannotated, "has no type"), (variadic, "by name")])
def test_a_function_that_a_model_cannot_call_is_refused(function, said):
    with pytest.raises(Invalid, match=said):
        tool(function)


def test_names_of_pydantics_own_are_names_like_any_other():
    @tool
    async def convert(schema: str, json: str, copy: bool, model_config: str) -> str:
        """Convert."""
        return schema

    given = {"schema": "a", "json": "b", "copy": True, "model_config": "c"}
    assert convert.arguments(given) == given


def test_a_property_called_title_stays():
    @tool
    async def write(title: str) -> str:
        """Write."""
        return title

    assert properties(write) == {"title": {"type": "string"}}
