"""``@tool``: makes a tool of a function, from its annotations and its docstring."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import field, fields, make_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints, overload

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from dragoman.domain.errors import Invalid
from dragoman.domain.identity import Principal, Scope
from dragoman.domain.tools import Rule, Tool, ToolContext, ToolError, everybody
from dragoman.tools.docstring import Docstring, read_docstring
from dragoman.tools.schema import LooseSchema, plain_schema, strict_schema

Function = Callable[..., Any]


@overload
def tool(function: Function, /) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    concurrency: int | None = None,
    needs_approval: bool | Rule = False,
    approvers: Scope | None = None,
    approval_timeout: float | None = None,
    visible_to: Callable[[Principal], bool] = everybody,
    strict: bool = True,
) -> Callable[[Function], Tool]: ...


def tool(function: Function | None = None, /, *, strict: bool = True, **given: Any) -> Any:
    """Make a tool of a function, plain or ``async``.

    Its name, its docstring and the types of its arguments are what the model is told. A first argument of the type
    ``ToolContext`` is not the model's business: it gets what the tool may know of the call. ``strict`` holds an endpoint that
    can to exactly this schema; say ``strict=False`` for arguments that may be any object.
    """

    def make(function: Function) -> Tool:
        return _made(function, strict, given)

    return make if function is None else make(function)


def _made(function: Function, strict: bool, given: dict[str, Any]) -> Tool:
    name = given.pop("name", None) or getattr(function, "__name__", type(function).__name__)
    docstring = read_docstring(inspect.getdoc(function) or "")
    parameters = _parameters(function, name)
    takes_context = bool(parameters) and _type_of(parameters[0].annotation) is ToolContext
    arguments = _Arguments(name, parameters[takes_context:], docstring)
    return Tool(
        name=name,
        description=given.pop("description", None) or docstring.about,
        parameters=arguments.schema(strict=strict),
        call=function,
        read=arguments.read,
        takes_context=takes_context,
        blocking=not _is_async(function),
        strict=strict,
        **given,
    )


def _is_async(function: Function) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _parameters(function: Function, tool: str) -> list[inspect.Parameter]:
    signature = inspect.signature(function)
    hints = get_type_hints(function if inspect.isroutine(function) else type(function).__call__, include_extras=True)
    parameters = [p.replace(annotation=hints.get(p.name, p.empty)) for p in signature.parameters.values()]
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Invalid(f"The tool {tool!r} takes {parameter}: a model calls with arguments by name.", field="tools")
        if parameter.annotation is parameter.empty:
            raise Invalid(f"The argument {parameter.name!r} of the tool {tool!r} has no type.", field="tools")
    return parameters


def _type_of(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


class _Arguments:
    """The arguments that a model gives, as a dataclass made for them."""

    def __init__(self, tool: str, parameters: list[inspect.Parameter], docstring: Docstring) -> None:
        self._tool = tool
        self._kind = make_dataclass(
            "Arguments",
            [(p.name, _described(p, docstring), _default(p)) for p in parameters],
            kw_only=True,
            namespace={"__pydantic_config__": ConfigDict(extra="forbid", arbitrary_types_allowed=False)},
        )
        self._adapter: TypeAdapter[Any] = TypeAdapter(self._kind)
        self._optional = {p.name for p in parameters if p.default is not p.empty and not _takes_none(p)}

    def schema(self, *, strict: bool) -> dict[str, Any]:
        schema = self._adapter.json_schema()
        schema.pop("description", None)
        try:
            return strict_schema(schema) if strict else plain_schema(schema)
        except LooseSchema as loose:
            raise Invalid(
                f"The tool {self._tool!r}: {loose.place or 'an argument'} may be anything, and a strict schema cannot say so."
                " Give it a type, or say strict=False.",
                field="tools",
            ) from None

    def read(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """An optional argument may be left out, or be null, which is how a strict schema leaves it out."""
        said = {name: value for name, value in given.items() if value is not None or name not in self._optional}
        try:
            arguments = self._adapter.validate_python(said)
        except ValidationError as error:
            raise ToolError(_complaint(self._tool, error)) from None
        return {known.name: getattr(arguments, known.name) for known in fields(self._kind)}


def _described(parameter: inspect.Parameter, docstring: Docstring) -> Any:
    notes = get_args(parameter.annotation)[1:] if get_origin(parameter.annotation) is Annotated else ()
    text = next((note for note in notes if isinstance(note, str)), docstring.arguments.get(parameter.name))
    return Annotated[parameter.annotation, Field(description=text)] if text else parameter.annotation


def _default(parameter: inspect.Parameter) -> Any:
    if parameter.default is parameter.empty:
        return field()
    return field(default_factory=lambda: parameter.default)  # of any kind, lists too


def _takes_none(parameter: inspect.Parameter) -> bool:
    try:
        TypeAdapter(parameter.annotation).validate_python(None)
    except ValidationError:
        return False
    return True


_REASONS = {"unexpected_keyword_argument": "there is no such argument", "missing": "it is missing"}


def _complaint(tool: str, error: ValidationError) -> str:
    complaints = [
        f"{'.'.join(str(part) for part in found['loc'])!r}: {_REASONS.get(found['type'], found['msg'])}"
        for found in error.errors(include_url=False, include_context=False, include_input=False)[:5]
    ]
    return f"The arguments do not fit {tool} ({'; '.join(complaints)}). Correct them and call it again."
