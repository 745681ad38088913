"""Arithmetic on one expression, without ``eval`` and without a way to keep the machine busy."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from dragoman.domain.tools import ToolError
from dragoman.tools.decorator import tool

Number = int | float

MAX_LENGTH = 500
MAX_DIGITS = 1000
"""Of any intermediate result: beyond this an integer is of no use to a person."""

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_CONSTANTS: dict[str, Number] = {"pi": math.pi, "e": math.e, "tau": math.tau}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "round": round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}
_SPELLINGS = str.maketrans(
    {
        "\N{MULTIPLICATION SIGN}": "*",
        "\N{MIDDLE DOT}": "*",
        "\N{DIVISION SIGN}": "/",
        "\N{MINUS SIGN}": "-",
        "^": "**",
    }
)


@tool
async def calculate(expression: str) -> str:
    """Compute an arithmetic expression exactly. Use it instead of computing in your head.

    Args:
        expression: For example: (2 + 3) * sqrt(16) or 2**10 / 3
    """
    if len(expression) > MAX_LENGTH:
        raise ToolError(f"The expression is too long; at most {MAX_LENGTH} characters are accepted.")
    try:
        tree = ast.parse(expression.translate(_SPELLINGS).strip(), mode="eval")
        return _written(_value(tree.body))
    except ZeroDivisionError:
        raise ToolError("Division by zero has no value.") from None
    except (OverflowError, MemoryError, RecursionError):
        raise ToolError("The result is too large to compute.") from None
    except (SyntaxError, ValueError, TypeError):
        raise ToolError(f"{expression!r} is not an arithmetic expression with a value.") from None


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(number)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _number(_UNARY[type(op)](_value(operand)))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _number(_BINARY[type(op)](_value(left), _value(right)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _number(_FUNCTIONS[name](*(_value(argument) for argument in arguments)))
    raise ToolError(
        "Only numbers, + - * / // % **, parentheses and the usual functions (sqrt, sin, log, …) are understood."
    )


def _power(base: Number, exponent: Number) -> Number:
    whole = isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1
    if whole and exponent * math.log10(abs(base)) > MAX_DIGITS:
        raise OverflowError
    return _number(base**exponent)


def _number(value: Any) -> Number:
    if isinstance(value, complex):
        raise ToolError("The result is not a real number.")
    if not isinstance(value, int | float):
        raise TypeError
    return _bounded(value)


def _bounded(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS * math.log2(10):
        raise OverflowError
    return value


def _written(value: Number) -> str:
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        raise OverflowError
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.12g}"
