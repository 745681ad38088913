"""The built-in tools, called as any function."""

from datetime import datetime

import pytest

from dragoman.domain.errors import NotFound
from dragoman.domain.identity import LOCAL
from dragoman.domain.tools import ToolError
from dragoman.tools import BuiltinTools, calculate, current_time


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("12*7", "84"),
        ("(2 + 3) * sqrt(16)", "20"),
        ("2^10", "1024"),
        ("7 // 2 + 7 % 2", "4"),
        ("1/3", "0.333333333333"),
        ("0.1 + 0.2", "0.3"),
        ("10 ÷ 4 × 2 − 1", "4"),
        ("-(-3)", "3"),
        ("round(pi, 2)", "3.14"),
        ("max(1, 2, 3)", "3"),
        ("2**-1", "0.5"),
    ],
)
async def test_expressions_have_values(expression, value):
    assert await calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1/0",
        "9**9**9",
        "10**100000",
        "1e308*10",
        "(-8)**0.5",
        "__import__('os')",
        "(1).__class__",
        "[1]*3",
        "'a'*3",
        "True",
        "lambda: 1",
        "x",
        "sqrt()",
        "sqrt(-1)",
        "1 +",
        "abs(number=1)",
        "1" * 501,
        "(" * 400,
        "factorial(5)",
    ],
)
async def test_everything_else_is_refused_with_a_sentence(expression):
    with pytest.raises(ToolError) as refused:
        await calculate(expression)
    assert str(refused.value).endswith(".")


async def test_the_time_is_told_in_the_zone_that_was_asked_for():
    assert "(UTC+0900)" in await current_time("Asia/Tokyo")
    assert datetime.now().strftime("%Y") in await current_time()


@pytest.mark.parametrize("zone", ["Nowhere/Land", "", "../etc/passwd", "/etc/passwd", "a\0b"])
async def test_an_unknown_zone_is_refused_with_a_sentence(zone):
    with pytest.raises(ToolError, match="is not a time zone"):
        await current_time(zone)


def test_tools_are_found_by_name_and_listed_in_order():
    tools = BuiltinTools()
    assert tools.get("calculate") is calculate
    assert [tool.name for tool in tools.visible_to(LOCAL)] == ["calculate", "current_time"]
    with pytest.raises(NotFound):
        tools.get("launch_rocket")
